"""The whole of one run: what `ftops run` and `ftops follow` end with, and `ftops show` tells."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from rich.console import RenderableType
from rich.text import Text

from ftops.cli import tables, training_views, views
from ftops.cli.documents import metrics_document, run_document, seconds, stage_document
from ftops.cli.evaluation_view import render_evaluation
from ftops.data.rows import read_rows
from ftops.errors import BadAnswer, FtopsError, RunError
from ftops.ledger.ledger import Ledger, RemoteCall
from ftops.metrics.evaluation import Evaluation
from ftops.records import JobEvent, Json, Prompt, Run, RunStatus, StageRecord, TunedModel
from ftops.reports.results import ResultRow
from ftops.reports.training import Training, make_training
from ftops.runs import export, notifications
from ftops.runs.commands import list_run_arguments
from ftops.runs.open_run import load_evaluation, load_results
from ftops.runs.training_data import read_training_facts

_LOOKED_AT = 50  # rows among which the example prompt is chosen
_SHOWN_EVENTS = 8
_AT_PROVIDER = "Requests that changed something at the provider"
_ELSEWHERE = {export.CALL: "Trackers that were told", notifications.CALL: "Notices"}
_HONEST = (
    "This small model was trained from random weights: it learned the format and\n"
    "the labels of its data, not English. Rehearse with it; judge nothing else by it."
)


@dataclass(frozen=True, slots=True)
class Report:
    """A run with all that the ledger and its folder know of it."""

    run: Run
    stages: Sequence[StageRecord]
    results: Sequence[ResultRow]
    evaluation: Evaluation | None
    model: TunedModel | None
    home: Path

    def to_json(self) -> dict[str, Json]:
        """The document of `ftops run --json`, `follow --json` and `show --json`."""
        return {
            **run_document(self.run),
            "model_deleted_at": seconds(self.model.deleted_at) if self.model else None,
            "metrics": metrics_document(self.results, self.evaluation),
            "evaluation": self.evaluation.to_json() if self.evaluation else None,
            "stages": [stage_document(record) for record in self.stages],
        }

    @property
    def essential(self) -> list[str]:
        """The name of the model, once there is one; until then the run id."""
        return [self.run.fine_tuned_model or self.run.id]


def collect(run: Run, ledger: Ledger, home: Path) -> Report:
    """Read everything about the run; asks no provider."""
    return Report(
        run=run,
        stages=ledger.list_stages(run.id),
        results=_find_results(run, home),
        evaluation=load_evaluation(run, home),
        model=ledger.find_model(run.fine_tuned_model) if run.fine_tuned_model else None,
        home=home,
    )


def render_closing(report: Report) -> Iterator[RenderableType]:
    """Times, curve, results, evaluation, the model's name, and what to type next."""
    yield views.heading("Stages")
    yield views.render_stage_times(report.stages)
    yield from render_training(report)
    if report.evaluation is not None:
        yield from render_evaluation(report.evaluation)
    if report.run.fine_tuned_model:
        yield views.heading("Model")
        yield views.indent(views.cell(report.run.fine_tuned_model, "bold green"))
        if report.model and report.model.deleted_at:
            moment = views.render_moment(report.model.deleted_at)
            yield views.indent(Text(f"It was deleted on {moment}.", style="yellow"))
        elif views.is_built_in(report.run):
            yield views.indent(Text(_HONEST, style="dim"))
    if pruned := _describe_pruned(report.run):
        yield Text(f"\nIts files were {pruned}.", style="yellow")
    yield views.heading("Next")
    yield from views.render_commands(next_commands(report))


def render_training(report: Report) -> Iterator[RenderableType]:
    """The curve, what it says, and a few rows of the results, as far as there are any."""
    training = make_training(report.results, read_training_facts(report.stages))
    findings = training_views.list_findings(training, report.evaluation)
    yield from training_views.render_single(training, findings)
    if report.results:
        yield views.heading("Results")
        yield views.indent(tables.render_results(training.rows))


def _render_steps(rows: Sequence[ResultRow], limit: int | None) -> Iterator[RenderableType]:
    yield views.heading("Results")
    yield views.indent(tables.render_results(rows, limit=limit))
    if limit is not None and len(rows) > limit:
        yield Text(f"  {len(rows)} steps in all; --all shows each, --csv writes them", style="dim")


def render_measured(
    run: Run, training: Training, evaluation: Evaluation | None, *, every: bool
) -> Iterator[RenderableType]:
    """Curve, findings, table and evaluation; for `ftops results`."""
    yield views.cell(f"{run.name}  {run.id}", "bold")
    findings = training_views.list_findings(training, evaluation)
    yield from training_views.render_single(training, findings)
    if training.rows:
        yield from _render_steps(training.rows, None if every else tables.SHOWN_RESULTS)
    else:
        yield views.cell(f"No results: it is {run.status.value}. `ftops show {run.id}` says more.")
    if evaluation is not None:
        yield from render_evaluation(evaluation)


