"""`ftops deploy`, `undeploy` and `deployments`: models that cost while they can answer."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated

import typer
from rich.console import RenderableType

from ftops.cli.command import command
from ftops.cli.environment import open_ledger
from ftops.cli.factory import open_providers
from ftops.cli.format import cell, make_table, quote, render_short_time, to_timestamp
from ftops.cli.options import AllowOpenEnded, RunRef, Yes
from ftops.cli.output import Output, confirm
from ftops.cli.progress import show_run_progress
from ftops.cli.run_context import open_run_context
from ftops.cli.run_view import describe_running_cost
from ftops.clock import SystemClock
from ftops.errors import FtopsError, NotFound, RunBusy, RunError
from ftops.ledger.ledger import Ledger
from ftops.ledger.records import DeploymentRecord
from ftops.records import Json
from ftops.run_folder import hold_run
from ftops.runs import deployments
from ftops.runs.context import StageContext

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME...]", help="Name of a deployment, model name, run id or job id."),
]
Overdue = Annotated[
    bool, typer.Option("--overdue", help="Those whose `limits.max_deployment_time` is over.")
]
Every = Annotated[bool, typer.Option("--all", help="Include deployments that have ended.")]


@command(
    "deploy",
    examples=["ftops deploy run-20261201-1407-k3f9", "ftops deploy ft-model-1 --allow-open-ended"],
)
def deploy(out: Output, ref: RunRef, *, allow_open_ended: AllowOpenEnded = False) -> None:
    """Deploy the model of a run, so that it answers.

    It costs until it is undeployed. A live deployment of the model is used. It ends after
    `limits.max_deployment_time` of the job file, by the provider where that is possible.
    """
    with open_ledger() as ledger:
        run = ledger.get_run(ref)
        with (
            show_run_progress(out) as observer,
            open_run_context(ledger, run.provider, observer) as context,
            hold_run(run, context.home) as held,
        ):
            stage = StageContext.load(run, replace(context, allow_open_ended=allow_open_ended))
            if not held:
                raise RunBusy(f"another command works on {run.id}", hint="Wait for its end.")
            if not deployments.requires_deployment(stage.spec, stage.provider):
                raise RunError(
                    f"models of the provider {stage.provider.name!r} answer without a deployment",
                    hint=quote("ftops", "complete", "-m", run.id, "PROMPT") + " asks it.",
                )
            deployments.check_end(stage)
            record = deployments.ensure_deployed(stage)
    _finish(out, [record])


@command(
    "undeploy",
    examples=["ftops undeploy ftops-20261201-1407-k3f9-1", "ftops undeploy --overdue --yes"],
)
def undeploy(
    out: Output, names: Names = None, *, overdue: Overdue = False, yes: Yes = False
) -> None:
    """End deployments, and what they cost.

    The models themselves are kept.
    """
    if bool(names) == overdue:
        raise typer.BadParameter("give names, or --overdue")
    clock = SystemClock()
    with open_ledger() as ledger, open_providers() as get_provider:
        chosen = (
            list(deployments.list_overdue(ledger, clock))
            if overdue
            else [record for name in names or () for record in _find(ledger, name)]
        )
        confirm(out, "End", [record.name for record in chosen], yes=yes)
        ended = [
            deployments.end(ledger, get_provider(record.provider), record, clock)
            for record in chosen
        ]
    _finish(out, ended)
    if left := [record.name for record in ended if record.ended_at is None]:
        raise RunError(
            f"still there after the deletion was accepted: {', '.join(left)}",
            hint="Give the same command again in some minutes; `ftops deployments` shows it.",
        )


@command("deployments", examples=["ftops deployments", "ftops deployments --all --json"])
def list_deployments(out: Output, *, every: Every = False) -> None:
    """List what is deployed, and what it costs.

    Shows the price of an hour, and what was paid so far. The provider of each live deployment is
    asked for its state. `ftops doctor` also finds deployments that this ledger does not know.
    """
    clock = SystemClock()
    with open_ledger() as ledger, open_providers() as get_provider:
        records = ledger.list_deployments(live=not every)
        for number, record in enumerate(records):
            if record.ended_at is None:
                try:
                    provider = get_provider(record.provider)
                    records[number] = deployments.update(ledger, provider, record, clock)
                except FtopsError as error:
                    out.warn(f"note: {record.name} may still cost: {error.message}")
    _finish(out, [record for record in records if every or record.ended_at is None])


def _find(ledger: Ledger, name: str) -> list[DeploymentRecord]:
    """The live deployments that the name means; NotFound if there is none."""
    live = ledger.list_deployments()
    found = [record for record in live if name in (record.name, record.id, record.call_name)]
    if not found:
        found = [record for record in live if name in (record.model, record.run_id)]
    if not found:
        raise NotFound(
            f"the ledger has no live deployment {name!r}",
            hint="`ftops deployments` lists them; `ftops doctor` finds those of other ledgers.",
        )
    return found


def _finish(out: Output, records: Sequence[DeploymentRecord]) -> None:
    now = SystemClock().now()
    out.finish(
        [deployment_document(record, now) for record in records],
        essential=[record.call_name for record in records],
        human=lambda: [_render(records, now)],
    )


def deployment_document(record: DeploymentRecord, now: datetime) -> dict[str, Json]:
    """A deployment, as in `ftops deployments --json`."""
    return {
        "id": record.id,
        "name": record.name,
        "model": record.model,
        "call_name": record.call_name,
        "run_id": record.run_id,
        "provider": record.provider.type,
        "status": record.status,
        "hourly_usd": record.hourly_usd,
        "cost_usd": record.get_cost_usd(now),
        "created_at": to_timestamp(record.created_at),
        "ends_at": to_timestamp(record.ends_at),
        "ended_at": to_timestamp(record.ended_at),
    }


def _render(records: Sequence[DeploymentRecord], now: datetime) -> RenderableType:
    if not records:
        return "Nothing is deployed."
    whole = ("name", "status", "cost", "created", "ends")
    table = make_table(
        "name", "model", "provider", "status", "cost", "created", "ends", whole=whole
    )
    for record in records:
        ends = record.ended_at or record.ends_at
        table.add_row(
            cell(record.name, "cyan"),
            cell(record.call_name, "green"),
            cell(record.provider.type),
            cell("ended" if record.ended_at else record.status),
            cell(describe_running_cost(record, now)),
            cell(render_short_time(record.created_at)),
            cell(render_short_time(ends) if ends else "never"),
        )
    return table
