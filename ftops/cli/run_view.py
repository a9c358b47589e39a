"""A run, its stages and its events, as text and as JSON."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ftops.cli.format import (
    cell,
    indent,
    quote,
    render_bytes,
    render_pairs,
    render_path,
    render_seconds,
    to_timestamp,
)
from ftops.cli.output import clean, hang
from ftops.ledger.records import DeploymentRecord
from ftops.metrics.result import Unit, format_value
from ftops.records import (
    JobEvent,
    Json,
    Run,
    RunStatus,
    Stage,
    StageRecord,
    StageStatus,
)
from ftops.stage_results import (
    CreateResult,
    DeployResult,
    EvaluateResult,
    FollowResult,
    PreparedData,
    RunCost,
    StageResults,
    TrainingSummary,
    UploadResult,
    find_skip_reason,
)
from ftops.text import format_count, format_usd

BUILT_IN_SIZES = {
    "ada": "0.2 million",
    "babbage": "1 million",
    "curie": "5 million",
    "davinci": "10 million",
}
LOUD_LEVELS = ("warn", "error")  # event levels that always get a line
_STAGE_MARKS = {
    StageStatus.SUCCEEDED: ("✓", "green"),
    StageStatus.FAILED: ("✗", "red"),
    StageStatus.SKIPPED: ("–", "dim"),
    StageStatus.RUNNING: ("…", "cyan"),
    StageStatus.PENDING: ("·", "dim"),
}


def describe_stage_result(record: StageRecord) -> str:
    """The result of a stage, why it was skipped, or why it failed; "" if it has none."""
    if record.error:
        return record.error
    if record.status is StageStatus.SKIPPED:
        return f"skipped: {find_skip_reason(record) or 'nothing to do'}"
    if record.status is not StageStatus.SUCCEEDED:
        return ""
    results = StageResults.read([record])
    match record.stage:
        case Stage.PREPARE:
            parts = _describe_prepare(results.prepare) if results.prepare else []
        case Stage.UPLOAD:
            parts = _describe_upload(results.upload) if results.upload else []
        case Stage.CREATE:
            parts = _describe_create(results.create) if results.create else []
        case Stage.FOLLOW:
            parts = _describe_follow(results.follow) if results.follow else []
        case Stage.RESULTS:
            parts = _describe_results(results.results) if results.results else []
        case Stage.DEPLOY:
            parts = _describe_deploy(results.deploy) if results.deploy else []
        case Stage.EVALUATE:
            parts = _describe_evaluate(results.evaluate) if results.evaluate else []
    return ", ".join(part for part in parts if part)


def _describe_prepare(result: PreparedData) -> list[str]:
    rows = [
        f"{file.rows:,} {'training' if file.role == 'train' else 'validation'} rows"
        for file in result.files
        if file.file_id is None
    ]
    return [*rows, f"about ${result.cost_usd:,.2f}" if result.cost_usd else ""]


def _describe_upload(result: UploadResult) -> list[str]:
    if result.bytes and not result.sent_bytes:
        return ["already uploaded, nothing sent"]
    return [f"{render_bytes(result.sent_bytes)} sent"] if result.bytes else []


def _describe_create(result: CreateResult) -> list[str]:
    estimated_usd = result.estimated_cost_usd
    return [
        result.job_id,
        "existing job found" if result.adopted else "",
        "" if estimated_usd is None else f"{format_usd(estimated_usd)} by the provider's estimate",
    ]


def _describe_follow(result: FollowResult) -> list[str]:
    epochs, tokens = result.hyperparameters.get("n_epochs"), result.trained_tokens
    return [
        "" if epochs is None else f"{epochs} epochs",
        "" if tokens is None else f"{tokens:,} tokens trained",
        format_usd(result.cost_usd) if result.cost_usd else "",
    ]


def _describe_results(result: TrainingSummary) -> list[str]:
    loss = result.metrics.get("train_loss")
    return [
        "" if result.step is None else f"{result.step:,} steps",
        "" if loss is None else f"training loss {loss:.3f}",
    ]


def _describe_deploy(result: DeployResult) -> list[str]:
    price = result.hourly_usd
    return [result.call_name, "" if not price else f"${price:,.2f} an hour"]


def _describe_evaluate(result: EvaluateResult) -> list[str]:
    value = "unknown"
    if result.value is not None:
        value = format_value(result.value, Unit(result.unit or Unit.SCORE))
    return [
        f"{result.primary_metric} {value} on {result.rows:,} rows",
        f"{len(result.missed)} requirements missed" if result.missed else "",
    ]


def run_document(run: Run) -> dict[str, Json]:
    """A run, as in `ftops runs --json`."""
    return {
        "run_id": run.id,
        "name": run.name,
        "status": run.status.value,
        "provider": run.provider.type,
        "base_url": run.provider.base_url,
        "protocol": run.provider.protocol,
        "model": run.model,
        "job_id": run.job_id,
        "fine_tuned_model": run.fine_tuned_model,
        "job_file": run.job_file,
        "created_at": to_timestamp(run.created_at),
        "finished_at": to_timestamp(run.finished_at),
        "pruned_at": to_timestamp(run.pruned_at),
        "error": run.error,
    }


def stage_document(record: StageRecord) -> dict[str, Json]:
    return {
        "stage": record.stage.value,
        "status": record.status.value,
        "attempts": record.attempts,
        "started_at": to_timestamp(record.started_at),
        "finished_at": to_timestamp(record.finished_at),
        "seconds": None if record.seconds is None else round(record.seconds, 3),
        "detail": dict(record.detail),
        "error": record.error,
    }


def event_document(event: JobEvent) -> dict[str, Json]:
    return {
        "id": event.id,
        "created_at": to_timestamp(event.created_at),
        "level": event.level,
        "type": event.type,
        "message": event.message,
        "data": dict(event.data),
    }


def render_header(run: Run, *, resumed: bool) -> RenderableType:
    """The run, its job file, provider, model and data."""
    title = Text.assemble((clean(run.name), "bold"), "  ", (run.id, "cyan"))
    if resumed:
        title.append(f"  {_describe_resumed(run)}", style="dim")
    suffix = run.spec.get("suffix")
    return Group(
        title,
        render_pairs(
            [
                ("job file", render_path(run.job_file)),
                ("provider", describe_provider(run)),
                ("model", describe_model(run) + (f", suffix {suffix}" if suffix else "")),
                ("training", run.spec.get("training_file")),
                ("validation", run.spec.get("validation_file")),
            ]
        ),
        "",
    )


def _describe_resumed(run: Run) -> str:
    return {
        RunStatus.SUCCEEDED: "(finished before)",
        RunStatus.FAILED: "(failed before)",
        RunStatus.CANCELLED: "(cancelled before)",
    }.get(run.status, "(resumed)")


def describe_provider(run: Run) -> str:
    name, url = run.provider.type, run.provider.base_url
    if run.provider.uses_engine:
        name = "local, the built-in engine on this machine"
    elif url:
        name = f"{name} at {url}"
    return name if run.provider.protocol == "current" else f"{name}, legacy protocol"


def describe_model(run: Run) -> str:
    size = BUILT_IN_SIZES.get(run.model) if run.provider.uses_engine else None
    return f"{run.model} ({size} parameters)" if size else run.model


def describe_cost(cost: RunCost) -> str:
    """What a run has cost, or else its estimate; "" if neither is known."""
    if cost.best_usd is None:
        return ""
    return f"{'' if cost.usd is not None else 'about '}{format_usd(cost.best_usd)}"


def describe_estimates(cost: RunCost) -> str:
    """The estimates before the training; "" if there are none."""
    estimates = [
        f"{format_usd(usd)} by {name}"
        for name, usd in (
            ("ftops", cost.estimated_usd),
            ("the provider", cost.provider_estimated_usd),
        )
        if usd is not None
    ]
    return f"estimated: {', '.join(estimates)}" if estimates else ""


def describe_attempt(stage: Stage, attempt: int) -> str:
    return stage.value if attempt == 1 else f"{stage.value} (attempt {attempt})"


def render_stage(record: StageRecord) -> RenderableType:
    """Mark, name, time and result of a stage."""
    mark, style = _STAGE_MARKS[record.status]
    line = Text.assemble((f"  {mark} ", style), f"{record.stage.value:<9}")
    line.append(f"{render_seconds(record.seconds):>11}   ", style="dim")
    if record.status is StageStatus.FAILED:
        return hang(line, Text("failed", style="red"))  # the error is printed below
    return hang(line, cell(describe_stage_result(record)))


def render_event(event: JobEvent) -> RenderableType:
    """The time of day and the message of an event."""
    style = {"warn": "yellow", "error": "red"}.get(event.level, "")
    moment = f"    {event.created_at.astimezone():%H:%M:%S}  "
    return hang(Text(moment, style="dim"), cell(event.message, style))


def render_stage_times(records: Sequence[StageRecord]) -> RenderableType:
    """The stages with their times and the total, and their attempts if any had several."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for record in records:
        table.add_column(record.stage.value, justify="right", no_wrap=True)
    table.add_column("total", justify="right", no_wrap=True)
    times = [_describe_time(record) for record in records]
    total = sum(record.seconds or 0.0 for record in records)
    table.add_row(*times, cell(render_seconds(total)))
    if any(record.attempts > 1 for record in records):
        counts = (format_count(record.attempts, "attempt") for record in records)
        table.add_row(*(cell(count, "dim") for count in counts))
    return indent(table)


def _describe_time(record: StageRecord) -> Text:
    if record.status is StageStatus.SUCCEEDED:
        return cell(render_seconds(record.seconds))
    return cell(record.status.value, _STAGE_MARKS[record.status][1])


def describe_running_cost(record: DeploymentRecord, now: datetime) -> str:
    """What a live deployment costs: $1.70 an hour, $3.40 so far."""
    cost = record.get_cost_usd(now)
    if cost is None:
        return "an unknown price an hour"
    return f"${record.hourly_usd:,.2f} an hour, ${cost:,.2f} so far"


def render_live_deployments(
    records: Sequence[DeploymentRecord], now: datetime
) -> Iterator[RenderableType]:
    """A line for each live deployment, below a list of runs or models."""
    for record in records:
        yield Text(
            f"  {record.name} ({record.model}, {record.provider.type}) is deployed:"
            f" {describe_running_cost(record, now)}; {quote('ftops', 'undeploy', record.name)}"
            " ends it",
            style="yellow",
        )
