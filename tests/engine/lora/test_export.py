import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from ftops.clock import SystemClock
from ftops.engine.base_models import BaseModel, BaseModelStore
from ftops.engine.settings import EngineFolder
from ftops.engine.store import JobRow, JobStatus, ModelRow, Store
from ftops.errors import EngineError
from tests.cli.running import ftops
from tests.engine.lora.random_model import torch, transformers, write_random_model

pytest.importorskip("gguf")
peft = pytest.importorskip("peft")
from ftops.engine.lora.export import ExportRequest, export_model
from ftops.engine.lora.model import add_adapter, write_trained_model
from ftops.lora_options import LoraOptions

# Transformers 5.24 warns when PEFT 0.21 asks for an old name.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")


def write_model(base: BaseModel, folder: Path, **options: Any) -> Path:
    """A model with random changes, in the files of the trainer."""
    folder.mkdir(parents=True)
    chosen = LoraOptions(rank=4, **options)
    model = transformers.AutoModelForCausalLM.from_pretrained(base.folder)
    if not chosen.full:
        model = add_adapter(model, chosen, 0)
    torch.manual_seed(1)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    tokenizer = transformers.AutoTokenizer.from_pretrained(base.folder)
    write_trained_model(model, folder, base, chosen, tokenizer)
    return folder


@pytest.fixture
def base(tmp_path: Path) -> BaseModel:
    def write_files(folder: Path) -> None:
        write_random_model(folder)
        (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")

    return BaseModelStore(tmp_path / "bases").add("small", write_files, source="small==1.0")


def make_request(model: Path, tmp_path: Path, export_format: str) -> ExportRequest:
    return ExportRequest(
        name="ft:small:local:orders:1",
        model=str(model),
        base_models=str(tmp_path / "bases"),
        export_format=export_format,
        target=str(tmp_path / "exported"),
    )


FILES = {
    "adapter": {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"},
    "vllm": {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"},
    "merged": {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"},
    "gguf": {"model-q8_0.gguf"},
    "ollama": {"model-q8_0.gguf", "Modelfile"},
    "gguf-lora": {"adapter.gguf"},
}


@pytest.mark.parametrize("export_format", FILES)
def test_an_export_is_verified_and_says_where_it_comes_from(
    base: BaseModel, tmp_path: Path, export_format: str
) -> None:
    model = write_model(base, tmp_path / "model")
    found = export_model(make_request(model, tmp_path, export_format))

    folder = tmp_path / "exported"
    assert FILES[export_format] <= {path.name for path in folder.iterdir()}
    if found.exported_loss is not None:
        assert found.exported_loss == pytest.approx(found.loss, abs=0.05)
    provenance = json.loads((folder / "provenance.json").read_text())
    assert provenance["base_sha256"] == base.sha256
    card = (folder / "README.md").read_text()
    assert "license: apache-2.0" in card
    assert "base_model: small==1.0" in card
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_fully_trained_model_is_exported_whole(base: BaseModel, tmp_path: Path) -> None:
    model = write_model(base, tmp_path / "model", full=True)

    with pytest.raises(EngineError, match="has no adapter"):
        export_model(make_request(model, tmp_path, "adapter"))
    export_model(make_request(model, tmp_path, "merged"))
    assert (tmp_path / "exported" / "model.safetensors").exists()


def test_another_base_model_is_refused(base: BaseModel, tmp_path: Path) -> None:
    model = write_model(base, tmp_path / "model")
    store = BaseModelStore(tmp_path / "bases")
    store.remove("small")
    store.add("small", lambda folder: write_random_model(folder, hidden_size=64))

    with pytest.raises(EngineError, match="missing or another one"):
        export_model(make_request(model, tmp_path, "adapter"))
    assert not (tmp_path / "exported").exists()


def test_adapters_that_a_tool_cannot_apply_are_refused(base: BaseModel, tmp_path: Path) -> None:
    model = write_model(base, tmp_path / "model", variant="dora")

    for export_format in ("vllm", "gguf-lora"):
        with pytest.raises(EngineError, match="adapters"):
            export_model(make_request(model, tmp_path, export_format))
    export_model(make_request(model, tmp_path, "gguf"))


def test_the_command_exports_a_model_of_the_engine(tmp_path: Path, temporary_home: Path) -> None:
    engine, name = EngineFolder(temporary_home / "engine"), "ft:small:local::1"
    base = BaseModelStore(engine.base_models).add("small", write_random_model)
    write_model(base, engine.model("ftjob-1"))
    job = JobRow(
        "ftjob-1", JobStatus.SUCCEEDED, "small", "small", "file-1", None, None, 1, {}, {}, 100
    )
    with contextlib.closing(Store(engine.database, SystemClock())) as store:
        store.add_job(job)
        store.models.add(ModelRow(name, job.id, "small", "small", 1))

    command = ("models", "export", name, "--as", "merged", "-o", tmp_path / "out")
    exported = ftops(*command, "--json")
    assert exported.code == 0, exported.err
    assert exported.document["exported_loss"] == pytest.approx(exported.document["loss"], abs=1e-3)
    transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert "exists already" in ftops(*command).err
