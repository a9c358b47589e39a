"""`ftops models export`: writes a fine-tuned model for other tools."""

import contextlib
import json
import subprocess
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ftops.cli.command import command
from ftops.cli.environment import get_home, open_ledger
from ftops.cli.format import render_path
from ftops.cli.output import Output
from ftops.cli.target_model import resolve_model
from ftops.clock import SystemClock
from ftops.engine.settings import EngineFolder
from ftops.engine.store import ModelRow, Store
from ftops.engine.trainer_registry import list_bases
from ftops.errors import EngineError, NotFound, UsageError

Name = Annotated[str, typer.Argument(metavar="NAME", help="Model name, run id or job id.")]
Target = Annotated[
    Path, typer.Option("--output", "-o", metavar="DIR", help="New folder for the files.")
]


class ExportFormat(StrEnum):
    """What is written."""

    ADAPTER = "adapter"
    MERGED = "merged"
    GGUF = "gguf"
    GGUF_LORA = "gguf-lora"
    VLLM = "vllm"
    OLLAMA = "ollama"


As = Annotated[
    ExportFormat,
    typer.Option(
        "--as",
        help="PEFT adapter, merged Transformers model, GGUF file for llama.cpp, GGUF adapter,"
        " adapter for vLLM, or GGUF file with a Modelfile for Ollama.",
    ),
]
_COMMAND = (sys.executable, "-P", "-m", "ftops.engine.lora.export")


@command(
    "models export",
    examples=[
        "ftops models export run-20261122-1407-k3f9 --as gguf -o exports/gguf",
        "ftops models export ft:smollm2-135m:local:orders:a1b2 --as gguf -o orders",
    ],
)
def export(out: Output, name: Name, *, export_format: As, output: Target) -> None:
    """Export a model that the built-in engine fine-tuned from an open base model.

    The exported files are loaded again, and their loss on a few texts is compared with that of the
    model. The folder has a model card with the licence and hash of the base model.
    """
    if output.exists():
        raise UsageError(f"--output {output}: exists already", hint="Choose a new folder.")
    with open_ledger() as ledger:
        model = resolve_model(ledger, name).name
    folder = EngineFolder(get_home() / "engine")
    row = _get_row(folder, model)
    result = _run_export(
        {
            "name": model,
            "model": str(folder.model(row.job_id, row.step)),
            "base_models": str(folder.base_models),
            "export_format": export_format.value,
            "target": str(output.resolve()),
        }
    )
    out.finish(
        {"model": model, "format": export_format.value, "folder": str(output), **result},
        essential=[str(output)],
        human=lambda: [f"Exported to {render_path(output)}.", _describe(result)],
    )


def _get_row(folder: EngineFolder, model: str) -> ModelRow:
    """The model in the engine; an error when it is missing or has no weights to export."""
    with contextlib.closing(Store(folder.database, SystemClock())) as store:
        row = store.models.find(model)
    if row is None:
        raise NotFound(f"the built-in engine has no fine-tuned model {model!r}")
    base = list_bases(folder).get(row.base)
    if base is None or not base.is_pretrained:
        raise EngineError(
            f"{model} cannot be exported: its base model {row.base!r} is not a pre-trained one"
            " that is there",
            hint="Train on a base model that `ftops engine models list` shows.",
        )
    if base.install:
        raise EngineError("an export needs PyTorch", hint=f"Run `{base.install}`.")
    return row


def _run_export(request: dict[str, str]) -> dict[str, Any]:
    """Run the process that loads and writes the weights; its result, or its error."""
    process = subprocess.run(
        [*_COMMAND, json.dumps(request)],
        capture_output=True,
        check=False,
    )
    try:
        result: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    except (ValueError, IndexError) as error:
        lines = process.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise EngineError(
            f"the export ended with exit code {process.returncode}: {lines[-1]}",
            hint="Nothing was exported; free memory or disk space, then run it again.",
        ) from error
    if "error" in result:
        raise EngineError(result["error"], hint=result["hint"])
    return result


def _describe(result: dict[str, Any]) -> str:
    if result["exported_loss"] is None:
        return "It was not loaded for a check: install xllamacpp (pip install 'ftops[lora-serve]')."
    return (
        f"Loss on {result['texts']} texts: {result['loss']:.4f} before,"
        f" {result['exported_loss']:.4f} after ({result['loaded_by']})."
    )
