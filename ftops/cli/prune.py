"""`ftops prune`: removes what old runs left behind, after it has said what that is."""

import re
import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Annotated

import typer
from rich.console import RenderableType

from ftops.cli.command import command
from ftops.cli.environment import get_home, open_ledger
from ftops.cli.factory import open_providers
from ftops.cli.format import (
    cell,
    make_table,
    render_bytes,
    render_moment,
)
from ftops.cli.options import Yes
from ftops.cli.output import Mode, Output, confirm
from ftops.cli.run_view import run_document
from ftops.clock import SystemClock
from ftops.ledger.ledger import Ledger
from ftops.records import Json
from ftops.runs.pruning.removal import Pruner, PruneResult
from ftops.runs.pruning.selection import Criteria, RunArtifacts, Selection, select

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _read_age(text: str) -> timedelta:
    found = re.fullmatch(r"([0-9]{1,5})([mhdw])", text.strip())
    if found is None:
        raise typer.BadParameter(f"{text!r} is no age; it looks like 30d, 12h, 90m or 2w")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


OlderThan = Annotated[
    timedelta,
    typer.Option(
        "--older-than", metavar="AGE", parser=_read_age, help="Runs that ended so long ago: 30d."
    ),
]
KeepLast = Annotated[
    int,
    typer.Option("--keep-last", metavar="N", min=0, help="But not the last N of each job name."),
]
Models = Annotated[bool, typer.Option("--models", help="Delete the fine-tuned models, too.")]
LocalOnly = Annotated[
    bool, typer.Option("--local-only", help="Ask no provider; only files on this machine go.")
]


@command("prune", examples=["ftops prune", "ftops prune --older-than 7d --keep-last 3 --yes"])
def prune(
    out: Output,
    older_than: OlderThan = "30d",  # type: ignore[assignment]  # typer reads it like typed text
    keep_last: KeepLast = 0,
    models: Models = False,
    local_only: LocalOnly = False,
    yes: Yes = False,
) -> None:
    """Remove what old runs left, here and at their providers.

    Only shows what would go, unless you say yes or give --yes. The ledger keeps what happened. A
    file goes with the last run that needs it; one that ftops did not upload stays. Exit code 1 when
    something could not be removed.
    """
    home, criteria = get_home(), Criteria(older_than, keep_last, models, local_only)
    if not (home / "ledger.db").exists():  # nothing was ever run: nothing is made here
        out.finish([], essential=(), human=lambda: ["There is nothing to prune."])
        return
    with open_ledger() as ledger:
        selection = select(ledger, home, SystemClock().now(), criteria)
        if not _agrees(out, selection, yes=yes):
            out.finish(
                [_to_document(one) for one in selection.leftovers],
                essential=[one.run.id for one in selection.leftovers],
                human=lambda: _render_plan(selection),
            )
            return
        finished, endings = _carry_out(ledger, selection)
    _report(out, selection, finished, endings)
    if any(one.fate == "failed" for one in [*endings, *(ending for _, ending in finished)]):
        raise typer.Exit(1)


def _agrees(out: Output, selection: Selection, *, yes: bool) -> bool:
    """Whether it shall be done: somebody said --yes, or is there and says so now."""
    if not (selection.leftovers or selection.calls or selection.folders):
        return False
    if yes:
        return True
    if out.mode is not Mode.HUMAN or not sys.stdin.isatty():
        return False
    for renderable in _render_table(selection):
        out.show(renderable)
    confirm(out, "Remove", ["all of this"], yes=False)
    return True


def _carry_out(
    ledger: Ledger, selection: Selection
) -> tuple[list[tuple[str, PruneResult]], list[PruneResult]]:
    with open_providers() as open_provider:
        broom = Pruner(ledger, get_home(), selection.made_at, open_provider)
        finished = broom.finish(selection)
        return finished, [broom.prune(one) for one in selection.leftovers]


def _report(
    out: Output,
    selection: Selection,
    finished: Sequence[tuple[str, PruneResult]],
    endings: Sequence[PruneResult],
) -> None:
    told = [*finished, *zip((one.run.id for one in selection.leftovers), endings, strict=True)]
    for about, ending in told:
        if ending.fate == "failed":
            out.error(f"{about}: {ending.message}", ending.hint)
        elif ending.fate == "skipped":
            out.info(f"left as it is: {about}: {ending.message}")
        for kept in ending.kept:
            out.info(f"kept: {kept}: another run needs it, or it lies at another account")
    pairs = list(zip(selection.leftovers, endings, strict=True))
    done = [one for one, ending in pairs if ending.fate == "pruned"]
    out.finish(
        [_to_document(one, ending) for one, ending in pairs],
        essential=[one.run.id for one in done],
        human=lambda: [_summarise(done, endings, finished)],
    )


def _summarise(
    done: Sequence[RunArtifacts],
    endings: Sequence[PruneResult],
    finished: Sequence[tuple[str, PruneResult]],
) -> str:
    deleted = sum(len(one.deleted) for one in endings)
    deleted += sum(one.fate == "pruned" for _, one in finished)
    here = render_bytes(sum(one.folder_bytes for one in done))
    runs = "1 run" if len(done) == 1 else f"{len(done)} runs"
    return f"Pruned {runs}: {here} on this machine, {deleted} deleted elsewhere."


def _render_plan(selection: Selection) -> Iterator[RenderableType]:
    yield from _render_table(selection)
    if selection.leftovers or selection.calls or selection.folders:
        yield "\nNothing was removed. The same command with --yes does it."


def _render_table(selection: Selection) -> Iterator[RenderableType]:
    if not (selection.leftovers or selection.calls or selection.folders):
        yield "There is nothing to prune."
        return
    if selection.leftovers:
        yield render_prune_table(selection.leftovers)
        here = sum(one.folder_bytes for one in selection.leftovers)
        there = sum(one.upload_bytes for one in selection.leftovers)
        yield f"\n{render_bytes(here)} on this machine, {render_bytes(there)} at providers."
    for model in (model for one in selection.leftovers for model in one.models):
        yield f"The model {model.name} goes, too."
    for call in selection.calls:
        yield f"An earlier prune has not finished deleting {call.request.get('id')}."
    for folder in selection.folders:
        yield f"An earlier prune has not finished removing {folder}."


def _to_document(leftover: RunArtifacts, ending: PruneResult | None = None) -> dict[str, Json]:
    return {
        **run_document(leftover.run),
        "folder_bytes": leftover.folder_bytes,
        "files": [
            {"id": one.upload.file_id, "filename": one.upload.filename, "bytes": one.upload.bytes}
            for one in leftover.uploads
        ],
        "models": [model.name for model in leftover.models],
        "outcome": ending.fate.value if ending else "selected",
        "message": (ending.message or None) if ending else None,
        "deleted": list(ending.deleted) if ending else [],
        "kept": list(ending.kept) if ending else [],
    }


def render_prune_table(leftovers: Sequence[RunArtifacts]) -> RenderableType:
    """One line a run that is to be pruned: what it has left here and at its provider."""
    right = ("here", "uploads", "there")
    whole = ("run", "ended", *right)
    table = make_table("run", "name", "ended", *right, right=right, whole=whole)
    for one in leftovers:
        table.add_row(
            cell(one.run.id, "cyan"),
            cell(one.run.name),
            cell(render_moment(one.run.finished_at).partition(" ")[0]),
            cell(render_bytes(one.folder_bytes)),
            cell(len(one.uploads) or ""),
            cell(render_bytes(one.upload_bytes) if one.uploads else ""),
        )
    return table
