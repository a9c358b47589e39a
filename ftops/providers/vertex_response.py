"""Records from the JSON of Vertex: tuning jobs and their events.

Whole numbers of 64 bits are texts in this JSON.
"""

import re
from collections.abc import Mapping

from ftops.http.response import JsonObject
from ftops.providers.openai_response import UNKNOWN_TIME
from ftops.providers.provider import RUN_ID_METADATA, RUN_KEY_METADATA
from ftops.records import (
    Checkpoint,
    Job,
    JobError,
    JobEvent,
    Json,
)
from ftops.text import format_count

SPECS = ("supervisedTuningSpec", "preferenceOptimizationSpec")
_PARTIAL = "JOB_STATE_PARTIALLY_SUCCEEDED"
_STATUSES = {
    "JOB_STATE_QUEUED": "queued",
    "JOB_STATE_PENDING": "queued",
    "JOB_STATE_RUNNING": "running",
    "JOB_STATE_UPDATING": "running",
    "JOB_STATE_PAUSED": "running",
    "JOB_STATE_CANCELLING": "running",
    "JOB_STATE_SUCCEEDED": "succeeded",
    _PARTIAL: "succeeded",
    "JOB_STATE_FAILED": "failed",
    "JOB_STATE_EXPIRED": "failed",
    "JOB_STATE_CANCELLED": "cancelled",
}
_LEVELS = {
    "JOB_STATE_FAILED": "error",
    "JOB_STATE_EXPIRED": "error",
    _PARTIAL: "warning",
}
_HYPERPARAMETERS = {
    "epochCount": "n_epochs",
    "learningRateMultiplier": "learning_rate_multiplier",
    "beta": "beta",
    "adapterSize": "adapter_size",
}
# Of google.rpc.Code, by which an ended job names its error.
_CODES = {
    1: "CANCELLED", 2: "UNKNOWN", 3: "INVALID_ARGUMENT", 4: "DEADLINE_EXCEEDED", 5: "NOT_FOUND",
    6: "ALREADY_EXISTS", 7: "PERMISSION_DENIED", 8: "RESOURCE_EXHAUSTED", 9: "FAILED_PRECONDITION",
    10: "ABORTED", 11: "OUT_OF_RANGE", 12: "UNIMPLEMENTED", 13: "INTERNAL", 14: "UNAVAILABLE",
    15: "DATA_LOSS", 16: "UNAUTHENTICATED",
}  # fmt: skip


def to_labels(metadata: Mapping[str, str]) -> dict[str, str]:
    """The metadata that identifies a job as labels; an underscore replaces the dot of a run's id.

    Labels have lower-case letters, digits, hyphens and underscores, too few for other metadata.
    """
    return {
        name: metadata[name].replace(".", "_")
        for name in (RUN_ID_METADATA, RUN_KEY_METADATA)
        if name in metadata
    }


def _read_labels(labels: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value.replace("_", ".") if name == RUN_ID_METADATA else value
        for name, value in labels.items()
    }


def read_job(fields: JsonObject) -> Job:
    """The record of a tuning job; its name and state are required.

    `fine_tuned_model` is the endpoint, which requests name; `deployable_model` is the model there.
    """
    state = fields.get_text("state")
    spec = _get_spec(fields)
    hyperparameters = _read_hyperparameters(spec.get_object("hyperParameters"))
    tuned, source = fields.get_object("tunedModel"), fields.get_object("preTunedModel")
    return Job(
        id=read_id(fields.get_text("name")),
        status=_STATUSES.get(state, _to_words(state).replace(" ", "_")),
        model=fields.find_text("baseModel") or source.find_text("tunedModelName") or "",
        created_at=fields.find_time("createTime") or UNKNOWN_TIME,
        fine_tuned_model=tuned.find_text("endpoint"),
        deployable_model=tuned.find_text("model"),
        finished_at=fields.find_time("endTime"),
        trained_tokens=_find_trained_tokens(fields, hyperparameters),
        training_file=spec.find_text("trainingDatasetUri"),
        validation_file=spec.find_text("validationDatasetUri"),
        hyperparameters=hyperparameters,
        metadata=_read_labels(fields.get_texts("labels")),
        error=_read_error(fields, state),
    )


def read_id(name: str) -> str:
    """The last part of a resource name."""
    return name.rpartition("/")[2]


