"""Finds a job that the ledger has not recorded, and closes unanswered requests.

There are two cases. A request whose response was lost has left an intent in the ledger; its job has
the id of its run as metadata, or its mark in the suffix (`reconcile`). A job that was created with
another or a deleted ledger has the key of the run (`find_earlier_job`). A provider without metadata
is searched for a job with the same parameters.
"""

import hashlib
import itertools
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from ftops.capabilities import MARK_CHARS, Capabilities
from ftops.ledger.ledger import Ledger
from ftops.ledger.records import RemoteCall
from ftops.providers.provider import RUN_ID_METADATA, RUN_KEY_METADATA, JobFilter
from ftops.records import FAILED_JOB_STATUSES, Job, JobRequest, Json, Method, Run, RunStatus, Stage
from ftops.run_folder import RunFolder
from ftops.runs.context import RunContext, StageContext
from ftops.runs.poll import schedule_polls
from ftops.runs.preprocessing import prepare_job, write_upload
from ftops.runs.states import RUN_TRANSITIONS
from ftops.spec.job_file import LoadedJob, list_unsent
from ftops.spec.model import JobSpec
from ftops.stage_results import PreparedFile, find_value, get_value

CALL = "create_job"
_PAUSES_S = (1.0, 2.0, 4.0, 8.0, 15.0)  # between two polls of the listing; the last one repeats
# The largest expected difference between two clocks. The age of an intent counts only if it is
# larger than this; otherwise the wait for the lag of the listing starts now.
_CLOCKS_APART = timedelta(minutes=5)


def reconcile(stage: StageContext, call: RemoteCall, *, lag_s: float | None = None) -> Job | None:
    """Find the job that an unanswered call created, and record it as the job of the run.

    None if the provider has not listed it after its listing lag, or `lag_s` seconds. Raises the
    provider's errors.
    """
    if lag_s is None:
        young = stage.clock.now() - call.began_at < _CLOCKS_APART
        lag_s = stage.provider.capabilities.listing_lag_s if young else 0.0
    request = read_request(call.request)
    job = _poll_job(stage, request, lambda job: _may_be_of(job, call, stage), lag_s)
    if job:
        stage.ledger.record_job(call, job.id)
        stage.observer.on_note(f"found {job.id}, which an earlier request had created")
    return job


def take_earlier_job(stage: StageContext, request: JobRequest) -> Job | None:
    """Find a job with this run's key from another ledger, and record it as the job of the run.

    Searches only before the first job of a run, and never for a run opened with `--new`. Ignores
    jobs that failed or were cancelled.
    """
    job = find_earlier_job(stage, request)
    if job:
        stage.ledger.record_job(record_create_intent(stage, request), job.id)
        stage.observer.on_note(
            f"found {job.id}, which an earlier command had created; --new makes another one"
        )
    return job


def find_earlier_job(stage: StageContext, request: JobRequest) -> Job | None:
    """The job that `take_earlier_job` would record."""
    if stage.run.force_new_job or _has_had_job(stage):
        return None
    capabilities = stage.provider.capabilities
    # If another ledger uploaded the file, it may also have a job that is not listed yet.
    elsewhere = _was_uploaded_elsewhere(stage, request.training_file)
    if not (capabilities.metadata or elsewhere):
        return None
    mark = {RUN_KEY_METADATA: stage.run.key[:32]} if capabilities.metadata else {}
    return _poll_job(
        stage,
        replace(request, metadata=mark, mark=""),
        lambda job: _may_be_earlier(job, request, stage, by_parameters=elsewhere),
        capabilities.listing_lag_s if elsewhere else 0.0,
    )


def count_jobs(stage: StageContext) -> int:
    """The number of recorded jobs of the run."""
    calls = stage.ledger.list_calls(stage.run.id)
    return sum(call.name == CALL and call.state == "done" for call in calls)


