"""From the bytes of an answer to records, forgiving about everything that does not matter.

Servers that speak the protocol leave fields out, send null, or add their own; only what a record
cannot be without is insisted on. An answer that is no JSON object, or lacks such a field, is a
`BadAnswer` that shows how the answer begins.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from ftops.errors import BadAnswer
from ftops.records import Checkpoint, Job, JobError, JobEvent, Json, Model, RemoteFile

SHOWN_CHARS = 200
UNKNOWN_MOMENT = datetime(1970, 1, 1, tzinfo=UTC)  # stands for a date that the answer lacks


def render_excerpt(content: bytes) -> str:
    """How the answer begins, on one line."""
    text = content.decode("utf-8", errors="replace")[: 4 * SHOWN_CHARS]
    text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return text[:SHOWN_CHARS] or "(nothing)"


@dataclass(frozen=True, slots=True)
class Fields:
    """One JSON object of an answer; `doing` says what was asked, for errors."""

    values: Mapping[str, Json]
    doing: str
    request_id: str | None = None

    def get_text(self, name: str) -> str:
        """A field that must be there and hold text."""
        value = self.values.get(name)
        if isinstance(value, str) and value:
            return value
        raise self.complaint(f"it has no {name!r}")

    def find_text(self, name: str) -> str | None:
        value = self.values.get(name)
        return value if isinstance(value, str) and value else None

    def find_int(self, name: str) -> int | None:
        value = self.values.get(name)
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
        ):
            return None
        return int(value)

    def find_moment(self, name: str) -> datetime | None:
        """Seconds since 1970, or the same moment as ISO 8601 text."""
        value = self.values.get(name)
        try:
            if isinstance(value, str):
                moment = datetime.fromisoformat(value)
                return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
            if isinstance(value, int | float) and not isinstance(value, bool):
                return datetime.fromtimestamp(value, UTC)
        except (ValueError, OverflowError, OSError):
            pass  # a date is never worth failing for
        return None

    def find_object(self, name: str) -> "Fields":
        """The object in a field; an empty one when there is none."""
        value = self.values.get(name)
        return Fields(value if isinstance(value, dict) else {}, self.doing, self.request_id)

    def find_texts(self, name: str) -> Mapping[str, str]:
        """An object of texts, such as metadata."""
        values = self.find_object(name).values
        return {key: value for key, value in values.items() if isinstance(value, str)}

    def get_objects(self, name: str) -> list["Fields"]:
        """A field that must hold a list of objects."""
        items = self.values.get(name)
        if not isinstance(items, list):
            raise self.complaint(f"it has no list {name!r}")
        found = []
        for item in items:
            if not isinstance(item, dict):
                raise self.complaint(f"{name!r} holds something else than objects")
            found.append(Fields(item, self.doing, self.request_id))
        return found

    def complaint(self, reason: str) -> BadAnswer:
        """The error for an answer that is not the protocol's."""
        shown = render_excerpt(json.dumps(self.values, ensure_ascii=False).encode())
        return _complaint(self.doing, reason, shown, self.request_id)


def _complaint(doing: str, reason: str, shown: str, request_id: str | None) -> BadAnswer:
    return BadAnswer(
        f"{doing}: the answer is not the protocol's, {reason}: {shown}", request_id=request_id
    )