def read_events(fields: JsonObject, known: frozenset[str]) -> list[JobEvent]:
    """The changes of a job's state since the events in `known`, of a service without events.

    Each state is an event; ids have the number of the event, because a state can return.
    """
    job_id, state = read_id(fields.get_text("name")), fields.get_text("state")
    detail = _to_words(fields.find_text("tuningJobState") or "", "TUNING_JOB_STATE_")
    numbered = re.compile(re.escape(job_id) + r":(\d+):(.*)")
    seen = {int(found[1]): found[2] for found in map(numbered.fullmatch, known) if found}
    created_at = fields.find_time("createTime") or UNKNOWN_TIME
    changed_at = fields.find_time("endTime") or fields.find_time("updateTime") or created_at
    events = []
    if not seen:
        seen[0] = ""
        events.append(JobEvent(f"{job_id}:0:", created_at, "info", f"Created the job {job_id}"))
    if (size := _describe_data(fields)) and f"{job_id}:data" not in known:
        level = "warning" if "truncated" in size else "info"
        events.append(JobEvent(f"{job_id}:data", max(created_at, changed_at), level, size))
    number = max(seen)
    text = f"{state}/{detail}"
    if seen[number] != text:
        error = _read_error(fields, state)
        words = (_to_words(state), detail, error.message if error else "")
        message = ": ".join(filter(None, words))
        events.append(
            JobEvent(
                f"{job_id}:{number + 1}:{text}",
                max(created_at, changed_at),
                _LEVELS.get(state, "info"),
                message[:1].upper() + message[1:],
            )
        )
    return events


def read_checkpoints(fields: JsonObject) -> list[Checkpoint]:
    """The checkpoints of a job that have an endpoint, by step."""
    tuned = fields.get_object("tunedModel")
    listed = tuned.list_objects("checkpoints")
    checkpoints = [
        Checkpoint(
            item.find_text("checkpointId") or endpoint, find_int64(item, "step") or 0, endpoint
        )
        for item in listed
        if (endpoint := item.find_text("endpoint"))
    ]
    return sorted(checkpoints, key=lambda checkpoint: checkpoint.step)


def _get_spec(fields: JsonObject) -> JsonObject:
    name = next((spec for spec in SPECS if spec in fields.values), SPECS[0])
    return fields.get_object(name)


def _read_hyperparameters(fields: JsonObject) -> dict[str, int | float | str]:
    found: dict[str, int | float | str] = {}
    for name, field_name in _HYPERPARAMETERS.items():
        value = fields.values.get(name)
        if name == "epochCount":
            value = find_int64(fields, name)
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            found[field_name] = value
    return found


def _get_data_statistics(fields: JsonObject) -> JsonObject:
    statistics = fields.get_object("tuningDataStats")
    kind = next((name for name in statistics.values if name.endswith("DataStats")), "")
    return statistics.get_object(kind)


def _find_trained_tokens(
    fields: JsonObject, hyperparameters: Mapping[str, int | float | str]
) -> int | None:
    """The billable tokens of the data, times the epochs; None until both are known."""
    tokens = find_int64(_get_data_statistics(fields), "totalBillableTokenCount")
    epochs = hyperparameters.get("n_epochs")
    return tokens * epochs if tokens is not None and isinstance(epochs, int) else None


def _describe_data(fields: JsonObject) -> str:
    """The service's report on the training data; "" until there is one."""
    statistics = _get_data_statistics(fields)
    rows = find_int64(statistics, "tuningDatasetExampleCount")
    if rows is None:
        return ""
    tokens = find_int64(statistics, "totalBillableTokenCount")
    truncated = find_int64(statistics, "totalTruncatedExampleCount")
    text = f"Training data: {format_count(rows, 'row')}"
    text += "" if tokens is None else f", {format_count(tokens, 'billable token')}"
    return text + (f", {format_count(truncated, 'row')} truncated" if truncated else "")


def _read_error(fields: JsonObject, state: str) -> JobError | None:
    """The error of a job that failed; an empty one says nothing."""
    if _STATUSES.get(state) == "succeeded" and state != _PARTIAL:
        return None
    error = fields.get_object("error")
    code, message = error.find_int("code"), error.find_text("message")
    if not code and message is None:
        return JobError("EXPIRED", "the job expired") if state == "JOB_STATE_EXPIRED" else None
    return JobError(_CODES.get(code or 0, str(code or "")), message or "")


def find_int64(fields: JsonObject, name: str) -> int | None:
    """A whole number, as a number or as text."""
    value: Json = fields.values.get(name)
    if isinstance(value, str) and re.fullmatch(r"\d{1,19}", value):
        return int(value)
    return fields.find_int(name)


def _to_words(state: str, prefix: str = "JOB_STATE_") -> str:
    """A state without its prefix, in words."""
    return state.removeprefix(prefix).lower().replace("_", " ")
