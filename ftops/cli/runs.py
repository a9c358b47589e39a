"""`ftops runs`: the list of runs."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import RenderableType

from ftops.cli.command import command
from ftops.cli.environment import get_home, open_ledger
from ftops.cli.format import (
    cell,
    make_table,
    render_seconds,
    render_short_moment,
    render_status,
)
from ftops.cli.output import Output
from ftops.cli.run_view import run_document
from ftops.records import Run, RunStatus
from ftops.run_folder import is_driven

Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many, newest first.")]


@command("runs", examples=["ftops runs", "ftops runs --json -n 100"])
def list_runs(out: Output, limit: Limit = 20) -> None:
    """List what has been run, newest first.

    A running run that no process drives is shown as unwatched (its job may still be running at the
    provider) or stopped (before it had a job); `ftops follow` or the same `ftops run` continues.
    """
    with open_ledger() as ledger:
        runs = [(run, _is_driven(run)) for run in ledger.list_runs(limit)]
    out.finish(
        [{**run_document(run), "driven": driven} for run, driven in runs],
        essential=[run.id for run, _ in runs],
        human=lambda: _render_table(runs),
    )


def _is_driven(run: Run) -> bool:
    # Nobody drives a run that has ended; not to ask keeps long lists fast.
    if run.finished_at is not None:
        return False
    return is_driven(run, get_home())


def _render_table(runs: list[tuple[Run, bool]]) -> list[RenderableType]:
    return [render_runs(runs)]


def render_runs(runs: Sequence[tuple[Run, bool]]) -> RenderableType:
    """One line a run, newest first, each with whether a process drives it."""
    if not runs:
        return "Nothing has been run yet."
    table = make_table(
        "run",
        "name",
        "model",
        "status",
        "began",
        "took",
        right=("took",),
        whole=("run", "status", "began", "took"),
    )
    for run, driven in runs:
        took = None if run.finished_at is None else (run.finished_at - run.created_at)
        table.add_row(
            cell(run.id, "cyan"),
            cell(run.name),
            cell(run.model if run.provider.uses_engine else f"{run.model} ({run.provider.type})"),
            render_status(_say_status(run, driven=driven)),
            cell(render_short_moment(run.created_at)),
            cell("" if took is None else render_seconds(took.total_seconds())),
        )
    return table


def _say_status(run: Run, *, driven: bool) -> str:
    """The status; of a run that no process drives, whether its job may run without a watcher."""
    if driven or not (run.status is RunStatus.RUNNING or run.ended_before_job):
        return run.status.value
    return "unwatched" if run.job_id else "stopped"
