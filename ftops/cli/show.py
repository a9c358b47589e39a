"""`ftops show`, and the summary at the end of `ftops run`: everything about one run."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from rich.console import RenderableType
from rich.text import Text

from ftops.cli.command import command
from ftops.cli.environment import get_home, open_ledger
from ftops.cli.evaluation_view import render_evaluation
from ftops.cli.format import (
    WIDTH,
    cell,
    heading,
    indent,
    make_table,
    quote,
    render_commands,
    render_pairs,
    render_path,
    render_seconds,
    render_short_time,
    render_status,
    render_time,
    to_timestamp,
)
from ftops.cli.options import RunRef
from ftops.cli.output import Output
from ftops.cli.run_view import (
    describe_estimates,
    describe_stage_result,
    event_document,
    render_event,
    render_header,
    render_stage_times,
    run_document,
    stage_document,
)
from ftops.cli.training_view import list_findings, render_results, render_single
from ftops.clock import SystemClock
from ftops.data.rows import read_rows
from ftops.errors import FtopsError
from ftops.evaluation.result import Evaluation
from ftops.ledger.ledger import Ledger
from ftops.ledger.records import RemoteCall, StateChange
from ftops.providers.registry import get_capabilities
from ftops.records import (
    JobEvent,
    Json,
    Prompt,
    Run,
    RunStatus,
    StageRecord,
    TunedModel,
)
from ftops.reports.results import ResultRow
from ftops.reports.run_facts import UNTRAINED_BASE_NOTE
from ftops.reports.training import create_training
from ftops.run_folder import RunFolder
from ftops.runs import export, notifications
from ftops.runs.commands import list_run_arguments
from ftops.runs.cost import read_cost
from ftops.runs.open_run import load_evaluation, load_results, read_training_facts
from ftops.stage_results import RunCost
from ftops.text import format_usd

_SHOWN_EVENTS = 8
_AT_PROVIDER = "Requests that changed something at the provider"
_OTHER_TITLES = {export.CALL: "Exports", notifications.CALL: "Notifications"}
_EXAMPLE_ROWS = 50  # candidates for the example prompt
_LAST_METRICS = {
    "train_loss": "train_loss",
    "train_accuracy": "train_accuracy",
    "valid_loss": "valid_loss",
    "valid_accuracy": "valid_mean_token_accuracy",
    "full_valid_loss": "full_valid_loss",
}


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run with its records in the ledger and in its folder."""

    run: Run
    stages: Sequence[StageRecord]
    results: Sequence[ResultRow]
    evaluation: Evaluation | None
    model: TunedModel | None
    home: Path
    cost: RunCost = field(default_factory=RunCost)

    def to_json(self) -> dict[str, Json]:
        """The document of `ftops run --json`, `follow --json` and `show --json`."""
        return {
            **run_document(self.run),
            "model_deleted_at": to_timestamp(self.model.deleted_at) if self.model else None,
            "cost": self.cost.to_json(),
            "metrics": metrics_document(self.results, self.evaluation),
            "evaluation": self.evaluation.to_json() if self.evaluation else None,
            "stages": [stage_document(record) for record in self.stages],
        }

    @property
    def essential(self) -> list[str]:
        """The name of the model, or the run id if there is no model yet."""
        return [self.run.fine_tuned_model or self.run.id]


@command("show", examples=["ftops show run-20261122-1407-k3f9", "ftops show news-topics"])
def show(out: Output, ref: RunRef) -> None:
    """Show a run with its stages, remote calls and last events."""
    with open_ledger() as ledger:
        run = ledger.get_run(ref)
        summary = load_run_summary(run, ledger, get_home())
        events = ledger.list_events(run.id)
        calls = ledger.list_calls(run.id)
        changes = ledger.list_state_changes(run.id)
    out.finish(
        {
            **summary.to_json(),
            "remote_calls": [call_document(call) for call in calls],
            "state_changes": [state_change_document(change) for change in changes],
            "events": [event_document(event) for event in events],
        },
        essential=[run.status.value],
        human=lambda: render_details(summary, calls, events),
    )


def render_calls(calls: Sequence[RemoteCall], place: str = "remote id") -> RenderableType:
    """One line per remote call."""
    table = make_table("call", "state", place, "at")
    for call in calls:
        table.add_row(
            cell(call.request.get("tool", call.name)),
            cell(call.state),
            cell(call.remote_id or call.error),
            cell(render_short_time(call.began_at)),
        )
    return table


