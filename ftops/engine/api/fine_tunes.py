"""`/v1/fine-tunes`: the legacy protocol.

Its jobs are in the same queue as those of `/v1/fine_tuning/jobs`; each protocol lists its own.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Header
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from ftops.engine import legacy
from ftops.engine.api.engine import Engine, EngineDependency
from ftops.engine.api.errors import ApiError, error_body, not_found
from ftops.engine.api.files import file_document
from ftops.engine.api.hyperparameters import check_classification
from ftops.engine.api.jobs import (
    IdempotencyKey,
    add_job,
    cancel,
    find_repeated,
    fingerprint_request,
)
from ftops.engine.api.models import delete_model
from ftops.engine.api.routing import JsonRoute
from ftops.engine.api.schema import (
    EVENT_STREAM,
    Betas,
    CreateJob,
    DeletedObject,
    FileObject,
    Finite,
    JsonObject,
    PositiveClass,
    RequestBody,
    send_list,
)
from ftops.engine.ids import new_id
from ftops.engine.legacy import DEFAULT_MODEL, MAX_SUFFIX
from ftops.engine.store import EventRow, FileRow, JobRow
from ftops.records import Json


class CreateFineTune(RequestBody):
    """A new legacy job; null is the default."""

    training_file: Annotated[str, Field(min_length=1, max_length=4096)]
    validation_file: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    model: Annotated[str, Field(min_length=1, max_length=256)] | None = DEFAULT_MODEL
    suffix: Annotated[str, Field(min_length=1, max_length=MAX_SUFFIX)] | None = None
    n_epochs: Annotated[int, Field(ge=1, le=1000)] | None = None
    batch_size: Annotated[int, Field(ge=1, le=256)] | None = None
    learning_rate_multiplier: Annotated[Finite, Field(gt=0, le=10)] | None = None
    prompt_loss_weight: Annotated[Finite, Field(ge=0, le=1)] | None = None
    compute_classification_metrics: bool | None = None
    classification_n_classes: Annotated[int, Field(ge=2, le=1000)] | None = None
    classification_positive_class: PositiveClass | None = None
    classification_betas: Betas | None = None


class FineTuneEvent(BaseModel):
    """An event of a legacy job."""

    object: Literal["fine-tune-event"] = "fine-tune-event"
    created_at: int
    level: str
    message: str


class FineTuneEvents(BaseModel):
    """All events, oldest first; without pages."""

    object: Literal["list"] = "list"
    data: list[FineTuneEvent]


class FineTune(BaseModel):
    """A legacy job."""

    id: str
    object: Literal["fine-tune"] = "fine-tune"
    model: str
    created_at: int
    updated_at: int
    status: Literal["pending", "running", "succeeded", "failed", "cancelled"]
    fine_tuned_model: str | None
    organization_id: str
    hyperparams: dict[str, Any]
    training_files: list[FileObject]
    validation_files: list[FileObject]
    result_files: list[FileObject]


class FineTuneWithEvents(FineTune):
    """A legacy job with its events, as responses about one job have it."""

    events: list[FineTuneEvent]


class FineTuneList(BaseModel):
    """All legacy jobs, oldest first; without pages."""

    object: Literal["list"] = "list"
    data: list[FineTune]


router = APIRouter(prefix="/v1/fine-tunes", tags=["fine-tunes"], route_class=JsonRoute)
_JOB_FIELDS = frozenset({"training_file", "validation_file", "model", "suffix"})
_ALL = -1


@router.post("")
def create_fine_tune(
    body: CreateFineTune,
    engine: EngineDependency,
    openai_organization: Annotated[str | None, Header()] = None,
    idempotency_key: IdempotencyKey = None,
) -> FineTuneWithEvents:
    """Create a job; it is validated, queued and trained in its turn."""
    fingerprint = fingerprint_request(idempotency_key, body)
    if known := find_repeated(fingerprint, engine):
        return _with_events(known, engine)
    fields = body.model_dump(exclude_none=True)
    hyperparameters: dict[str, Json] = {
        "batch_size": "auto",
        "learning_rate_multiplier": "auto",
        **legacy.DEFAULTS,
        **{name: value for name, value in fields.items() if name not in _JOB_FIELDS},
    }
    for param in ("training_file", "validation_file"):
        _check_file(param, fields.get(param), engine)
    job = CreateJob(
        model=body.model or legacy.DEFAULT_MODEL,
        training_file=body.training_file,
        validation_file=body.validation_file,
        suffix=body.suffix,
        metadata=legacy.make_metadata(legacy.parse_organization(openai_organization, engine.owner)),
    )
    check_classification(hyperparameters, job, prefix="")
    return _with_events(
        add_job(new_id(legacy.ID_PREFIX), job, hyperparameters, engine, fingerprint), engine
    )


@router.get("", response_model=FineTuneList)
def list_fine_tunes(engine: EngineDependency) -> Response:
    """List all legacy jobs, oldest first."""
    jobs = engine.store.jobs.list_page(after=None, limit=_ALL, metadata={}, prefix=legacy.ID_PREFIX)
    rows = engine.store.files.list_page(after=None, limit=_ALL, newest_first=True, purpose=None)
    files = {row.id: file_document(row) for row in rows}
    return send_list([_document(job, files) for job in reversed(jobs)])


@router.get("/{job_id}")
def retrieve_fine_tune(job_id: str, engine: EngineDependency) -> FineTuneWithEvents:
    """Retrieve a job with its events."""
    return _with_events(_get_job(job_id, engine), engine)


@router.post("/{job_id}/cancel")
def cancel_fine_tune(job_id: str, engine: EngineDependency) -> FineTuneWithEvents:
    """Cancel a job."""
    return _with_events(cancel(_get_job(job_id, engine), engine), engine)


@router.delete("/{job_id}")
def delete_fine_tune(job_id: str, engine: EngineDependency) -> DeletedObject:
    """Delete the model of a job, by the job's id or the model's name; the job is kept."""
    model = job_id if engine.store.models.find_any(job_id) else None
    if model is None:
        job = _get_job(job_id, engine)
        if not job.ended:
            message = f"The fine-tune {job_id} is {legacy.get_status(job)}: cancel it first."
            raise ApiError(400, message, code="job_not_ended")
        model = job.fine_tuned_model
    if model is None:
        message = f"The fine-tune {job_id} has no model to delete."
        raise ApiError(400, message, code="no_model")
    delete_model(model, engine)
    return DeletedObject(id=job_id, object="fine-tune")


@router.get(
    "/{job_id}/events",
    response_model=FineTuneEvents,
    responses={200: {"content": EVENT_STREAM}},
)
def list_fine_tune_events(job_id: str, engine: EngineDependency, stream: bool = False) -> Response:
    """List the events of a job, oldest first; `stream` sends server-sent events until it ends."""
    job = _get_job(job_id, engine)
    if not stream:
        return send_list(_events(job_id, engine.store.events.list_since(job_id)))
    headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
    return StreamingResponse(
        _follow(job.id, engine), media_type="text/event-stream", headers=headers
    )


async def _follow(job_id: str, engine: Engine) -> AsyncIterator[bytes]:
    """One HTTP chunk for each event: the legacy client needs that to read a live stream."""
    seq = 0
    with engine.event_notifier.subscribe(job_id) as subscription:
        while not engine.event_notifier.is_closed:
            # In this order: the events of an ended job are complete.
            job = await run_in_threadpool(_get_job, job_id, engine)
            rows = await run_in_threadpool(engine.store.events.list_since, job_id, seq)
            for event in _events(job_id, rows):
                yield b"data: " + orjson.dumps(event) + b"\n\n"
            seq = rows[-1].seq if rows else seq
            if job.ended:
                yield b"data: [DONE]\n\n"
                return
            if not await subscription.wait(engine.settings.keep_alive_interval_s):
                yield b": keep-alive\n\n"
    # On an error the legacy client reports an interrupted stream, and how to resume it.
    message = "The engine is shutting down; the job continues after the next start."
    yield b"data: " + orjson.dumps(error_body(503, message, code="shutting_down")) + b"\n\n"


def _get_job(job_id: str, engine: Engine) -> JobRow:
    job = engine.store.jobs.find(job_id) if legacy.is_legacy(job_id) else None
    if job is None:
        raise not_found("fine-tune", job_id)
    return job


def _check_file(param: str, file_id: str | None, engine: Engine) -> None:
    """ApiError for an unknown id; clients also send the path of a file that they do not find."""
    if file_id is not None and engine.store.files.find(file_id) is None:
        message = f"There is no file {file_id!r}: it is not the id of an uploaded file, and the "
        message += "client found no file with that name."
        raise ApiError(400, message, param=param, code="file_not_found")


def _with_events(job: JobRow, engine: Engine) -> FineTuneWithEvents:
    file_ids = [job.training_file, job.validation_file, job.result_file]
    rows = [engine.store.files.find(file_id) for file_id in file_ids if file_id is not None]
    files = {row.id: file_document(row) for row in rows if row is not None}
    events = _events(job.id, engine.store.events.list_since(job.id))
    return FineTuneWithEvents(
        **_document(job, files), events=[FineTuneEvent(**event) for event in events]
    )


def _document(job: JobRow, files: Mapping[str, JsonObject]) -> JsonObject:
    def shown(file_id: str | None) -> list[JsonObject]:
        if file_id is None:
            return []
        known = files.get(file_id)
        if known is None:
            gone = FileRow(file_id, "", "fine-tune", 0, job.created_at, status="deleted")
            return [file_document(gone)]
        return [known]

    hyperparameters = {**job.hyperparameters, **(job.resolved or {})}
    return {
        "id": job.id,
        "object": "fine-tune",
        "model": job.model,
        "created_at": job.created_at,
        "updated_at": job.updated_at,
        "status": legacy.get_status(job),
        "fine_tuned_model": job.fine_tuned_model,
        "organization_id": legacy.get_organization(job),
        "hyperparams": {
            name: None if value == "auto" else value for name, value in hyperparameters.items()
        },
        "training_files": shown(job.training_file),
        "validation_files": shown(job.validation_file),
        "result_files": shown(job.result_file),
    }


def _events(job_id: str, rows: Sequence[EventRow]) -> list[JsonObject]:
    return [
        {
            "object": "fine-tune-event",
            "created_at": row.created_at,
            "level": row.level,
            "message": message,
        }
        for row in rows
        for message in legacy.list_messages(job_id, row)
    ]
