"""Records from the JSON of Together's API: jobs, events, checkpoints and metrics."""

import csv
import hashlib
import io
import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from ftops.http.response import JsonObject
from ftops.providers.openai_response import UNKNOWN_TIME
from ftops.records import ENDED_JOB_STATUSES, Checkpoint, Job, JobError, JobEvent

# Other words have not ended: pending, queued, running, compressing, uploading, cancel_requested.
_STATUSES = {"completed": "succeeded", "error": "failed", "user_error": "failed"}
# The start of a metric's name -> the start of its column in a results file.
_COLUMNS = {"train": "train_", "eval": "valid_"}
_FIRST_COLUMNS = ("train_loss", "valid_loss", "learning_rate")
_LEVELS = {"iwarning": "warning", "ierror": "error"}  # of events from before 2025
_NANODOLLARS = 1e9  # in a dollar: the unit of `total_price`, by the command `list` of the SDK
_NAMED = frozenset({"object", "created_at", "level", "message", "type", "hash"})


def read_status(fields: JsonObject) -> str:
    """The status in the words of ftops; unknown words stay, and have not ended."""
    word = fields.get_text("status").lower()
    return _STATUSES.get(word, word)


def read_job(fields: JsonObject, now: datetime) -> Job:
    """The record of a job; its id and status are required."""
    status = read_status(fields)
    ended = status in ENDED_JOB_STATUSES
    progress = fields.get_object("progress")
    left_s = progress.values.get("seconds_remaining")
    is_estimated = progress.values.get("estimate_available") is True and not ended
    return Job(
        id=fields.get_text("id"),
        status=status,
        model=fields.find_text("model") or fields.find_text("from_checkpoint") or "",
        created_at=fields.find_time("created_at") or UNKNOWN_TIME,
        fine_tuned_model=fields.find_text("model_output_name") if status == "succeeded" else None,
        deployable_model=fields.find_text("model_object_name"),
        finished_at=fields.find_time("updated_at") if ended else None,
        estimated_finish=now + timedelta(seconds=left_s)
        if is_estimated and isinstance(left_s, int | float)
        else None,
        trained_tokens=fields.find_int("token_count"),
        cost_usd=_read_cost(fields),
        training_file=fields.find_text("training_file"),
        validation_file=fields.find_text("validation_file"),
        hyperparameters=read_hyperparameters(fields),
        seed=fields.find_int("random_seed"),
    )


def _read_cost(fields: JsonObject) -> float | None:
    """What the job costs in US dollars; None before the service has set it."""
    price = fields.values.get("total_price")
    return price / _NANODOLLARS if isinstance(price, int | float) and price > 0 else None


def read_hyperparameters(fields: JsonObject) -> Mapping[str, int | float | str]:
    """The hyperparameters of a job by the names of ftops."""
    values = {name: fields.values.get(name) for name in ("n_epochs", "batch_size", "learning_rate")}
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, int | float | str) and not isinstance(value, bool)
    }


def read_event(fields: JsonObject) -> JobEvent:
    """The record of an event; the service gives it no id, so it gets a digest of its content."""
    kind = (fields.find_text("type") or "message").lower()
    message = fields.find_text("message") or ""
    step = fields.find_int("step")
    said = [fields.values.get("created_at"), kind, step, message]
    digest = hashlib.sha256(repr(said).encode()).hexdigest()
    level = (fields.find_text("level") or "info").lower().removeprefix("legacy_")
    return JobEvent(
        id=f"ftevent-{digest[:24]}",
        created_at=fields.find_time("created_at") or UNKNOWN_TIME,
        level=_LEVELS.get(level, level),
        message=message,
        type=kind,
        data={
            name: value
            for name, value in fields.values.items()
            if name not in _NAMED and value is not None
        },
    )


def read_checkpoint(fields: JsonObject, job_id: str) -> Checkpoint | None:
    """The record of a checkpoint; None without a step."""
    step = fields.find_int("step")
    if step is None:
        return None
    return Checkpoint(
        id=fields.find_text("object_id") or fields.find_text("path") or f"{job_id}:{step}",
        step=step,
        model=fields.find_text("object_name") or f"{job_id}:{step}",
    )


def render_metrics(entries: Sequence[JsonObject]) -> bytes | None:
    """The metrics by step as a CSV table with OpenAI's names of columns; None without any.

    The values of the training and of the evaluations come in entries of their own.
    """
    steps: dict[int, dict[str, float]] = {}
    for entry in entries:
        step: int | None = None
        values: dict[str, float] = {}
        for name, value in entry.values.items():
            if not isinstance(value, int | float) or not math.isfinite(value):
                continue
            group, _, metric = name.rpartition("/")
            if metric == "global_step":
                step = int(value)
            elif metric == "learning_rate":
                values[metric] = value
            else:
                values[_COLUMNS.get(group, "") + metric] = value
        if step is not None:
            steps.setdefault(step, {}).update(values)
    columns = sorted({name for values in steps.values() for name in values}, key=_order_column)
    if not columns:
        return None
    table = io.StringIO()
    writer = csv.DictWriter(table, ["step", *columns], lineterminator="\n")
    writer.writeheader()
    writer.writerows({"step": step, **values} for step, values in sorted(steps.items()))
    return table.getvalue().encode()


def _order_column(name: str) -> tuple[int, str]:
    is_first = name in _FIRST_COLUMNS
    return (_FIRST_COLUMNS.index(name) if is_first else len(_FIRST_COLUMNS), name)


def find_reason(events: Sequence[JobEvent]) -> JobError | None:
    """Why a job failed, from its events; the job itself does not say."""
    errors = [event for event in events if event.level == "error" or event.type.endswith("error")]
    return JobError(errors[-1].type, errors[-1].message) if errors else None
