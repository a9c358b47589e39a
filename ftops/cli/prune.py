"""`ftops prune`: deletes the files and models of old runs."""

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
    render_time,
)
from ftops.cli.options import Yes
from ftops.cli.output import Mode, Output, confirm
from ftops.cli.run_view import run_document
from ftops.clock import SystemClock
from ftops.ledger.ledger import Ledger
from ftops.records import Json
from ftops.runs.prune import Criteria, Pruner, PruneResult, RunArtifacts, Selection, select
from ftops.text import format_count

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _parse_age(text: str) -> timedelta:
    match = re.fullmatch(r"([0-9]{1,5})([mhdw])", text.strip())
    if match is None:
        raise typer.BadParameter(f"invalid duration {text!r}; expected e.g. 30d, 12h, 90m or 2w")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


OlderThan = Annotated[
    timedelta,
    typer.Option(
        "--older-than", metavar="AGE", parser=_parse_age, help="Only runs that ended this long ago."
    ),
]
KeepLast = Annotated[
    int,
    typer.Option("--keep-last", metavar="N", min=0, help="Keep the last N runs of each job name."),
]
Models = Annotated[bool, typer.Option("--models", help="Delete the fine-tuned models, too.")]
LocalOnly = Annotated[
    bool, typer.Option("--local-only", help="Delete only files on this machine; send no requests.")
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
    """Delete the files of old runs, on this machine and at providers.

    Shows what would be deleted, and deletes it after confirmation or with --yes. The ledger keeps
    its records. An uploaded file is deleted with the last run that needs it; files that ftops did
    not upload are kept. Exit code 1 if something could not be deleted.
    """
    home, criteria = get_home(), Criteria(older_than, keep_last, models, local_only)
    if not (home / "ledger.db").exists():  # no run yet: do not create a home
        out.finish([], essential=(), human=lambda: ["There is nothing to prune."])
        return
    with open_ledger() as ledger:
        selection = select(ledger, home, SystemClock().now(), criteria)
        if not _is_confirmed(out, selection, yes=yes):
            out.finish(
                [_to_document(artifacts) for artifacts in selection.artifacts],
                essential=[artifacts.run.id for artifacts in selection.artifacts],
                human=lambda: _render_plan(selection),
            )
            return
        finished, results = _delete(ledger, selection)
    _report(out, selection, finished, results)
    if any(result.status == "failed" for result in [*results, *(result for _, result in finished)]):
        raise typer.Exit(1)


def _is_confirmed(out: Output, selection: Selection, *, yes: bool) -> bool:
    if not (selection.artifacts or selection.calls or selection.folders):
        return False
    if yes:
        return True
    if out.mode is not Mode.HUMAN or not sys.stdin.isatty():
        return False
    for renderable in _render_table(selection):
        out.show(renderable)
    confirm(out, "Delete", ["all of this"], yes=False)
    return True


def _delete(
    ledger: Ledger, selection: Selection
) -> tuple[list[tuple[str, PruneResult]], list[PruneResult]]:
    with open_providers() as get_provider:
        pruner = Pruner(ledger, get_home(), selection.made_at, get_provider)
        finished = pruner.finish(selection)
        return finished, [pruner.prune(artifacts) for artifacts in selection.artifacts]


def _report(
    out: Output,
    selection: Selection,
    finished: Sequence[tuple[str, PruneResult]],
    results: Sequence[PruneResult],
) -> None:
    runs = (artifacts.run.id for artifacts in selection.artifacts)
    for name, result in [*finished, *zip(runs, results, strict=True)]:
        if result.status == "failed":
            out.error(f"{name}: {result.message}", result.hint)
        elif result.status == "skipped":
            out.info(f"skipped: {name}: {result.message}")
        for kept in result.kept:
            out.info(f"kept: {kept}: another run needs it, or it belongs to another account")
    pairs = list(zip(selection.artifacts, results, strict=True))
    pruned = [artifacts for artifacts, result in pairs if result.status == "pruned"]
    out.finish(
        [_to_document(artifacts, result) for artifacts, result in pairs],
        essential=[artifacts.run.id for artifacts in pruned],
        human=lambda: [_summarize(pruned, results, finished)],
    )


def _summarize(
    pruned: Sequence[RunArtifacts],
    results: Sequence[PruneResult],
    finished: Sequence[tuple[str, PruneResult]],
) -> str:
    deleted = sum(len(result.deleted) for result in results)
    deleted += sum(result.status == "pruned" for _, result in finished)
    size = render_bytes(sum(artifacts.folder_bytes for artifacts in pruned))
    runs = format_count(len(pruned), "run")
    return f"Pruned {runs}: {size} on this machine, {deleted} deleted at providers."


def _render_plan(selection: Selection) -> Iterator[RenderableType]:
    yield from _render_table(selection)
    if selection.artifacts or selection.calls or selection.folders:
        yield "\nNothing was deleted. Run the same command with --yes to delete."


def _render_table(selection: Selection) -> Iterator[RenderableType]:
    if not (selection.artifacts or selection.calls or selection.folders):
        yield "There is nothing to prune."
        return
    if selection.artifacts:
        yield render_prune_table(selection.artifacts)
        local = sum(artifacts.folder_bytes for artifacts in selection.artifacts)
        remote = sum(artifacts.upload_bytes for artifacts in selection.artifacts)
        yield f"\n{render_bytes(local)} on this machine, {render_bytes(remote)} at providers."
    for model in (model for artifacts in selection.artifacts for model in artifacts.models):
        yield f"The model {model.name} is deleted, too."
    for call in selection.calls:
        yield f"An earlier prune did not finish deleting {call.request.get('id')}."
    for folder in selection.folders:
        yield f"An earlier prune did not finish deleting {folder}."


def _to_document(artifacts: RunArtifacts, result: PruneResult | None = None) -> dict[str, Json]:
    return {
        **run_document(artifacts.run),
        "folder_bytes": artifacts.folder_bytes,
        "files": [
            {"id": upload.file_id, "filename": upload.filename, "bytes": upload.bytes}
            for upload in (file.upload for file in artifacts.uploads)
        ],
        "models": [model.name for model in artifacts.models],
        "outcome": result.status.value if result else "selected",
        "message": (result.message or None) if result else None,
        "deleted": list(result.deleted) if result else [],
        "kept": list(result.kept) if result else [],
    }


def render_prune_table(runs: Sequence[RunArtifacts]) -> RenderableType:
    """One line per run: its files on this machine and at its provider."""
    right = ("local", "uploads", "remote")
    whole = ("run", "ended", *right)
    table = make_table("run", "name", "ended", *right, right=right, whole=whole)
    for artifacts in runs:
        table.add_row(
            cell(artifacts.run.id, "cyan"),
            cell(artifacts.run.name),
            cell(render_time(artifacts.run.finished_at).partition(" ")[0]),
            cell(render_bytes(artifacts.folder_bytes)),
            cell(len(artifacts.uploads) or ""),
            cell(render_bytes(artifacts.upload_bytes) if artifacts.uploads else ""),
        )
    return table
