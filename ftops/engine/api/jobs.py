"""`/v1/fine_tuning/jobs`: jobs, their events and their checkpoints."""

import hashlib
import re
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, TypeAlias

import orjson
from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel

from ftops import crashpoints
from ftops.engine.api.engine import Engine, EngineDependency
from ftops.engine.api.errors import ApiError, not_found
from ftops.engine.api.hyperparameters import (
    check_classification,
    check_pretraining,
    get_method,
    list_hyperparameters,
    method_object,
    read_hyperparameters,
)
from ftops.engine.api.routing import JsonRoute
from ftops.engine.api.schema import (
    MAX_METADATA,
    CheckpointMetrics,
    CheckpointObject,
    CreateJob,
    EventObject,
    FilePage,
    JobObject,
    JsonObject,
    Page,
    send_list,
    split_page,
    unknown_cursor,
)
from ftops.engine.base_models import BaseModelStore
from ftops.engine.hyperparameters import read_hyperparameters as read_job_hyperparameters
from ftops.engine.ids import checkpoint_id, new_id
from ftops.engine.legacy import is_legacy
from ftops.engine.lora.memory import check_job_memory
from ftops.engine.model_store import link_file
from ftops.engine.settings import JobFolder
from ftops.engine.store import EventRow, JobRow, JobStatus, ModelRow, NewEvent
from ftops.errors import EngineError
from ftops.files import make_private_dir, sync_dir
from ftops.lora_options import LoraOptions
from ftops.records import Json

router = APIRouter(prefix="/v1/fine_tuning/jobs", tags=["fine-tuning"], route_class=JsonRoute)
_METADATA_FILTER = re.compile(r"metadata\[(.+)\]")
IdempotencyKey: TypeAlias = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        description="A second request with the same key and body returns the job of the first one."
        " With another body it is refused.",
    ),
]