def render_stages(records: Sequence[StageRecord]) -> RenderableType:
    """One line per stage, with attempts and result."""
    table = make_table("stage", "status", "time", "attempts", "", right=("time", "attempts"))
    for record in records:
        table.add_row(
            cell(record.stage.value),
            render_status(record.status.value),
            cell(render_seconds(record.seconds)),
            cell(record.attempts or ""),
            cell(describe_stage_result(record)),
        )
    return indent(table)


def call_document(call: RemoteCall) -> dict[str, Json]:
    return {
        "call": call.name,
        "stage": call.stage.value,
        "state": call.state,
        "remote_id": call.remote_id,
        "began_at": to_timestamp(call.began_at),
        "ended_at": to_timestamp(call.ended_at),
        "error": call.error,
    }


def state_change_document(change: StateChange) -> dict[str, Json]:
    """A change of state of the run (`stage` is null) or of a stage; `error` says why it failed."""
    return {
        "at": to_timestamp(change.at),
        "stage": change.stage.value if change.stage else None,
        "before": change.before,
        "after": change.after,
        "attempt": change.attempt,
        "error": change.error,
    }


def render_details(
    summary: RunSummary, calls: Sequence[RemoteCall], events: Sequence[JobEvent]
) -> Iterator[RenderableType]:
    """Everything about a run; for `ftops show`."""
    run = summary.run
    yield render_header(run, resumed=False)
    yield render_pairs(
        [
            ("status", render_status(run.status.value)),
            ("started", render_time(run.created_at)),
            ("ended", render_time(run.finished_at) or None),
            ("job", run.job_id),
            ("model", run.fine_tuned_model),
            ("cost", render_cost(summary.cost)),
            ("error", run.error),
            ("files", describe_pruned(run)),
        ]
    )
    yield heading("Stages")
    yield render_stages(summary.stages)
    for title, listed in group_calls(calls).items():
        yield heading(title)
        place = "remote id" if title == _AT_PROVIDER else "where"
        yield indent(render_calls(listed, place))
    if events:
        yield heading(f"Last of {len(events)} events")
        yield from (render_event(event) for event in events[-_SHOWN_EVENTS:])
    if summary.evaluation is not None:
        yield from render_evaluation(summary.evaluation)
    yield heading("Next")
    yield from render_commands(list_next_commands(summary))


def render_cost(cost: RunCost) -> str | None:
    """What the run has cost beside the estimates; None for a run that costs nothing."""
    if not cost.best_usd:
        return None
    paid = "" if cost.usd is None else format_usd(cost.usd)
    return "; ".join(filter(None, (paid, describe_estimates(cost))))


def group_calls(calls: Sequence[RemoteCall]) -> dict[str, list[RemoteCall]]:
    """The remote calls by their target: the provider, exports, notifications."""
    grouped: dict[str, list[RemoteCall]] = {}
    for call in calls:
        grouped.setdefault(_OTHER_TITLES.get(call.name, _AT_PROVIDER), []).append(call)
    return grouped


def load_run_summary(run: Run, ledger: Ledger, home: Path) -> RunSummary:
    """Read the records of the run; sends no request."""
    return RunSummary(
        run=run,
        stages=ledger.list_stages(run.id),
        results=load_results(run, home),
        evaluation=load_evaluation(run, home),
        model=ledger.find_model(run.fine_tuned_model) if run.fine_tuned_model else None,
        home=home,
        cost=read_cost(ledger, run.id, SystemClock().now()),
    )


def render_summary(summary: RunSummary) -> Iterator[RenderableType]:
    """Times, curve, results, evaluation, the name of the model, and the next commands."""
    yield heading("Stages")
    yield render_stage_times(summary.stages)
    yield from render_training(summary)
    if summary.evaluation is not None:
        yield from render_evaluation(summary.evaluation)
    if summary.run.fine_tuned_model:
        yield heading("Model")
        yield indent(cell(summary.run.fine_tuned_model, "bold green"))
        if summary.model and summary.model.deleted_at:
            moment = render_time(summary.model.deleted_at)
            yield indent(Text(f"Deleted on {moment}.", style="yellow"))
        elif get_capabilities(summary.run.provider).is_untrained(summary.run.model):
            yield indent(Text(textwrap.fill(UNTRAINED_BASE_NOTE, WIDTH - 4), style="dim"))
    if pruned := describe_pruned(summary.run):
        yield Text(f"\nIts files were {pruned}.", style="yellow")
    yield heading("Next")
    yield from render_commands(list_next_commands(summary))


