"""`ftops runs`: lists the runs of the ledger."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import RenderableType

from ftops.cli.command import command
from ftops.cli.deployments import render_live_deployments
from ftops.cli.environment import get_home, open_ledger
from ftops.cli.format import (
    cell,
    make_table,
    render_seconds,
    render_short_time,
    render_status,
)
from ftops.cli.output import Output
from ftops.cli.run_view import run_document
from ftops.clock import SystemClock
from ftops.records import Run, RunStatus
from ftops.run_folder import is_driven

Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="Show the newest N runs.")]


@command("runs", examples=["ftops runs", "ftops runs --json -n 100"])
def list_runs(out: Output, limit: Limit = 20) -> None:
    """List runs, newest first.

    A running run that no process follows is shown as unwatched (its job may still run at the
    provider) or stopped (before it had a job); `ftops follow` or the same `ftops run` continues it.
    """
    with open_ledger() as ledger:
        runs = [(run, _is_driven(run)) for run in ledger.list_runs(limit)]
        deployed = ledger.list_deployments()
    now = SystemClock().now()
    costs = {record.run_id: record.get_cost_usd(now) for record in deployed}
    out.finish(
        [
            {**run_document(run), "driven": driven}
            | ({"deployment_cost_usd": costs[run.id]} if run.id in costs else {})
            for run, driven in runs
        ],
        essential=[run.id for run, _ in runs],
        human=lambda: [render_runs(runs), *render_live_deployments(deployed, now)],
    )


def _is_driven(run: Run) -> bool:
    # The lock of a finished run is not checked, so long lists stay fast.
    return run.finished_at is None and is_driven(run, get_home())


def render_runs(runs: Sequence[tuple[Run, bool]]) -> RenderableType:
    """One line per run; `runs` has each run, and whether a process drives it."""
    if not runs:
        return "No runs yet."
    table = make_table(
        "run",
        "name",
        "model",
        "status",
        "started",
        "duration",
        right=("duration",),
        whole=("run", "status", "started", "duration"),
    )
    for run, driven in runs:
        duration = None if run.finished_at is None else (run.finished_at - run.created_at)
        table.add_row(
            cell(run.id, "cyan"),
            cell(run.name),
            cell(run.model if run.provider.uses_engine else f"{run.model} ({run.provider.type})"),
            render_status(_describe_status(run, driven=driven)),
            cell(render_short_time(run.created_at)),
            cell("" if duration is None else render_seconds(duration.total_seconds())),
        )
    return table


def _describe_status(run: Run, *, driven: bool) -> str:
    """The status; without a process, whether the job may still run at the provider."""
    if driven or not (run.status is RunStatus.RUNNING or run.ended_before_job):
        return run.status.value
    return "unwatched" if run.job_id else "stopped"
