"""The facts of a run for reports: values, lineage, and missing data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from ftops.evaluation.result import Evaluation
from ftops.metrics.prediction import Prediction
from ftops.records import Json, Run, RunStatus, Stage, StageRecord, StageStatus, TunedModel
from ftops.reports.format import (
    format_bytes,
    format_count,
    format_moment,
    format_rows,
    format_seconds,
    format_usd,
    show,
)
from ftops.reports.training import Training, create_training
from ftops.stage_results import PreparedFile, RunCost, StageResults, find_skip_reason

UNTRAINED_BASE_NOTE = (
    "This small model was trained from random weights: it learned the format and the labels of its"
    " data, not language. Use it to test a job file, nothing else."
)
_HASH = 12  # shown characters of a hash


@dataclass(frozen=True, slots=True)
class DataIssue:
    """An issue of the data with its severity and advice."""

    severity: str  # error, warning or advice
    message: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """The data of a run from the ledger and its folder; `missing` has sentences about gaps.

    `predictions` are by candidate name; `job_text` is the text of the job file.
    """

    run: Run
    stages: Sequence[StageRecord]
    training: Training = field(default_factory=lambda: create_training(()))
    evaluation: Evaluation | None = None
    predictions: Mapping[str, Sequence[Prediction]] = field(default_factory=dict)
    job_text: str = ""
    model: TunedModel | None = None
    data: Sequence[DataIssue] = ()
    cost: RunCost = field(default_factory=RunCost)
    missing: Sequence[str] = ()

    @property
    def results(self) -> StageResults:
        """The results of the stages that have run."""
        return StageResults.read(self.stages)


def read_object(detail: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    """The mapping with this name; empty if there is none."""
    value = detail.get(name)
    return value if isinstance(value, dict) else {}


def read_separator(facts: RunFacts) -> str:
    """The separator at the end of every prompt; "" if there is none or it is not known."""
    prepared = facts.results.prepare
    return prepared.separator if prepared else ""


def name_runs(runs: Sequence[RunFacts]) -> list[str]:
    """A unique name for each run: the job name, with the run's id if needed."""
    names = [facts.run.name for facts in runs]
    return [
        name if names.count(name) == 1 else f"{name} ({facts.run.id})"
        for name, facts in zip(names, runs, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class LineageStep:
    """A step of the lineage: its kind, its name, and details."""

    kind: str
    name: str
    details: Sequence[str] = ()


def list_facts(facts: RunFacts) -> list[tuple[str, str]]:
    """The facts of the run as names and values; unknown values are ""."""
    run = facts.run
    prepared, followed = facts.results.prepare, facts.results.follow
    return [
        ("run", run.id),
        ("status", _format_status(facts)),
        ("job file", show(PurePath(run.job_file).name)),
        ("provider", show(_format_provider(facts))),
        ("base model", show(run.model)),
        ("fine-tuned model", show(run.fine_tuned_model or "")),
        ("training data", _format_data(prepared.training if prepared else None)),
        ("validation data", _format_data(prepared.validation if prepared else None)),
        ("prepared by", _format_preparation(facts)),
        ("hyperparameters", _format_hyperparameters(facts)),
        ("tokens of the data", format_count(prepared.tokens if prepared else None)),
        ("tokens trained", format_count(followed.trained_tokens if followed else None)),
        ("cost", format_usd(facts.cost.usd)),
        ("cost, as estimated", format_usd(facts.cost.estimated_usd)),
        ("cost, as the provider estimated", format_usd(facts.cost.provider_estimated_usd)),
        ("began", format_moment(run.created_at)),
        ("took", format_seconds(_measure(facts))),
        ("stages", " · ".join(f"{name} {time}" for name, time in list_times(facts))),
    ]


def list_times(facts: RunFacts) -> list[tuple[str, str]]:
    """Each stage with the duration of its last attempt, or its status."""
    return [
        (
            stage.stage.value,
            format_seconds(stage.seconds)
            if stage.status is StageStatus.SUCCEEDED and stage.seconds is not None
            else stage.status.value,
        )
        for stage in facts.stages
    ]


def trace_lineage(facts: RunFacts) -> list[LineageStep]:
    """The lineage of the model: data, file at the provider, job file, job, model."""
    run = facts.run
    prepared, uploaded = facts.results.prepare, facts.results.upload
    data, files = [], []
    for role, name, file, file_id in (
        (
            "training",
            "training_file",
            prepared.training if prepared else None,
            uploaded.training_file if uploaded else None,
        ),
        (
            "validation",
            "validation_file",
            prepared.validation if prepared else None,
            uploaded.validation_file if uploaded else None,
        ),
    ):
        if source := (file.source if file else "") or str(run.spec.get(name) or ""):
            data.append(", ".join([f"{role}: {show(source)}", *_describe_data(file)]))
        if remote_id := file_id or (file.file_id if file else None):
            files.append(show(f"{role}: {remote_id}"))
    links = [LineageStep("data", data[0], data[1:])] if data else []
    links += [LineageStep("files at the provider", files[0], files[1:])] if files else []
    name = show(PurePath(run.job_file).name)  # a report does not reveal the folder
    links.append(LineageStep("job file", name, [f"run {run.id}", f"key {run.key[:_HASH]}"]))
    job = show(run.job_id) if run.job_id else "none was created"
    links.append(
        LineageStep("job", job, [show(f"base model {run.model} at {_format_provider(facts)}")])
    )
    links.append(
        LineageStep("model", show(run.fine_tuned_model or "none was made"), _describe_model(facts))
    )
    return links


def list_missing(facts: RunFacts) -> list[str]:
    """Sentences about data that the report cannot show, and why."""
    run, missing = facts.run, list(facts.missing)
    if run.pruned_at is not None:
        missing.append(
            f"Its files were removed by `ftops prune` on {format_moment(run.pruned_at)};"
            " the ledger keeps what is shown here."
        )
    if run.status in (RunStatus.FAILED, RunStatus.CANCELLED):
        reason = f": {show(run.error)}" if run.error else ", and no reason is known"
        verb = "failed" if run.status is RunStatus.FAILED else "was cancelled"
        missing.append(f"The run {verb}{reason}")
    elif run.status in (RunStatus.PENDING, RunStatus.RUNNING):
        missing.append("The run had not ended when the report was made.")
    if not facts.training.rows:
        missing.append(f"No training curves: {_explain_missing(facts, Stage.RESULTS, 'results')}.")
    if facts.evaluation is None:
        missing.append(f"No evaluation: {_explain_missing(facts, Stage.EVALUATE, 'evaluation')}.")
    elif not any(facts.predictions.values()) and run.pruned_at is None:
        missing.append("No predictions: their files are not in the run's folder.")
    return missing


def _explain_missing(facts: RunFacts, stage: Stage, what: str) -> str:
    record = next((record for record in facts.stages if record.stage is stage), None)
    if record is not None and record.status is StageStatus.SKIPPED:
        reason = find_skip_reason(record)
        return show(reason) if reason else f"the stage {stage.value} was skipped"
    if record is not None and record.error:
        return show(record.error)
    if facts.run.pruned_at is not None:
        return "deleted with the run's files"
    if record is not None and record.status is StageStatus.SUCCEEDED:
        return f"the {what} cannot be read, or is not in the run's folder"
    return f"the run has not reached the stage {stage.value}"


def _format_status(facts: RunFacts) -> str:
    return facts.run.status.value


def _format_provider(facts: RunFacts) -> str:
    provider = facts.run.provider
    if provider.uses_engine:
        return "local, the built-in engine"
    return f"{provider.type} at {provider.base_url}" if provider.base_url else provider.type


def _format_data(file: PreparedFile | None) -> str:
    return ", ".join([show(file.source), *_describe_data(file)]) if file else ""


def _describe_data(file: PreparedFile | None) -> list[str]:
    if file is None:
        return []
    return [
        *([format_rows(file.rows)] if file.rows else []),
        *([format_bytes(file.bytes)] if file.bytes else []),
        *([f"sha256 {show(file.sha256[:_HASH])}"] if file.sha256 else []),
    ]


def _format_preparation(facts: RunFacts) -> str:
    """The steps of the plan, the number of encoded labels, and the separator."""
    prepared = facts.results.prepare
    parts = []
    for step in prepared.plan.steps if prepared and prepared.plan else ():
        labels = read_object(step.values, "labels")
        parts.append(f"{step.code} ({len(labels)} labels)" if labels else step.code)
    separator = read_separator(facts)
    parts += [f"separator {separator!r}"] if separator else []
    return show(", ".join(parts), 400)


def _format_hyperparameters(facts: RunFacts) -> str:
    """The hyperparameters of the job, or of the job file if the job has not reported any."""
    followed = facts.results.follow
    had = followed.hyperparameters if followed else {}
    asked = read_object(facts.run.spec, "hyperparameters")
    known = {name: value for name, value in (had or asked).items() if value is not None}
    seed = facts.run.spec.get("seed")
    if seed is not None:
        known["seed"] = seed
    return show(", ".join(f"{name} {_format_json(value)}" for name, value in known.items()), 400)


def _format_json(value: Json) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _measure(facts: RunFacts) -> float | None:
    """The seconds spent in all stages, without the time between commands."""
    seconds = [stage.seconds for stage in facts.stages if stage.seconds is not None]
    return sum(seconds) if seconds else None


def _describe_model(facts: RunFacts) -> list[str]:
    details = []
    if facts.model is not None and facts.model.deleted_at is not None:
        details.append(f"deleted on {format_moment(facts.model.deleted_at)}")
    elif facts.model is not None:
        details.append(f"made on {format_moment(facts.model.created_at)}")
    return details