def record_create_intent(stage: StageContext, request: JobRequest) -> RemoteCall:
    """Record that the request for the job is sent next, to the account of the provider."""
    fields = {**render_request(request), "account": stage.provider.account}
    return stage.ledger.record_intent(stage.run.id, Stage.CREATE, CALL, fields)


def render_request(request: JobRequest) -> dict[str, Json]:
    """The fields that identify the request, as an intent stores them."""
    fields: dict[str, Json] = {
        "model": request.model,
        "training_file": request.training_file,
        "validation_file": request.validation_file,
        "suffix": request.suffix,
        "metadata": dict(request.metadata),
    }
    return fields | ({"mark": request.mark} if request.mark else {})


def read_request(value: Mapping[str, Json]) -> JobRequest:
    """The request from the output of `render_request`."""
    metadata = value.get("metadata")
    return JobRequest(
        model=get_value(value, "model", str),
        training_file=get_value(value, "training_file", str),
        validation_file=find_value(value, "validation_file", str),
        suffix=find_value(value, "suffix", str),
        metadata={key: str(text) for key, text in metadata.items()}
        if isinstance(metadata, dict)
        else {},
        mark=find_value(value, "mark", str) or "",
    )


def _poll_job(
    stage: StageContext, request: JobRequest, job_filter: JobFilter, lag_s: float
) -> Job | None:
    pauses_s = itertools.chain(_PAUSES_S, itertools.repeat(_PAUSES_S[-1]))
    for _ in schedule_polls(stage.clock, pauses_s, timeout_s=lag_s, sleep=stage.sleep):
        if job := stage.provider.find_job(request, job_filter=job_filter):
            return job
    return None


def _may_be_of(job: Job, call: RemoteCall, stage: StageContext) -> bool:
    """Whether the call can have created the job that the provider finds for it.

    Without metadata, the job may be that of an earlier attempt or of another user who trained on
    the same file; then only its age decides.
    """
    if stage.ledger.is_job_known(job.id):
        return False
    if stage.provider.capabilities.metadata:
        return True
    return job.created_at >= call.began_at - _CLOCKS_APART


def _may_be_earlier(
    job: Job, request: JobRequest, stage: StageContext, *, by_parameters: bool
) -> bool:
    """Whether an earlier command can have created the job for this run's key."""
    ledger = stage.ledger
    if job.status in FAILED_JOB_STATUSES or ledger.is_job_known(job.id):
        return False
    maker = job.metadata.get(RUN_ID_METADATA)
    if maker is not None:
        run_id = maker.partition(".")[0]
        # Skip the job of another run of this ledger (`--new`) that has not recorded it yet.
        return run_id == stage.run.id or not ledger.has_run(run_id)
    return by_parameters and not any(
        call.run_id != stage.run.id
        and call.request.get("training_file") == request.training_file
        and job.created_at >= call.began_at - _CLOCKS_APART
        for call in ledger.list_open_calls(CALL)
    )


def _has_had_job(stage: StageContext) -> bool:
    return stage.run.job_id is not None or count_jobs(stage) > 0


def _was_uploaded_elsewhere(stage: StageContext, file_id: str) -> bool:
    """Whether ftops uploaded the file, but no request in this ledger did."""
    if stage.spec.training_file == file_id:
        return False  # the user's own file, named in the job file
    return not stage.ledger.is_upload_known(file_id)


def rebuild_request(job: LoadedJob, stage: StageContext) -> JobRequest | None:
    """The request for the job of this job file, without a ledger.

    If the provider stores metadata, that alone identifies the job. Otherwise the data is prepared
    again in a temporary folder, and its files are searched by name at the provider. None if they do
    not exist, because then no job can use them. DatasetError for bad data.
    """
    if stage.provider.capabilities.metadata:
        return JobRequest(job.spec.model, "")
    with tempfile.TemporaryDirectory(prefix="ftops-") as folder:
        prepared = prepare_job(job.spec, job.path, Path(folder), stage.provider)
        files = [
            write_upload(
                result.file, RunFolder(Path(folder)), stage.provider, Method(job.spec.method)
            ).record
            for result in prepared.files
        ]
    file_ids = [_find_file_id(file, stage) for file in files]
    if None in file_ids:
        return None
    training, validation = (*file_ids, None)[:2]
    assert training is not None
    return build_request(stage, training_file=training, validation_file=validation)


