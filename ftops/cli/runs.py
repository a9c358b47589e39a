"""`ftops runs`: lists the runs of the ledger."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import typer
from rich.console import RenderableType

from ftops.cli.command import command
from ftops.cli.environment import get_home, open_ledger
from ftops.cli.format import (
    cell,
    make_table,
    render_seconds,
    render_short_time,
    render_status,
)
from ftops.cli.output import Output
from ftops.cli.run_view import describe_cost, render_live_deployments, run_document
from ftops.clock import SystemClock
from ftops.records import Run, RunStatus
from ftops.run_folder import is_driven
from ftops.runs.cost import read_cost
from ftops.stage_results import RunCost

Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="Show the newest N runs.")]


@dataclass(frozen=True, slots=True)
class ListedRun:
    """A run, whether a process drives it, and what it costs."""

    run: Run
    is_driven: bool
    cost: RunCost = field(default_factory=RunCost)


@command("runs", examples=["ftops runs", "ftops runs --json -n 100"])
def list_runs(out: Output, limit: Limit = 20) -> None:
    """List runs, newest first.

    A running run that no process follows is shown as unwatched (its job may still run at the
    provider) or stopped (before it had a job); `ftops follow` or the same `ftops run` continues it.
    """
    with open_ledger() as ledger:
        now = SystemClock().now()
        runs = [
            ListedRun(run, _is_driven(run), read_cost(ledger, run.id, now))
            for run in ledger.list_runs(limit)
        ]
        deployed = ledger.list_deployments()
    out.finish(
        [
            {**run_document(item.run), "driven": item.is_driven, "cost": item.cost.to_json()}
            for item in runs
        ],
        essential=[item.run.id for item in runs],
        human=lambda: [render_runs(runs), *render_live_deployments(deployed, now)],
    )


def _is_driven(run: Run) -> bool:
    # The lock of a finished run is not checked, so long lists stay fast.
    return run.finished_at is None and is_driven(run, get_home())


def render_runs(runs: Sequence[ListedRun]) -> RenderableType:
    """One line per run; the costs have a column if any run costs something."""
    if not runs:
        return "No runs yet."
    has_costs = any(item.cost.best_usd for item in runs)
    table = make_table(
        "run",
        "name",
        "model",
        "status",
        "started",
        "duration",
        *(("cost",) if has_costs else ()),
        right=("duration", "cost"),
        whole=("run", "status", "started", "duration", "cost"),
    )
    for item in runs:
        run = item.run
        duration = None if run.finished_at is None else (run.finished_at - run.created_at)
        table.add_row(
            cell(run.id, "cyan"),
            cell(run.name),
            cell(run.model if run.provider.uses_engine else f"{run.model} ({run.provider.type})"),
            render_status(_describe_status(run, driven=item.is_driven)),
            cell(render_short_time(run.created_at)),
            cell("" if duration is None else render_seconds(duration.total_seconds())),
            *((cell(describe_cost(item.cost)),) if has_costs else ()),
        )
    return table


def _describe_status(run: Run, *, driven: bool) -> str:
    """The status; without a process, whether the job may still run at the provider."""
    if driven or not (run.status is RunStatus.RUNNING or run.ended_before_job):
        return run.status.value
    return "unwatched" if run.job_id else "stopped"