@router.post("")
def create_job(
    body: CreateJob,
    engine: EngineDependency,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> JobObject:
    """Create a job; it is validated, queued and trained in its turn."""
    hyperparameters = read_hyperparameters(body)
    check_classification(hyperparameters, body)
    if body.integrations:
        message = "The engine does not support integrations."
        raise ApiError(400, message, param="integrations", code="unsupported_parameter")
    fingerprint = fingerprint_request(idempotency_key, body)
    job = find_repeated(fingerprint, engine) or add_job(
        new_id("ftjob"), body, hyperparameters, engine, fingerprint
    )
    response.headers.update(engine.quotas.rate_jobs(engine.store).headers())
    return job_object(job)


@dataclass(frozen=True, slots=True)
class RequestFingerprint:
    """Identifies a repeated request for a job: its idempotency key and a hash of its body."""

    key: str
    sha256: str


def fingerprint_request(key: str | None, body: BaseModel) -> RequestFingerprint | None:
    """The fingerprint of a request with an idempotency key; None without one."""
    if key is None:
        return None
    sent = body.model_dump(mode="json", exclude_unset=True)
    content = orjson.dumps([type(body).__name__, sent], option=orjson.OPT_SORT_KEYS)
    return RequestFingerprint(key, hashlib.sha256(content).hexdigest())


def find_repeated(fingerprint: RequestFingerprint | None, engine: Engine) -> JobRow | None:
    """The job of an earlier identical request; ApiError when a different request used the key."""
    job = engine.store.jobs.find_by_idempotency_key(fingerprint.key) if fingerprint else None
    if fingerprint and job and job.request_sha256 != fingerprint.sha256:
        message = f"Another request has this Idempotency-Key; it created the job {job.id}."
        raise ApiError(422, message, code="idempotency_key_reused")
    return job


def add_job(
    job_id: str,
    body: CreateJob,
    hyperparameters: Mapping[str, Json],
    engine: Engine,
    fingerprint: RequestFingerprint | None = None,
) -> JobRow:
    """Link the job's files and record the job."""
    folder = engine.paths.job(job_id)
    make_private_dir(folder.root)
    try:
        _link_files(body, folder, engine)
        _check_memory(body.model, hyperparameters, folder, engine)
        crashpoints.reach("engine.jobs.before_record")
        # One transaction, so that the model cannot be deleted in between.
        with engine.store.transaction():
            if known := find_repeated(fingerprint, engine):  # two equal requests at the same time
                shutil.rmtree(folder.root, ignore_errors=True)
                return known
            engine.quotas.check_job(engine.store)
            now = engine.store.now()
            base = _get_base(body.model, engine)
            info = engine.list_bases().get(base)
            if info is None:
                message = f"The base model {base!r} of this model is not registered any more."
                raise ApiError(400, message, param="model", code="base_model_not_found")
            check_pretraining(hyperparameters, body, base, info)
            job = JobRow(
                id=job_id,
                status=JobStatus.VALIDATING_FILES,
                model=body.model,
                base=base,
                training_file=body.training_file,
                validation_file=body.validation_file,
                suffix=body.suffix,
                seed=secrets.randbelow(1 << 31) if body.seed is None else body.seed,
                metadata=body.metadata or {},
                hyperparameters=hyperparameters,
                created_at=now,
                updated_at=now,
                method=get_method(body),
                owner=engine.owner,
                idempotency_key=fingerprint.key if fingerprint else None,
                request_sha256=fingerprint.sha256 if fingerprint else None,
            )
            created = NewEvent("created", f"Created fine-tuning job: {job_id}")
            engine.store.add_job(job, created)
    except BaseException:
        shutil.rmtree(folder.root, ignore_errors=True)
        raise
    crashpoints.reach("engine.jobs.after_record")
    engine.scheduler.wake()
    return job


@router.get("")
def list_jobs(
    request: Request,
    engine: EngineDependency,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> Page[JobObject]:
    """List jobs, newest first; `metadata[KEY]=VALUE` filters them."""
    if after is not None and engine.store.jobs.find(after) is None:
        raise unknown_cursor(after)
    pairs = [
        (match[1], value)
        for name, value in request.query_params.multi_items()
        if (match := _METADATA_FILTER.fullmatch(name))
    ]
    if len(pairs) > MAX_METADATA:
        message = f"{len(pairs):,} metadata filters; a job has at most {MAX_METADATA} pairs."
        raise ApiError(400, message, param="metadata", code="invalid_value")
    metadata = dict(pairs)
    rows = engine.store.jobs.list_page(after=after, limit=limit + 1, metadata=metadata)
    data, has_more = split_page(rows, limit, job_object)
    return Page(data=data, has_more=has_more)


@router.get("/{job_id}")
def retrieve_job(job_id: str, engine: EngineDependency) -> JobObject:
    """Retrieve a job."""
    return job_object(get_job(job_id, engine))


@router.post("/{job_id}/cancel")
def cancel_job(job_id: str, engine: EngineDependency) -> JobObject:
    """Cancel a job; its last checkpoints are kept."""
    return job_object(cancel(get_job(job_id, engine), engine))


def cancel(job: JobRow, engine: Engine) -> JobRow:
    """Cancel the job; ApiError when it has ended."""
    cancelled = engine.scheduler.cancel(job.id)
    now = engine.store.jobs.find(job.id) or job
    if cancelled:
        return now
    message = f"The job {job.id} has already {now.status}."
    if now.status is JobStatus.CANCELLED:
        message = f"The job {job.id} is already cancelled."
    raise ApiError(400, message, code="job_ended")


@router.post("/{job_id}/pause")
def pause_job(job_id: str, engine: EngineDependency) -> JobObject:
    """Pause a job; a running one writes a checkpoint first."""
    get_job(job_id, engine)
    if not engine.scheduler.pause(job_id):
        raise _wrong_state(get_job(job_id, engine), "paused")
    return job_object(get_job(job_id, engine))


@router.post("/{job_id}/resume")
def resume_job(job_id: str, engine: EngineDependency) -> JobObject:
    """Queue a paused job again; it continues from its checkpoint."""
    get_job(job_id, engine)
    if not engine.scheduler.resume(job_id):
        raise _wrong_state(get_job(job_id, engine), "resumed")
    return job_object(get_job(job_id, engine))


@router.get("/{job_id}/events", response_model=Page[EventObject])
def list_events(
    job_id: str,
    engine: EngineDependency,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 20,
) -> Response:
    """List the events of a job, newest first."""
    get_job(job_id, engine)
    if after is not None and not engine.store.events.has(job_id, after):
        raise unknown_cursor(after)
    rows = engine.store.events.list_page(job_id, after=after, limit=limit + 1)
    data, has_more = split_page(rows, limit, _event_document)
    return send_list(data, {"has_more": has_more})


def get_job(job_id: str, engine: Engine) -> JobRow:
    """The job, or 404."""
    job = engine.store.jobs.find(job_id)
    if job is None or is_legacy(job_id):
        raise not_found("fine-tuning job", job_id)
    return job


_STATE_REASONS = {
    JobStatus.VALIDATING_FILES: "its files are being validated; try again in a moment",
    JobStatus.QUEUED: "it is queued, not paused",
    JobStatus.RUNNING: "it is running, not paused",
    JobStatus.PAUSING: "it is pausing; try again in a moment",
    JobStatus.PAUSED: "it is already paused",
    JobStatus.SUCCEEDED: "it has succeeded",
    JobStatus.FAILED: "it has failed",
    JobStatus.CANCELLED: "it was cancelled",
}


def _wrong_state(job: JobRow, action: str) -> ApiError:
    message = f"The job {job.id} cannot be {action}: {_STATE_REASONS[job.status]}."
    return ApiError(400, message, code="job_ended" if job.ended else "invalid_job_state")


def _link_files(body: CreateJob, folder: JobFolder, engine: Engine) -> None:
    """Link the job's files, so that they can be deleted."""
    engine.delete_expired()
    files = [("training_file", body.training_file, folder.training)]
    if body.validation_file is not None:
        files.append(("validation_file", body.validation_file, folder.validation))
    for param, file_id, target in files:
        row = engine.store.files.find(file_id)
        if row is None or not engine.paths.file(row.id).is_file():
            raise ApiError(
                400, f"There is no file {file_id!r}.", param=param, code="file_not_found"
            )
        if row.purpose != "fine-tune":
            message = f"The file {file_id} has the purpose {row.purpose!r}, not 'fine-tune'."
            raise ApiError(400, message, param=param, code="invalid_file_purpose")
        link_file(engine.paths.file(row.id), target)
    sync_dir(folder.root)
    sync_dir(engine.paths.jobs)


def _check_memory(
    model: str, hyperparameters: Mapping[str, Json], folder: JobFolder, engine: Engine
) -> None:
    """ApiError when this machine has too little memory to train a registered base model."""
    base = BaseModelStore(engine.paths.base_models).find(_get_base(model, engine))
    if base is None:
        return
    settings = read_job_hyperparameters(hyperparameters)
    try:
        options = LoraOptions.model_validate(settings.lora or {})
        check_job_memory(base, options, settings.batch_size, folder.training)
    except EngineError as error:
        message = f"{error.message}. {error.hint}"
        raise ApiError(400, message, param="hyperparameters", code="insufficient_memory") from error


def _get_base(model: str, engine: Engine) -> str:
    """The base model under `model`, which may be a fine-tuned one."""
    bases = engine.list_bases()
    if model in bases:
        return model
    row = engine.store.models.find(model)
    if row is None:
        message = f"There is no such model; the base models are {', '.join(bases)}."
        raise ApiError(404, message, param="model", code="model_not_found")
    return row.base


def job_object(job: JobRow) -> JobObject:
    """The job as an object of the API."""
    error: dict[str, str | None] = {}
    if job.error_code is not None:
        error = {"code": job.error_code, "message": job.error_message, "param": job.error_param}
    return JobObject(
        id=job.id,
        created_at=job.created_at,
        error=error,
        fine_tuned_model=job.fine_tuned_model,
        finished_at=job.finished_at,
        hyperparameters=list_hyperparameters(job),
        model=job.model,
        organization_id=job.owner,
        result_files=[job.result_file] if job.result_file else [],
        seed=job.seed,
        status=job.status,
        trained_tokens=job.trained_tokens,
        training_file=job.training_file,
        validation_file=job.validation_file,
        estimated_finish=job.estimated_finish,
        metadata=dict(job.metadata),
        method=method_object(job),
        user_provided_suffix=job.suffix,
    )


def _event_document(event: EventRow) -> JsonObject:
    return {
        "id": event.id,
        "object": "fine_tuning.job.event",
        "created_at": event.created_at,
        "level": event.level,
        "message": event.message,
        "type": event.type,
        "data": event.data,
    }


@router.get("/{job_id}/checkpoints")
def list_checkpoints(
    job_id: str,
    engine: EngineDependency,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 10,
) -> FilePage[CheckpointObject]:
    """List the checkpoints of an ended job, latest first; each is a model."""
    get_job(job_id, engine)
    rows = engine.store.models.list_checkpoints(job_id)
    if after is not None:
        indices = [index for index, row in enumerate(rows) if _checkpoint_id(row) == after]
        if not indices:
            raise unknown_cursor(after)
        rows = rows[indices[0] + 1 :]
    data, has_more = split_page(rows, limit, _checkpoint_object)
    ends = (data[0].id, data[-1].id) if data else (None, None)
    return FilePage(data=data, has_more=has_more, first_id=ends[0], last_id=ends[1])


def _checkpoint_id(row: ModelRow) -> str:
    return checkpoint_id(row.job_id, row.step or 0)


def _checkpoint_object(row: ModelRow) -> CheckpointObject:
    return CheckpointObject(
        id=_checkpoint_id(row),
        created_at=row.created_at,
        fine_tuned_model_checkpoint=row.name,
        fine_tuning_job_id=row.job_id,
        metrics=CheckpointMetrics(step=row.step or 0, **row.metrics),
        step_number=row.step or 0,
    )