def read_object(content: bytes, doing: str, request_id: str | None = None) -> Fields:
    """The JSON object that an answer consists of."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        raise _complaint(doing, "it is not JSON", render_excerpt(content), request_id) from None
    if not isinstance(value, dict):
        shown = render_excerpt(content)
        raise _complaint(doing, "it is not a JSON object", shown, request_id)
    return Fields(value, doing, request_id)


def find_error(values: Mapping[str, Json]) -> Mapping[str, Json] | None:
    """The error that stands in the place of an answer; None where the body is an answer.

    Gateways send errors with a status of success, as `{"error": …}`, `{"detail": …}`, the error's
    own fields, or an `error` inside a choice. A job, a file or a model may hold an `error` of its
    own, which is no reason to lose it.
    """
    if _is_resource(values):
        return None
    error = values.get("error")
    if not error and not any(values.get(name) for name in ("id", "choices", "data", "results")):
        error = values.get("detail")
        named = ("code", "status", "type", "object")
        if not error and values.get("message") and any(name in values for name in named):
            return values
    choices = values.get("choices")
    if not error and isinstance(choices, list):
        errors = [choice.get("error") for choice in choices if isinstance(choice, dict)]
        error = next((one for one in errors if one), None)
    if not error:
        return None
    return error if isinstance(error, dict) else {"message": _render_reason(error)}


def find_error_text(error: Mapping[str, Json]) -> str | None:
    """The sentence of an error object, under whichever name; None where it has none."""
    for name in ("message", "detail", "msg"):
        value = error.get(name)
        text = _render_reason(value).strip() if isinstance(value, str | list) else ""
        if text:
            return text
    return None


def _is_resource(values: Mapping[str, Json]) -> bool:
    kind = values.get("object")
    answers = ("chat.completion", "text_completion", "list", "error")
    named = isinstance(kind, str) and not kind.startswith(answers)
    stated = isinstance(values.get("status"), str) and "choices" not in values
    return bool(values.get("id")) and (named or stated)


def _render_reason(error: Json) -> str:
    """The text of an error that is no object, such as the list of problems that FastAPI sends."""
    if not isinstance(error, list):
        return str(error)
    problems = []
    for item in error:
        place = item.get("loc") if isinstance(item, dict) else None
        where = ".".join(map(str, place)) if isinstance(place, list) else ""
        reason = item.get("msg") if isinstance(item, dict) else item
        problems.append(f"{where}: {reason}" if where else str(reason))
    return "; ".join(problems)


def read_file(fields: Fields) -> RemoteFile:
    """The record of an uploaded file; its id is the only thing it cannot lack."""
    return RemoteFile(
        id=fields.get_text("id"),
        filename=fields.find_text("filename") or "",
        bytes=fields.find_int("bytes") or 0,
        purpose=fields.find_text("purpose") or "",
        created_at=fields.find_moment("created_at") or UNKNOWN_MOMENT,
        # Deprecated at OpenAI: where it is missing, the file counts as ready.
        status=fields.find_text("status") or "processed",
    )


def read_job(fields: Fields) -> Job:
    """The record of a job; id and status are what it cannot lack."""
    result_files = fields.values.get("result_files")
    return Job(
        id=fields.get_text("id"),
        status=fields.get_text("status"),
        model=fields.find_text("model") or "",
        created_at=fields.find_moment("created_at") or UNKNOWN_MOMENT,
        fine_tuned_model=fields.find_text("fine_tuned_model"),
        finished_at=fields.find_moment("finished_at"),
        estimated_finish=fields.find_moment("estimated_finish"),
        trained_tokens=fields.find_int("trained_tokens"),
        training_file=fields.find_text("training_file"),
        validation_file=fields.find_text("validation_file"),
        result_files=read_ids(result_files),
        hyperparameters=_read_hyperparameters(fields),
        seed=fields.find_int("seed"),
        metadata=fields.find_texts("metadata"),
        error=_read_job_error(fields),
    )


def read_ids(value: Json) -> tuple[str, ...]:
    """File ids, whether they stand there bare or inside file objects."""
    ids = []
    for item in value if isinstance(value, list) else []:
        found = item.get("id") if isinstance(item, dict) else item
        if isinstance(found, str):
            ids.append(found)
    return tuple(ids)


def _read_hyperparameters(fields: Fields) -> Mapping[str, int | float | str]:
    """What was asked for under `method`, overlaid with what the older, flat field says.

    Once a job runs, some servers put the figures that replaced "auto" in one place only, so a
    figure never gives way to "auto".
    """
    method = fields.find_object("method")
    kind = method.find_text("type") or "supervised"
    found: dict[str, int | float | str] = {}
    for source in (method.find_object(kind), fields):
        for name, value in source.find_object("hyperparameters").values.items():
            if isinstance(value, int | float | str) and (value != "auto" or name not in found):
                found[name] = value
    return found


def _read_job_error(fields: Fields) -> JobError | None:
    """Healthy jobs carry `error: {}` or null; only a code or a message is an error."""
    error = fields.find_object("error")
    code, message = error.find_text("code"), error.find_text("message")
    if code is None and message is None:
        text = fields.find_text("error")
        return JobError(code="", message=text) if text else None
    return JobError(code=code or "", message=message or "", param=error.find_text("param"))


def read_event(fields: Fields) -> JobEvent:
    """The record of an event; one without an id gets one that stays the same when read again."""
    created_at = fields.find_moment("created_at") or UNKNOWN_MOMENT
    message = fields.find_text("message") or ""
    made_up = hashlib.sha256(f"{created_at.isoformat()} {message}".encode()).hexdigest()
    return JobEvent(
        id=fields.find_text("id") or f"ftevent-{made_up[:24]}",
        created_at=created_at,
        level=fields.find_text("level") or "info",
        message=message,
        type=fields.find_text("type") or "message",
        data=fields.find_object("data").values,
    )


def read_checkpoint(fields: Fields) -> Checkpoint:
    """The record of a checkpoint; its model's name and its step are what it cannot lack."""
    name = fields.get_text("fine_tuned_model_checkpoint")
    step = fields.find_int("step_number")
    if step is None:
        raise fields.complaint("it has no 'step_number'")
    metrics = fields.find_object("metrics").values
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


def read_model(fields: Fields) -> Model:
    """The record of a model; its id is the only thing it cannot lack."""
    name = fields.get_text("id")
    return Model(
        id=name,
        created_at=fields.find_moment("created") or UNKNOWN_MOMENT,
        owned_by=fields.find_text("owned_by") or "",
        shutdown_date=fields.find_text("shutdown_date"),
        base=find_base_model(name),
    )


def find_base_model(model: str) -> str | None:
    """The model that `model` was tuned from, where its name tells it.

    Three habits of naming are known: `ft:base:organization:suffix:id` (OpenAI, the engine),
    `base:ft-organization-date` (OpenAI before 2024) and `base.ft-id-suffix` (Azure).
    """
    if model.startswith("ft:"):
        base = model.split(":")[1]
        return base or None
    tuned = re.match(r"(.+?)[:.]ft-", model)
    return tuned.group(1) if tuned else None