def render_training(summary: RunSummary) -> Iterator[RenderableType]:
    """The curve, its diagnostics and a few rows of the results, if there are any."""
    training = create_training(summary.results, read_training_facts(summary.stages))
    findings = list_findings(training, summary.evaluation)
    yield from render_single(training, findings)
    if summary.results:
        yield heading("Results")
        yield indent(render_results(training.rows))


def list_next_commands(summary: RunSummary) -> list[str]:
    """The commands that make sense next, ready to copy."""
    run = summary.run
    model = run.fine_tuned_model
    again = list_run_arguments(run, job_file=render_path(run.job_file))
    if run.status in (RunStatus.FAILED, RunStatus.CANCELLED) and not run.ended_before_job:
        return [quote("ftops", *again, "--retry")]
    if summary.model and summary.model.deleted_at:
        return [quote("ftops", *again, "--new")]
    if model is None:
        return [quote("ftops", "follow", run.id), quote("ftops", "cancel", run.id)]
    separator = summary.model.separator if summary.model else ""
    prompt = find_example_prompt(run, summary.home, separator)
    # HTML needs an extra, Markdown does not.
    page = "html" if find_spec("vl_convert") and find_spec("jinja2") else "md"
    report = [quote("ftops", "report", run.id, "-o", f"{run.name}.{page}")]
    return [
        quote("ftops", "complete", "-m", model, "-p", prompt or "Your prompt"),
        *(report if run.pruned_at is None else ()),
        quote("ftops", "models", "delete", model),
    ]


def find_example_prompt(run: Run, home: Path, separator: str) -> str | None:
    """A short prompt of one line from the run's own data, without its separator."""
    folder = RunFolder.of(home, run.id)
    for path in (folder.validation_rows, folder.training_rows):
        try:
            prompts = [
                text
                for row, _ in zip(read_rows(path), range(_EXAMPLE_ROWS), strict=False)
                if (text := _get_user_text(row.prompt, separator)).strip() and "\n" not in text
            ]
        except FtopsError:
            continue
        if prompts:
            return min(prompts, key=len)
    return None


def _get_user_text(prompt: Prompt, separator: str) -> str:
    """The text of a user: the last message of a chat, or the prompt without separator."""
    if not isinstance(prompt, str):
        return prompt.messages[-1].content if prompt.messages else ""
    return prompt.removesuffix(separator)


def describe_pruned(run: Run) -> str | None:
    if run.pruned_at is None:
        return None
    return f"removed by `ftops prune` on {render_time(run.pruned_at)}"


def metrics_document(rows: Sequence[ResultRow], evaluation: Evaluation | None) -> dict[str, Json]:
    """The last value of each training metric, and the result of the evaluation."""
    document: dict[str, Json] = {"steps": rows[-1].step if rows else None}
    for name, title in _LAST_METRICS.items():
        known = (figure for row in reversed(rows) if (figure := getattr(row, name)) is not None)
        document[title] = next(known, None)
    return document | _evaluation_document(evaluation)


def _evaluation_document(evaluation: Evaluation | None) -> dict[str, Json]:
    """The result of the fine-tuned model in a few values; `evaluation` has all of it."""
    first = evaluation.candidates[0] if evaluation and evaluation.candidates else None
    names = ("rows", "primary_metric", "value", "low", "high", "passed")
    if evaluation is None or first is None:
        return dict.fromkeys((*names, "accuracy"))
    figure = first.metrics.get(evaluation.primary_metric)
    accuracy = first.metrics.get("accuracy")
    return {
        "rows": evaluation.rows,
        "primary_metric": evaluation.primary_metric,
        "value": figure.value if figure else None,
        "low": figure.low if figure else None,
        "high": figure.high if figure else None,
        "passed": evaluation.passed if evaluation.requirements else None,
        "accuracy": accuracy.value if accuracy else None,
    }
