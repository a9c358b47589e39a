"""`ftops engine keys`: keys for others who use the built-in engine."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import RenderableType

from ftops.cli.ask import confirm
from ftops.cli.command import command
from ftops.cli.environment import get_home
from ftops.cli.format import cell, make_table, render_bytes
from ftops.cli.options import Yes
from ftops.cli.output import Output
from ftops.clock import SystemClock
from ftops.engine.keys import create_key, delete_key
from ftops.engine.settings import EngineFolder
from ftops.engine.store import KeyRow, Store, Usage
from ftops.records import Json

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Who the key is for; models carry it in their names.")
]


@command("engine keys create", examples=["ftops engine keys create search-team"])
def create(out: Output, name: Name) -> None:
    """Make a key and print it: once, because only its hash is kept.

    Each key sees only the files, uploads, jobs and models of its own name. A running engine takes
    it at once. A key called local sees what this machine's own user sees.
    """
    with _open_store() as store:
        key = create_key(name, store)
    out.finish(
        {"name": name, "key": key},
        essential=[key],
        human=lambda: [key, "", "This is the only time that the key is shown."],
    )


@command("engine keys list", examples=["ftops engine keys list"])
def list_keys(out: Output) -> None:
    """List the keys: when each was made and last used, how it begins, and what its holder has."""
    with _open_store() as store:
        keys = [(key, store.of(key.name).measure()) for key in store.keys.all()]
    out.finish(
        [{**_document(key), **asdict(usage)} for key, usage in keys],
        essential=[key.name for key, _ in keys],
        human=lambda: [_render(keys)],
    )


@command("engine keys delete", examples=["ftops engine keys delete search-team --yes"])
def delete(out: Output, name: Name, yes: Yes = False) -> None:
    """Let a key open nothing any more, also in a running engine.

    Its jobs go on, and what it made stays: the next key of that name sees it.
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


def _document(key: KeyRow) -> dict[str, Json]:
    return {
        "name": key.name,
        "hint": key.hint,
        "created_at": key.created_at,
        "last_used_at": key.last_used_at,
    }


def _render(keys: Sequence[tuple[KeyRow, Usage]]) -> RenderableType:
    if not keys:
        return "No keys were made; on this machine the engine's own token opens it."
    figures = ("files", "stored")
    titles = ("name", "key", "created", "last used", *figures)
    table = make_table(*titles, right=figures, whole=("name", "key", *figures))
    for key, usage in keys:
        table.add_row(
            cell(key.name, "cyan"),
            cell(f"{key.hint}…"),
            cell(_moment(key.created_at)),
            cell(_moment(key.last_used_at)),
            cell(f"{usage.files:,}"),
            cell(render_bytes(usage.bytes)),
        )
    return table


def _moment(at: int | None) -> str:
    if at is None:
        return "never"
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
