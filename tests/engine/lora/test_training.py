"""Training: the same bytes after any interruption, for SFT and DPO, with dropout."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from ftops.engine.base_models import BaseModel
from ftops.engine.classification_metrics import ClassSettings, measure_classification
from ftops.engine.lora.trainer import LoraTrainer
from ftops.engine.trainer import (
    EarlyStopping,
    PromptTooLong,
    Sample,
    SamplingParams,
    StepMetrics,
    TrainingStopped,
)
from ftops.engine.training_file import CompletionRow
from ftops.errors import EngineError
from ftops.lora_options import LoraOptions
from tests.engine.lora.small_model import (
    add_model,
    make_chats,
    make_completions,
    make_pairs,
    make_request,
    train,
)

DROPOUT = {"dropout": 0.2, "rank": 4}
ROWS: dict[str, Callable[[], Any]] = {"sft": make_chats, "dpo": make_pairs}


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    return add_model(tmp_path_factory.mktemp("bases"))


def read_model(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "model").iterdir()}


def stop_after(n_steps: int) -> tuple[Callable[[StepMetrics], None], Callable[[], bool]]:
    """Hooks that count the steps and stop after so many of them."""
    taken = 0

    def on_step(_: StepMetrics) -> None:
        nonlocal taken
        taken += 1

    return on_step, lambda: taken >= n_steps


@pytest.mark.parametrize("method", ROWS)
def test_a_training_that_is_stopped_at_every_step_has_the_same_bytes(
    base: BaseModel, tmp_path: Path, method: str
) -> None:
    request = make_request(
        base,
        ROWS[method](),
        validation=ROWS[method]()[:2],
        lora=DROPOUT,
        early_stopping=EarlyStopping(patience=9),
    )
    train(base, request, tmp_path / "whole")
    steps = 0
    while True:
        on_step, should_stop = stop_after(1)
        try:
            train(base, request, tmp_path / "parts", on_step=on_step, should_stop=should_stop)
            break
        except TrainingStopped:
            steps += 1
    assert steps == 8
    assert read_model(tmp_path / "parts") == read_model(tmp_path / "whole")


def test_a_stop_while_references_are_computed_keeps_those_that_are_done(
    base: BaseModel, tmp_path: Path
) -> None:
    """Every pair is a pack of its own here, and every run is stopped after one of them."""
    rows = [replace(row, preferred="long " * 90) for row in make_pairs()]
    request = make_request(base, rows, n_epochs=1, lora=DROPOUT)
    train(base, request, tmp_path / "whole")
    for _ in range(6):
        with pytest.raises(TrainingStopped):
            train(base, request, tmp_path / "parts", should_stop=partial(next, iter((False, True))))
    train(base, request, tmp_path / "parts")
    assert read_model(tmp_path / "parts") == read_model(tmp_path / "whole")


def test_a_checkpoint_of_another_job_is_ignored(base: BaseModel, tmp_path: Path) -> None:
    request = make_request(base, make_chats(), lora=DROPOUT)
    on_step, should_stop = stop_after(2)
    with pytest.raises(TrainingStopped):
        train(base, request, tmp_path, on_step=on_step, should_stop=should_stop)
    steps: list[int] = []
    other = replace(request, seed=1)
    train(base, other, tmp_path, on_step=lambda metrics: steps.append(metrics.step))
    assert steps[0] == 1
    train(base, other, tmp_path / "alone")
    assert read_model(tmp_path) == read_model(tmp_path / "alone")


def test_the_adapter_is_that_of_stock_peft(base: BaseModel, tmp_path: Path) -> None:
    seen: list[StepMetrics] = []
    request = make_request(
        base, make_completions(), validation=make_completions(), learning_rate=0.01, n_epochs=8
    )
    train(base, request, tmp_path, on_step=seen.append)
    assert seen[-1].valid_loss is not None and seen[-1].valid_loss < 0.7 * seen[0].train_loss
    stock = AutoModelForCausalLM.from_pretrained(base.folder)
    tuned = PeftModel.from_pretrained(stock, tmp_path / "model")
    config = json.loads((tmp_path / "model" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "small"
    assert config["target_modules"] == [
        "down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"
    ]  # fmt: skip
    info = json.loads((tmp_path / "model" / "lora.json").read_text())
    assert (info["base"], info["base_sha256"]) == ("small", base.sha256)
    assert {weight.dtype for weight in tuned.parameters()} == {torch.float32}


def test_a_job_on_a_tuned_model_continues_its_adapter(base: BaseModel, tmp_path: Path) -> None:
    request = make_request(base, make_chats(), lora={"rank": 4}, learning_rate=0.01)
    last: list[StepMetrics] = []
    train(base, request, tmp_path / "first", on_step=last.append)
    again = replace(request, base=str(tmp_path / "first" / "model"), lora=None)
    first: list[StepMetrics] = []
    train(base, again, tmp_path / "second", on_step=first.append)
    assert first[0].train_loss < last[0].train_loss
    with pytest.raises(EngineError, match=r"trained with lora.rank 4, and the job asks for 8"):
        train(base, replace(again, lora={"rank": 8}), tmp_path / "third")


def test_an_adapter_of_another_base_is_refused(base: BaseModel, tmp_path: Path) -> None:
    train(base, make_request(base, make_chats(), n_epochs=1), tmp_path)
    other = replace(base, sha256="0" * 64)
    request = make_request(base, make_chats())
    with pytest.raises(EngineError, match="other weights than those of the base model small"):
        train(other, replace(request, base=str(tmp_path / "model")), tmp_path / "second")


def test_an_adapter_with_other_tensors_is_refused(base: BaseModel, tmp_path: Path) -> None:
    train(base, make_request(base, make_chats(), n_epochs=1), tmp_path)
    path = tmp_path / "model" / "adapter_model.safetensors"
    tensors = load_file(path)
    del tensors[sorted(tensors)[0]]
    save_file(tensors, path)
    request = replace(make_request(base, make_chats()), base=str(tmp_path / "model"))
    with pytest.raises(EngineError, match="the adapter does not fit the base model"):
        train(base, request, tmp_path / "second")


def test_full_training_writes_a_stock_model(base: BaseModel, tmp_path: Path) -> None:
    request = make_request(base, make_chats(), lora={"full": True}, learning_rate=1e-3)
    train(base, request, tmp_path / "whole")
    on_step, should_stop = stop_after(4)
    with pytest.raises(TrainingStopped):
        train(base, request, tmp_path / "parts", on_step=on_step, should_stop=should_stop)
    train(base, request, tmp_path / "parts")
    assert read_model(tmp_path / "parts") == read_model(tmp_path / "whole")
    AutoModelForCausalLM.from_pretrained(tmp_path / "whole" / "model")
    again = replace(request, base=str(tmp_path / "whole" / "model"), lora=None)
    train(base, again, tmp_path / "second")
    with pytest.raises(EngineError, match=r"trained with lora.full True"):
        train(base, replace(again, lora={"full": False}), tmp_path / "third")


@pytest.mark.slow_proof
def test_two_processes_have_the_losses_of_one(tmp_path: Path) -> None:
    """SFT and DPO, with gloo over the loopback interface."""
    command = [sys.executable, "-m", "tests.engine.lora.gloo_worker", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    losses = json.loads(done.stdout.splitlines()[-1])
    for method in ROWS:
        assert len(losses["one"][method]) == 6
        assert losses["two"][method] == pytest.approx(losses["one"][method], abs=1e-4)


def test_accumulation_gives_the_same_gradient(base: BaseModel, tmp_path: Path) -> None:
    losses: dict[str, list[float]] = {}
    for name, options in {"one": {}, "parts": {"gradient_accumulation": 4}}.items():
        seen: list[StepMetrics] = []
        request = make_request(base, make_chats(), batch_size=4, lora=options, learning_rate=0.01)
        train(base, request, tmp_path / name, on_step=seen.append)
        losses[name] = [metrics.train_loss for metrics in seen]
    assert losses["parts"] == pytest.approx(losses["one"], abs=1e-4)


def test_early_stopping_keeps_the_best_weights(base: BaseModel, tmp_path: Path) -> None:
    """The validation answers contradict the training, so that the first evaluation is the best."""
    wrong = [replace(row, completion=" ####") for row in make_completions()]
    request = make_request(
        base,
        make_completions(),
        validation=wrong,
        n_epochs=30,
        learning_rate=0.02,
        early_stopping=EarlyStopping(patience=2),
    )
    seen: list[StepMetrics] = []
    best: list[bytes] = []

    def keep(_: StepMetrics, write: Callable[[Path], None]) -> None:
        folder = tmp_path / f"epoch-{len(best)}"
        folder.mkdir()
        write(folder)
        best.append((folder / "adapter_model.safetensors").read_bytes())

    result = train(base, request, tmp_path, on_step=seen.append, on_epoch=keep)
    losses = [metrics.valid_loss for metrics in seen if metrics.valid_loss is not None]
    assert result.steps < 30 * 3
    model = (tmp_path / "model" / "adapter_model.safetensors").read_bytes()
    assert model == best[losses.index(min(losses))] or model in best[: losses.index(min(losses))]
    assert model != best[-1]


def test_evaluations_come_every_so_many_steps_with_samples(base: BaseModel, tmp_path: Path) -> None:
    seen: list[StepMetrics] = []
    samples: dict[int, Any] = {}
    train(
        base,
        make_request(base, make_chats(), validation=make_chats()[:3], eval_every=2, n_epochs=1),
        tmp_path,
        on_step=seen.append,
        on_samples=samples.__setitem__,
    )
    assert [metrics.step for metrics in seen if metrics.valid_loss is not None] == [2, 3]
    assert sorted(samples) == [2, 3]
    sample: Sample = samples[3][0]
    assert sample.expected == "Behind the shed."
    assert sample.prompt.endswith("<|im_start|>assistant\n")


def test_the_loss_of_every_row_is_kept(base: BaseModel, tmp_path: Path) -> None:
    seen: list[StepMetrics] = []
    train(base, make_request(base, make_chats(), batch_size=1), tmp_path, on_step=seen.append)
    lines = (tmp_path / "model" / "row_losses.csv").read_text().splitlines()
    assert lines[0] == "step,row,loss"
    losses = [float(line.split(",")[2]) for line in lines[1:]]
    assert losses == pytest.approx([metrics.train_loss for metrics in seen], rel=1e-4)
    assert sorted(line.split(",")[1] for line in lines[1:6]) == ["1", "2", "3", "4", "5"]


def test_a_divergence_names_step_and_rows(base: BaseModel, tmp_path: Path) -> None:
    request = make_request(
        base, make_chats(), learning_rate=1e30, lora={"warmup_ratio": 0.0}, batch_size=1
    )
    with pytest.raises(EngineError, match=r"diverged at step \d: the loss or gradient of row \d"):
        train(base, request, tmp_path)


def test_too_little_memory_is_an_error(
    base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def on_step(_: StepMetrics) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")

    with pytest.raises(EngineError, match="not enough memory to train small with batch size 2"):
        train(base, make_request(base, make_chats()), tmp_path, on_step=on_step)
    train(base, make_request(base, make_chats()), tmp_path)  # its checkpoint is intact


needs_4_bits = pytest.mark.skipif(not find_spec("bitsandbytes"), reason="no ftops[qlora]")
NF4 = {"dtype": "nf4", "rank": 4}


@needs_4_bits
def test_a_base_of_4_bits_has_the_same_bytes_after_a_stop(base: BaseModel, tmp_path: Path) -> None:
    request = make_request(base, make_chats(), lora=NF4)
    train(base, request, tmp_path / "straight")
    on_step, should_stop = stop_after(2)
    with pytest.raises(TrainingStopped):
        train(base, request, tmp_path / "again", on_step=on_step, should_stop=should_stop)
    train(base, request, tmp_path / "again")
    straight = read_model(tmp_path / "straight")
    assert straight == read_model(tmp_path / "again")
    train(base, make_request(base, make_chats(), lora={"rank": 4}), tmp_path / "fp32")
    assert (
        straight["adapter_model.safetensors"]
        != (read_model(tmp_path / "fp32")["adapter_model.safetensors"])
    )


@pytest.mark.skipif(bool(find_spec("bitsandbytes")), reason="ftops[qlora] is installed")
def test_a_base_of_4_bits_names_the_package_that_is_missing(
    base: BaseModel, tmp_path: Path
) -> None:
    with pytest.raises(EngineError) as refused:
        train(base, make_request(base, make_chats(), lora=NF4), tmp_path)
    assert "pip install 'ftops[qlora]'" in refused.value.hint


def test_all_weights_are_not_trained_in_4_bits() -> None:
    with pytest.raises(ValueError, match="dtype nf4 is for adapters"):
        LoraOptions(full=True, dtype="nf4")


def test_a_trained_model_answers_in_the_process_of_its_training(
    base: BaseModel, tmp_path: Path
) -> None:
    rows = make_completions()[:1]
    request = make_request(base, rows, n_epochs=60, batch_size=1, learning_rate=0.01)
    train(base, request, tmp_path)
    model = LoraTrainer(base).load(tmp_path / "model")
    params = SamplingParams(max_tokens=30, temperature=0)
    assert [chunk.text for chunk in model.generate([rows[0].prompt], params)] == [
        rows[0].completion
    ]
    learned = model.log_probability(rows[0].prompt, rows[0].completion)
    assert learned > model.log_probability(rows[0].prompt, " Nowhere.")
    with pytest.raises(PromptTooLong):
        next(model.generate(["a" * 500], params))


def test_a_trained_model_is_measured_as_a_classifier(base: BaseModel, tmp_path: Path) -> None:
    rows = [
        CompletionRow(f"{word} ->", f" {label}")
        for word, label in {"oak": "tree", "elm": "tree", "carp": "fish", "eel": "fish"}.items()
    ]
    request = make_request(base, rows, n_epochs=40, batch_size=4, learning_rate=0.01)
    train(base, request, tmp_path)
    model = LoraTrainer(base).load(tmp_path / "model")
    classes = ClassSettings(2, " fish", (0.5,))
    figures = measure_classification(model, rows, classes, lambda: False)
    names = ("accuracy", "precision", "recall", "f1", "f0.5", "auroc", "auprc")
    assert figures == {f"classification/{name}": 1.0 for name in names}
    with pytest.raises(TrainingStopped):
        measure_classification(model, rows, classes, lambda: True)
