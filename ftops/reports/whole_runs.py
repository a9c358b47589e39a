"""What was run: the facts of a run as names and values, its lineage, and what it lacks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from ftops.records import Json, RunStatus, Stage, StageStatus
from ftops.reports.facts import RunFacts, find_object, find_separator
from ftops.reports.words import (
    say_bytes,
    say_count,
    say_moment,
    say_rows,
    say_seconds,
    say_usd,
    show,
)
from ftops.stage_results import PreparedFile, find_skip_reason

HONEST = (
    "This small model of the built-in engine was trained from random weights: it learned the"
    " format and the labels of its data, not English."
)
_HASH = 12  # characters of a hash that are shown


@dataclass(frozen=True, slots=True)
class Link:
    """One step of a lineage: what it is, its name, and what is known of it."""

    kind: str
    name: str
    details: Sequence[str] = ()


def list_pairs(facts: RunFacts) -> list[tuple[str, str]]:
    """Names and values of what was run; a value is "" where it is not known."""
    run = facts.run
    prepared, followed = facts.results.prepare, facts.results.follow
    return [
        ("run", run.id),
        ("status", _say_status(facts)),
        ("job file", show(PurePath(run.job_file).name)),
        ("provider", show(_say_provider(facts))),
        ("base model", show(run.model)),
        ("fine-tuned model", show(run.fine_tuned_model or "")),
        ("training data", _say_data(prepared.training if prepared else None)),
        ("validation data", _say_data(prepared.validation if prepared else None)),
        ("prepared by", _say_preparation(facts)),
        ("hyperparameters", _say_hyperparameters(facts)),
        ("tokens of the data", say_count(prepared.tokens if prepared else None)),
        ("tokens trained", say_count(followed.trained_tokens if followed else None)),
        ("cost, as estimated", say_usd(prepared.cost_usd if prepared else None)),
        ("began", say_moment(run.created_at)),
        ("took", say_seconds(_measure(facts))),
        ("stages", " · ".join(f"{name} {told}" for name, told in list_times(facts))),
    ]


def list_times(facts: RunFacts) -> list[tuple[str, str]]:
    """Each stage with how long its last attempt took, or how it stands."""
    return [
        (
            one.stage.value,
            say_seconds(one.seconds)
            if one.status is StageStatus.SUCCEEDED and one.seconds is not None
            else one.status.value,
        )
        for one in facts.stages
    ]


def trace(facts: RunFacts) -> list[Link]:
    """From the data to the model: data, file at the provider, job file, job, model."""
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
    links = [Link("data", data[0], data[1:])] if data else []
    links += [Link("files at the provider", files[0], files[1:])] if files else []
    name = show(PurePath(run.job_file).name)  # its folder is nobody's business who gets a report
    links.append(Link("job file", name, [f"run {run.id}", f"key {run.key[:_HASH]}"]))
    job = show(run.job_id) if run.job_id else "none was created"
    links.append(Link("job", job, [show(f"base model {run.model} at {_say_provider(facts)}")]))
    links.append(Link("model", show(run.fine_tuned_model or "none was made"), _tell_model(facts)))
    return links


def list_missing(facts: RunFacts) -> list[str]:
    """What this report cannot show of the run, and why, in sentences."""
    run, missing = facts.run, list(facts.missing)
    if run.pruned_at is not None:
        missing.append(
            f"Its files were removed by `ftops prune` on {say_moment(run.pruned_at)};"
            " the ledger keeps what is shown here."
        )
    if run.status in (RunStatus.FAILED, RunStatus.CANCELLED):
        reason = f": {show(run.error)}" if run.error else ", and no reason is known"
        verb = "failed" if run.status is RunStatus.FAILED else "was cancelled"
        missing.append(f"The run {verb}{reason}")
    elif run.status in (RunStatus.PENDING, RunStatus.RUNNING):
        missing.append("The run has not ended: this is how it stood when the report was made.")
    if not facts.training.rows:
        missing.append(f"No training curves: {_say_why(facts, Stage.RESULTS, 'results')}.")
    if facts.evaluation is None:
        missing.append(f"No evaluation: {_say_why(facts, Stage.EVALUATE, 'evaluation')}.")
    elif not any(facts.answers.values()) and run.pruned_at is None:
        missing.append("No single answers: their files are not in the run's folder.")
    return missing


def _say_why(facts: RunFacts, stage: Stage, what: str) -> str:
    record = next((one for one in facts.stages if one.stage is stage), None)
    if record is not None and record.status is StageStatus.SKIPPED:
        reason = find_skip_reason(record)
        return show(reason) if reason else f"the stage {stage.value} was skipped"
    if record is not None and record.error:
        return show(record.error)
    if facts.run.pruned_at is not None:
        return f"the {what} went with the run's files"
    if record is not None and record.status is StageStatus.SUCCEEDED:
        return f"the {what} cannot be read, or is not in the run's folder"
    return f"the run has not come to the stage {stage.value}"


def _say_status(facts: RunFacts) -> str:
    return facts.run.status.value


def _say_provider(facts: RunFacts) -> str:
    provider = facts.run.provider
    if provider.uses_engine:
        return "local, the built-in engine"
    return f"{provider.type} at {provider.base_url}" if provider.base_url else provider.type


def _say_data(file: PreparedFile | None) -> str:
    return ", ".join([show(file.source), *_describe_data(file)]) if file else ""


def _describe_data(file: PreparedFile | None) -> list[str]:
    if file is None:
        return []
    return [
        *([say_rows(file.rows)] if file.rows else []),
        *([say_bytes(file.bytes)] if file.bytes else []),
        *([f"sha256 {show(file.sha256[:_HASH])}"] if file.sha256 else []),
    ]


def _say_preparation(facts: RunFacts) -> str:
    """The steps of the plan, labels that became numbers among them, and the separator."""
    prepared = facts.results.prepare
    parts = []
    for step in prepared.plan.steps if prepared and prepared.plan else ():
        labels = find_object(step.values, "labels")
        parts.append(f"{step.code} ({len(labels)} labels)" if labels else step.code)
    separator = find_separator(facts)
    parts += [f"separator {separator!r}"] if separator else []
    return show(", ".join(parts), 400)


def _say_hyperparameters(facts: RunFacts) -> str:
    """As the job had them; as they were asked for, where it has not told."""
    followed = facts.results.follow
    had = followed.hyperparameters if followed else {}
    asked = find_object(facts.run.spec, "hyperparameters")
    known = {name: value for name, value in (had or asked).items() if value is not None}
    seed = facts.run.spec.get("seed")
    if seed is not None:
        known["seed"] = seed
    return show(", ".join(f"{name} {_say_json(value)}" for name, value in known.items()), 400)


def _say_json(value: Json) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _measure(facts: RunFacts) -> float | None:
    """Seconds in all its stages; waits between two commands do not count."""
    taken = [one.seconds for one in facts.stages if one.seconds is not None]
    return sum(taken) if taken else None


def _tell_model(facts: RunFacts) -> list[str]:
    told = []
    if facts.model is not None and facts.model.deleted_at is not None:
        told.append(f"deleted on {say_moment(facts.model.deleted_at)}")
    elif facts.model is not None:
        told.append(f"made on {say_moment(facts.model.created_at)}")
    return told