def _find_file_id(file: PreparedFile, stage: StageContext) -> str | None:
    if file.file_id is not None:
        return file.file_id
    there = stage.provider.find_file(file.remote_name, file.bytes)
    return there.id if there else None


def build_request(
    stage: StageContext, *, training_file: str, validation_file: str | None
) -> JobRequest:
    """The request of this run for these files at the provider."""
    capabilities = stage.provider.capabilities
    request = map_request(stage.spec, capabilities, training_file, validation_file)
    digest = hashlib.sha256(_mark(stage).encode()).hexdigest()
    marks = {RUN_ID_METADATA: _mark(stage), RUN_KEY_METADATA: stage.run.key[:32]}
    return replace(
        request,
        metadata={**request.metadata, **marks} if capabilities.metadata else {},
        idempotency_key=_make_idempotency_key(stage),
        mark=digest[:MARK_CHARS] if capabilities.mark_in_suffix else "",
    )


def map_request(
    spec: JobSpec, capabilities: Capabilities, training_file: str, validation_file: str | None
) -> JobRequest:
    """The request for a job file, without what identifies the run.

    It has only the fields that the provider takes (`list_unsent` lists the others).
    """
    unsent = list_unsent(spec, capabilities)
    return JobRequest(
        model=spec.model,
        training_file=training_file,
        validation_file=validation_file,
        suffix=spec.suffix,
        hyperparameters=spec.hyperparameters.to_record(),
        seed=None if "seed" in unsent else spec.seed,
        metadata={} if "metadata" in unsent else dict(spec.metadata),
        method=Method(spec.method),
        sections=spec.sections,
    )


def _mark(stage: StageContext) -> str:
    """The run's id, numbered from its second job on, so that it is unique for each job."""
    made = count_jobs(stage)
    return stage.run.id if made == 0 else f"{stage.run.id}.{made + 1}"


def _make_idempotency_key(stage: StageContext) -> str:
    """A key for the request that stays the same until `--retry` reopens the run."""
    opened = sum(
        move.stage is None and move.after == RunStatus.RUNNING
        for move in stage.ledger.list_state_changes(stage.run.id)
    )
    return f"{stage.run.id}.{opened}"


CANCEL_CALL = "cancel_job"
PAUSE_CALL = "pause_job"
RESUME_CALL = "resume_job"


def reopen_for_job(run: Run, context: RunContext) -> Run:
    """Reopen the run from its follow stage if it ended before the end of its job was recorded."""
    if not run.ended_before_job:
        return run
    RUN_TRANSITIONS["reopen"].check(run.status)
    context.observer.on_note(
        f"{run.id} counts as {run.status}, but its job {run.job_id} was not seen to end;"
        " the run is open again"
    )
    return context.ledger.reopen_run(
        run, (Stage.FOLLOW, Stage.RESULTS, Stage.DEPLOY, Stage.EVALUATE)
    )


def record_job_end(ledger: Ledger, run: Run, job: Job) -> None:
    """Record the end of the run's job, and close the unanswered requests about it."""
    ledger.record_job_end(run.id, job.id, job.status)
    close_unanswered(ledger, run, job.status)


def close_unanswered(ledger: Ledger, run: Run, status: str) -> None:
    """Close the unanswered requests about the run's job, which has ended with this status."""
    if run.job_id is None:
        return
    late = f"got no answer, and the job has {status} since"
    if status == RunStatus.CANCELLED:
        late = "got no answer, and the job was cancelled since"
        ledger.close_calls(run.id, (CANCEL_CALL,), remote_id=run.job_id)
    ledger.close_calls(run.id, (CANCEL_CALL, PAUSE_CALL, RESUME_CALL), error=late)