def render_compared_runs(
    judged: Sequence[tuple[Run, Training, Evaluation | None]],
) -> Iterator[RenderableType]:
    """Several runs in one curve and one table, then what each one's curve says."""
    overlay = training_views.render_overlay([(run.id, training) for run, training, _ in judged])
    if overlay:
        yield views.indent(Text(overlay))
        yield ""
    yield views.indent(
        training_views.render_compared(
            [(run.id, run.name, training) for run, training, _ in judged]
        )
    )
    for run, training, evaluation in judged:
        findings = training_views.list_findings(training, evaluation)
        yield from training_views.render_findings(findings, of=run.id)


def render_whole(
    report: Report, calls: Sequence[RemoteCall], events: Sequence[JobEvent]
) -> Iterator[RenderableType]:
    """Everything about one run; for `ftops show`."""
    run = report.run
    yield views.render_header(run, resumed=False)
    yield views.render_pairs(
        [
            ("status", views.describe_status(run.status.value)),
            ("began", views.render_moment(run.created_at)),
            ("ended", views.render_moment(run.finished_at) or None),
            ("job", run.job_id),
            ("made", run.fine_tuned_model),
            ("error", run.error),
            ("files", _describe_pruned(run)),
        ]
    )
    yield views.heading("Stages")
    yield tables.render_stages(report.stages)
    for title, listed in group_calls(calls).items():
        yield views.heading(title)
        place = "remote id" if title == _AT_PROVIDER else "where"
        yield views.indent(tables.render_calls(listed, place))
    if events:
        yield views.heading(f"Last of {len(events)} events")
        yield from (views.describe_event(event) for event in events[-_SHOWN_EVENTS:])
    if report.evaluation is not None:
        yield from render_evaluation(report.evaluation)
    yield views.heading("Next")
    yield from views.render_commands(next_commands(report))


def group_calls(calls: Sequence[RemoteCall]) -> dict[str, list[RemoteCall]]:
    """What left this machine, by whom it went to: the provider, trackers, who is notified."""
    grouped: dict[str, list[RemoteCall]] = {}
    for call in calls:
        grouped.setdefault(_ELSEWHERE.get(call.name, _AT_PROVIDER), []).append(call)
    return grouped


def next_commands(report: Report) -> list[str]:
    """What to type next, complete and ready to copy."""
    run = report.run
    model = run.fine_tuned_model
    again = list_run_arguments(run, job_file=views.render_path(run.job_file))
    if run.status in (RunStatus.FAILED, RunStatus.CANCELLED) and not run.ended_before_job:
        return [views.quote("ftops", *again, "--retry")]
    if report.model and report.model.deleted_at:
        return [views.quote("ftops", *again, "--new")]
    if model is None:
        return [views.quote("ftops", "follow", run.id), views.quote("ftops", "cancel", run.id)]
    separator = report.model.separator if report.model else ""
    prompt = find_example_prompt(run, report.home, separator)
    # A page wants an extra, Markdown does not.
    page = "html" if find_spec("vl_convert") and find_spec("jinja2") else "md"
    figures = [views.quote("ftops", "report", run.id, "-o", f"{run.name}.{page}")]
    return [
        views.quote("ftops", "complete", "-m", model, "-p", prompt or "Your prompt"),
        *(figures if run.pruned_at is None else ()),
        views.quote("ftops", "models", "delete", model),
    ]


def _find_results(run: Run, home: Path) -> Sequence[ResultRow]:
    try:
        return load_results(run, home)
    except (RunError, BadAnswer):  # none yet, or none that can be read: the stage has said so
        return ()


def find_example_prompt(run: Run, home: Path, separator: str) -> str | None:
    """A short prompt of one line from the run's own data, without its separator."""
    for name in ("validation.jsonl", "train.jsonl"):
        path = home / "runs" / run.id / name
        try:
            prompts = [
                text
                for row, _ in zip(read_rows(path), range(_LOOKED_AT), strict=False)
                if (text := _last_words(row.prompt, separator)).strip() and "\n" not in text
            ]
        except FtopsError:
            continue
        if prompts:
            return min(prompts, key=len)
    return None


def _last_words(prompt: Prompt, separator: str) -> str:
    """What the user would type: the last message of a chat, or the prompt without separator."""
    if not isinstance(prompt, str):
        return prompt[-1].content if prompt else ""
    return prompt.removesuffix(separator)


def _describe_pruned(run: Run) -> str | None:
    if run.pruned_at is None:
        return None
    return f"removed by `ftops prune` on {views.render_moment(run.pruned_at)}"
