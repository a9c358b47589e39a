"""SmolLM2-135M from the package index: fine-tuned by the stock SDK, asked, and exported.

Run by `make test-lora`; skipped where the package cannot be downloaded.
"""

from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")
pytest.importorskip("gguf")
pytest.importorskip("xllamacpp")

from ftops.engine.base_models import BaseModelStore
from ftops.engine.lora.model_sources import PACKAGED_MODELS, add_packaged
from ftops.engine.settings import EngineFolder, EngineSettings
from ftops.errors import EngineError
from tests.cli.running import ftops
from tests.engine.lora.random_model import compute_logits
from tests.engine.lora.test_gguf_format import compute_llama_cpp
from tests.engine.running import run_engine, wait_for

pytestmark = [pytest.mark.slow_proof, pytest.mark.timeout(1800)]
BASE = "smollm2-135m"
ORDERS = Path(__file__).parents[3] / "configs" / "data" / "orders" / "train.jsonl"
TRAINED_ROWS, LONGEST_TRAINING_S = 48, 900


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home of ftops whose engine has the base model."""
    folder = tmp_path_factory.mktemp("home")
    store = BaseModelStore(EngineFolder(folder / "engine").base_models)
    try:
        add_packaged(store, BASE, PACKAGED_MODELS[BASE])
    except EngineError as error:
        if "cannot be downloaded" not in error.message:
            raise
        pytest.skip(error.message)
    return folder


@pytest.fixture(scope="module")
def model(home: Path) -> Iterator[str]:
    """The name of a model fine-tuned on a slice of the example's rows, which has answered."""
    lines = ORDERS.read_text(encoding="utf-8").splitlines(keepends=True)[:TRAINED_ROWS]
    with run_engine(EngineSettings(home / "engine")) as running:
        sdk = running.sdk
        file = sdk.files.create(file=("orders.jsonl", "".join(lines).encode()), purpose="fine-tune")
        created = sdk.fine_tuning.jobs.create(
            model=BASE,
            training_file=file.id,
            hyperparameters={"n_epochs": 1, "batch_size": 8},
        )
        wait_for(
            lambda: sdk.fine_tuning.jobs.retrieve(created.id).finished_at is not None,
            LONGEST_TRAINING_S,
        )
        job = sdk.fine_tuning.jobs.retrieve(created.id)
        assert job.status == "succeeded", job.error
        assert job.fine_tuned_model is not None
        check_losses(sdk, job.id)
        answer = sdk.chat.completions.create(
            model=job.fine_tuned_model,
            messages=[{"role": "user", "content": "Two large pizzas to 5 Mill Lane at 18:30."}],
            max_tokens=60,
            temperature=0,
        )
        assert answer.choices[0].message.content
        yield job.fine_tuned_model


def check_losses(sdk: openai.OpenAI, job_id: str) -> None:
    events = sdk.fine_tuning.jobs.list_events(job_id, limit=100)
    metrics = [event.data for event in events if event.type == "metrics"]
    losses = {item["step"]: item["train_loss"] for item in metrics if isinstance(item, dict)}
    assert sorted(losses) == [1, 2, 3, 4, 5, 6]
    assert losses[6] < losses[1]


def test_a_real_model_is_trained_and_each_export_loads_in_its_consumer(
    home: Path, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FTOPS_HOME", str(home))
    for name in ("adapter", "merged", "gguf", "gguf-lora"):
        exported = ftops("models", "export", model, "--as", name, "-o", tmp_path / name, "--json")
        assert exported.code == 0, exported.err
        most = 0.05 if name == "gguf" else 0.001
        loss = pytest.approx(exported.document["loss"], abs=most)
        assert exported.document["exported_loss"] == loss, name

    base = EngineFolder(home / "engine").base_models / BASE
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "merged")
    chat = [{"role": "user", "content": "A small soup to 9 Hill Road at noon, please."}]
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    ids = tokenizer(text, add_special_tokens=False).input_ids
    merged = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    expected = torch.log_softmax(compute_logits(merged, ids)[-1], -1)
    adapted = peft.PeftModel.from_pretrained(
        transformers.AutoModelForCausalLM.from_pretrained(base), tmp_path / "adapter"
    )
    by_adapter = torch.log_softmax(compute_logits(adapted, ids)[-1], -1)
    torch.testing.assert_close(by_adapter, expected, atol=1e-3, rtol=0)
    best = int(expected.argmax())
    for file, adapter in (
        (tmp_path / "gguf" / "model-q8_0.gguf", None),
        (base / "base.gguf", tmp_path / "gguf-lora" / "adapter.gguf"),  # Q4_1 as downloaded
    ):
        log_probabilities = compute_llama_cpp(file, ids, adapter)
        assert log_probabilities[best] == pytest.approx(float(expected[best]), abs=0.3)
