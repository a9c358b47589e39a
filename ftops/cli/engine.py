"""`ftops engine`: inspects and controls the built-in engine."""

import contextlib
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType

from ftops.cli.command import command
from ftops.cli.environment import get_home
from ftops.cli.format import cell, make_table, render_bytes
from ftops.cli.options import Yes
from ftops.cli.output import Output, confirm
from ftops.clock import SystemClock
from ftops.engine.keys import create_key, delete_key
from ftops.engine.settings import EngineFolder
from ftops.engine.store import KeyRow, StorageUsage, Store
from ftops.errors import EngineNotRunning
from ftops.providers.engine_process import find_engine, start_engine, stop_engine
from ftops.records import EngineAddress, Json

KeyName = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the key; it becomes part of model names.")
]


@command("engine status", examples=["ftops engine status"])
def status(out: Output) -> None:
    """Show whether the built-in engine runs, and its address."""
    address = find_engine(get_engine_folder())
    if address is None:
        raise EngineNotRunning(f"no engine runs in {get_engine_folder()}")
    finish_address(
        out, address, [f"The engine runs at {address.base_url} (process {address.pid})."]
    )


@command("engine stop", examples=["ftops engine stop"])
def stop(out: Output) -> None:
    """Stop the built-in engine.

    Its jobs continue when it is started again.
    """
    stopped = stop_engine(get_engine_folder())
    out.finish(
        {"stopped": stopped},
        essential=(),
        human=lambda: ["The engine has stopped." if stopped else "No engine was running."],
    )


@command("engine env", examples=['eval "$(ftops engine env)"'])
def env(out: Output) -> None:
    """Print shell variables that point OpenAI clients at the engine.

    Starts the engine if it is not running.
    """
    address = start_engine(get_engine_folder())
    document = {**_to_json(address), "api_key": address.token}
    out.finish_text(document, f"{render_export(address)}\n")


def render_export(address: EngineAddress) -> str:
    """The environment variables of OpenAI clients as a shell command."""
    variables = {
        "OPENAI_BASE_URL": address.base_url,
        "OPENAI_API_BASE": address.base_url,
        "OPENAI_API_KEY": address.token,
    }
    return "export " + " ".join(f"{key}={shlex.quote(value)}" for key, value in variables.items())


def finish_address(out: Output, address: EngineAddress, lines: list[str]) -> None:
    out.finish(_to_json(address), essential=[address.base_url], human=lambda: lines)


def _to_json(address: EngineAddress) -> dict[str, Json]:
    return {
        "running": True,
        "base_url": address.base_url,
        "pid": address.pid,
        "version": address.version,
    }


def get_engine_folder() -> Path:
    return get_home() / "engine"


@command("engine keys create", examples=["ftops engine keys create search-team"])
def create(out: Output, name: KeyName) -> None:
    """Create an API key and print it once; only its hash is stored.

    A key has access to the files, uploads, jobs and models of its own name. It is valid at once,
    also in a running engine. A key named local has the access of the user of this machine.
    """
    with _open_store() as store:
        key = create_key(name, store)
    out.finish(
        {"name": name, "key": key},
        essential=[key],
        human=lambda: [key, "", "The key is not shown again."],
    )


@command("engine keys list", examples=["ftops engine keys list"])
def list_keys(out: Output) -> None:
    """List the API keys with their creation, last use and storage."""
    with _open_store() as store:
        keys = [(key, store.of(key.name).measure()) for key in store.keys.list_all()]
    out.finish(
        [{**_key_document(key), **asdict(usage)} for key, usage in keys],
        essential=[key.name for key, _ in keys],
        human=lambda: [_render_keys(keys)],
    )


@command("engine keys delete", examples=["ftops engine keys delete search-team --yes"])
def delete(out: Output, name: KeyName, yes: Yes = False) -> None:
    """Delete an API key; a running engine refuses it at once.

    Its jobs continue, and its files and models are kept for the next key of this name.
    """
    confirm(out, "Delete the key", [name], yes=yes)
    with _open_store() as store:
        delete_key(name, store)
    out.finish(
        {"name": name, "deleted": True}, essential=[name], human=lambda: [f"Deleted: {name}"]
    )


@contextlib.contextmanager
def _open_store() -> Iterator[Store]:
    folder = EngineFolder(get_home() / "engine")
    with contextlib.closing(Store(folder.database, SystemClock())) as store:
        yield store


def _key_document(key: KeyRow) -> dict[str, Json]:
    return {
        "name": key.name,
        "hint": key.hint,
        "created_at": key.created_at,
        "last_used_at": key.last_used_at,
    }


def _render_keys(keys: Sequence[tuple[KeyRow, StorageUsage]]) -> RenderableType:
    if not keys:
        return "There are no keys; on this machine the engine's own token is used."
    figures = ("files", "stored")
    titles = ("name", "key", "created", "last used", *figures)
    table = make_table(*titles, right=figures, whole=("name", "key", *figures))
    for key, usage in keys:
        table.add_row(
            cell(key.name, "cyan"),
            cell(f"{key.hint}…"),
            cell(_render_last_use(key.created_at)),
            cell(_render_last_use(key.last_used_at)),
            cell(f"{usage.files:,}"),
            cell(render_bytes(usage.bytes)),
        )
    return table


def _render_last_use(at: int | None) -> str:
    if at is None:
        return "never"
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
