"""Records from the JSON of OpenAI's API: files, jobs, events, checkpoints, models."""

import hashlib
import math
from collections.abc import Mapping
from datetime import UTC, datetime

from ftops.capabilities import Naming
from ftops.http.response import JsonObject
from ftops.records import Checkpoint, Job, JobError, JobEvent, Json, Model, RemoteFile

UNKNOWN_TIME = datetime(1970, 1, 1, tzinfo=UTC)  # for a date that the response lacks


def read_file(fields: JsonObject) -> RemoteFile:
    """The record of an uploaded file; its id is required."""
    return RemoteFile(
        id=fields.get_text("id"),
        filename=fields.find_text("filename") or "",
        bytes=fields.find_int("bytes") or 0,
        purpose=fields.find_text("purpose") or "",
        created_at=fields.find_time("created_at") or UNKNOWN_TIME,
        # Deprecated at OpenAI: a file without it counts as ready.
        status=fields.find_text("status") or "processed",
    )


def read_job(fields: JsonObject) -> Job:
    """The record of a job; its id and status are required."""
    result_files = fields.values.get("result_files")
    return Job(
        id=fields.get_text("id"),
        status=fields.get_text("status"),
        model=fields.find_text("model") or "",
        created_at=fields.find_time("created_at") or UNKNOWN_TIME,
        fine_tuned_model=fields.find_text("fine_tuned_model"),
        finished_at=fields.find_time("finished_at"),
        estimated_finish=fields.find_time("estimated_finish"),
        trained_tokens=fields.find_int("trained_tokens"),
        training_file=fields.find_text("training_file"),
        validation_file=fields.find_text("validation_file"),
        result_files=read_ids(result_files),
        hyperparameters=_read_hyperparameters(fields),
        seed=fields.find_int("seed"),
        metadata=fields.get_texts("metadata"),
        error=_read_job_error(fields),
    )


def read_ids(value: Json) -> tuple[str, ...]:
    """File ids, as texts or in file objects."""
    ids = []
    for item in value if isinstance(value, list) else []:
        found = item.get("id") if isinstance(item, dict) else item
        if isinstance(found, str):
            ids.append(found)
    return tuple(ids)


def _read_hyperparameters(fields: JsonObject) -> Mapping[str, int | float | str]:
    """The hyperparameters under `method`, overlaid with those of the older, flat field.

    Once a job runs, some servers write the values that replace "auto" to only one of the two, so
    "auto" never replaces a value.
    """
    method = fields.get_object("method")
    kind = method.find_text("type") or "supervised"
    found: dict[str, int | float | str] = {}
    for source in (method.get_object(kind), fields):
        for name, value in source.get_object("hyperparameters").values.items():
            if isinstance(value, int | float) and value < 0:
                value = "auto"  # Azure's n_epochs is -1 until it is chosen
            if isinstance(value, int | float | str) and (value != "auto" or name not in found):
                found[name] = value
    return found


def _read_job_error(fields: JsonObject) -> JobError | None:
    """Only a code or a message is an error: jobs without one have `error: {}` or null."""
    error = fields.get_object("error")
    code, message = error.find_text("code"), error.find_text("message")
    if code is None and message is None:
        text = fields.find_text("error")
        return JobError(code="", message=text) if text else None
    return JobError(code=code or "", message=message or "", param=error.find_text("param"))


def read_event(fields: JsonObject) -> JobEvent:
    """The record of an event; without an id it gets a stable hash of its content."""
    created_at = fields.find_time("created_at") or UNKNOWN_TIME
    message = fields.find_text("message") or ""
    digest = hashlib.sha256(f"{created_at.isoformat()} {message}".encode()).hexdigest()
    return JobEvent(
        id=fields.find_text("id") or f"ftevent-{digest[:24]}",
        created_at=created_at,
        level=fields.find_text("level") or "info",
        message=message,
        type=fields.find_text("type") or "message",
        data=fields.get_object("data").values,
    )


def read_checkpoint(fields: JsonObject) -> Checkpoint:
    """The record of a checkpoint; the step and an id or a model's name are required.

    Crusoe has two names, of which `fine_tuned_model_id` can be deployed; Nebius may have none.
    """
    names = map(fields.find_text, ("fine_tuned_model_id", "fine_tuned_model_checkpoint"))
    name = next(filter(None, names), None) or fields.get_text("id")
    step = fields.find_int("step_number")
    if step is None:
        raise fields.malformed("missing 'step_number'")
    metrics = fields.get_object("metrics").values
    return Checkpoint(
        id=fields.find_text("id") or name,
        step=step,
        model=name,
        metrics={
            figure: float(value)
            for figure, value in metrics.items()
            if isinstance(value, int | float)
            and not isinstance(value, bool)
            and math.isfinite(value)
        },
    )


_PRICES = (
    "estimated_price", "estimated_price_usd", "estimated_cost", "estimated_total_price", "price",
    "total_price", "cost",
)  # fmt: skip


def read_price(fields: JsonObject) -> float | None:
    """The price in an estimate in US dollars, as a number or a decimal text; None without one."""
    for name in _PRICES:
        price = read_decimal(fields.values.get(name))
        if price is not None:
            return price
    return None


def read_decimal(value: Json) -> float | None:
    """A finite number of at least 0, or a text of one."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def read_model(fields: JsonObject, naming: Naming) -> Model:
    """The record of a model; its id is required."""
    name = fields.get_text("id")
    kind = fields.find_text("model_type")  # Crusoe's names have no base model
    trained_from = fields.find_text("base_model") or ""
    named = naming.find_base_model(name)
    return Model(
        id=name,
        created_at=fields.find_time("created") or UNKNOWN_TIME,
        owned_by=fields.find_text("owned_by") or "",
        shutdown_date=fields.find_text("shutdown_date"),
        base=trained_from if named is None and kind not in (None, "base_model") else named,
    )
