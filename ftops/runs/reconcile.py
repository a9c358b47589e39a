"""Finds a job that exists although this ledger does not know it, and closes lost requests.

There are two ways to get there. A request whose response was lost has left an intent in the ledger;
its job carries the id of its run (`reconcile`). A job that was created from another ledger, or from
one that is gone, carries the key of the run (`find_earlier_job`). A provider without metadata is
searched for a job with the same parameters.
"""

import itertools
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from ftops.ledger.ledger import Ledger, RemoteCall
from ftops.providers.provider import RUN_ID_METADATA, RUN_KEY_METADATA, JobFilter
from ftops.records import FAILED_JOB_STATUSES, Job, JobRequest, Json, Method, Run, RunStatus, Stage
from ftops.runs.context import RunContext, StageContext
from ftops.runs.poll import poll_for
from ftops.runs.preprocessing import prepare_job
from ftops.runs.states import RUN_TRANSITIONS
from ftops.spec.job_file import LoadedJob
from ftops.stage_results import PreparedFile, find_value, get_value

CALL = "create_job"
_PAUSES_S = (1.0, 2.0, 4.0, 8.0, 15.0)  # between two polls of the listing; the last one repeats
# Ours and the provider's, or ours before and after it was set. The age of an intent counts
# only when it is more than this; otherwise the lag of the listing is waited for from now on.
_CLOCKS_APART = timedelta(minutes=5)


def reconcile(stage: StageContext, call: RemoteCall, *, lag_s: float | None = None) -> Job | None:
    """The job that an unanswered call created; it becomes the job of the run.

    None once the provider would certainly have listed it, or after `lag_s` seconds. Raises as the
    provider does.
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
    """The job of this run's key that another ledger has created; it is the run's from then on.

    Looked for before the first job of a run alone, and never for a run that was opened to have a
    job of its own (`--new`). A job that failed or was cancelled is left where it is.
    """
    job = find_earlier_job(stage, request)
    if job:
        ledger = stage.ledger
        call = ledger.record_intent(stage.run.id, Stage.CREATE, CALL, render_request(request))
        ledger.record_job(call, job.id)
        stage.observer.on_note(
            f"found {job.id}, which an earlier command had created; --new makes another one"
        )
    return job


def find_earlier_job(stage: StageContext, request: JobRequest) -> Job | None:
    """What `take_earlier_job` would take, left as it is."""
    if stage.run.force_new_job or _has_had_job(stage):
        return None
    capabilities = stage.provider.capabilities
    # Only another ledger can have brought our file there; then its job may be on its way, too.
    elsewhere = _was_uploaded_elsewhere(stage, request.training_file)
    if not (capabilities.metadata or elsewhere):
        return None
    mark = {RUN_KEY_METADATA: stage.run.key[:32]} if capabilities.metadata else {}
    return _poll_job(
        stage,
        replace(request, metadata=mark),
        lambda job: _may_be_earlier(job, request, stage, by_parameters=elsewhere),
        capabilities.listing_lag_s if elsewhere else 0.0,
    )


def count_jobs(stage: StageContext) -> int:
    """How many jobs the run is known to have had."""
    calls = stage.ledger.list_calls(stage.run.id)
    return sum(call.name == CALL and call.state == "done" for call in calls)


def render_request(request: JobRequest) -> dict[str, Json]:
    """What identifies the request, as an intent keeps it."""
    return {
        "model": request.model,
        "training_file": request.training_file,
        "validation_file": request.validation_file,
        "suffix": request.suffix,
        "metadata": dict(request.metadata),
    }


def read_request(value: Mapping[str, Json]) -> JobRequest:
    """What `render_request` gave."""
    metadata = value.get("metadata")
    return JobRequest(
        model=get_value(value, "model", str),
        training_file=get_value(value, "training_file", str),
        validation_file=find_value(value, "validation_file", str),
        suffix=find_value(value, "suffix", str),
        metadata={key: str(text) for key, text in metadata.items()}
        if isinstance(metadata, dict)
        else {},
    )


def _poll_job(
    stage: StageContext, request: JobRequest, job_filter: JobFilter, lag_s: float
) -> Job | None:
    return poll_for(
        stage,
        lambda: stage.provider.find_job(request, job_filter=job_filter),
        pauses_s=itertools.chain(_PAUSES_S, itertools.repeat(_PAUSES_S[-1])),
        timeout_s=lag_s,
    )


def _may_be_of(job: Job, call: RemoteCall, stage: StageContext) -> bool:
    """Whether the call can have made the job that the provider finds for it.

    Without metadata that may be the job of an earlier attempt, or of another user who trained on
    the same file; only its age decides then.
    """
    if stage.ledger.is_job_known(job.id):
        return False
    if stage.provider.capabilities.metadata:
        return True
    return job.created_at >= call.began_at - _CLOCKS_APART


def _may_be_earlier(
    job: Job, request: JobRequest, stage: StageContext, *, by_parameters: bool
) -> bool:
    """Whether an earlier command can have made the job for the same key as this run's."""
    ledger = stage.ledger
    if job.status in FAILED_JOB_STATUSES or ledger.is_job_known(job.id):
        return False
    maker = job.metadata.get(RUN_ID_METADATA)
    if maker is not None:
        run_id = maker.partition(".")[0]
        # Another run of this ledger is about to record it: one that wanted a job of its own.
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
    """Whether the file carries a name of ours, but no request in this ledger has brought it."""
    if stage.spec.training_file == file_id:
        return False  # the user's own file, named in the job file
    return not stage.ledger.is_upload_known(file_id)


def rebuild_request(job: LoadedJob, stage: StageContext) -> JobRequest | None:
    """The request for the job of this file, without a ledger.

    Where the provider keeps metadata, that alone identifies the job. Elsewhere the data is prepared
    again, in a temporary folder, and its files are looked for by their names; None when they are
    not there, so that no job can have been created with them. DatasetError for data that is bad.
    """
    if stage.provider.capabilities.metadata:
        return JobRequest(job.spec.model, "")
    with tempfile.TemporaryDirectory(prefix="ftops-") as folder:
        prepared = prepare_job(job.spec, job.path, Path(folder), stage.provider)
    file_ids = [_find_file_id(result.file, stage) for result in prepared.files]
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
    spec, capabilities = stage.spec, stage.provider.capabilities
    marks = {RUN_ID_METADATA: _mark(stage), RUN_KEY_METADATA: stage.run.key[:32]}
    return JobRequest(
        model=spec.model,
        training_file=training_file,
        validation_file=validation_file,
        suffix=spec.suffix,
        hyperparameters=spec.hyperparameters.to_record(),
        seed=spec.seed,
        metadata={**spec.metadata, **marks} if capabilities.metadata else {},
        method=Method(spec.method),
        idempotency_key=_make_idempotency_key(stage),
    )


def _mark(stage: StageContext) -> str:
    """The run's id, numbered from its second job on, so that each job has a mark of its own."""
    made = count_jobs(stage)
    return stage.run.id if made == 0 else f"{stage.run.id}.{made + 1}"


def _make_idempotency_key(stage: StageContext) -> str:
    """The same until `--retry` opens the run again, whichever command sends the request."""
    opened = sum(
        move.stage is None and move.after == RunStatus.RUNNING
        for move in stage.ledger.list_state_changes(stage.run.id)
    )
    return f"{stage.run.id}.{opened}"


CANCEL_CALL = "cancel_job"
PAUSE_CALL = "pause_job"
RESUME_CALL = "resume_job"


def reopen_for_job(run: Run, context: RunContext) -> Run:
    """The run; open again, from the follow stage on, when it ended before its job did."""
    if not run.ended_before_job:
        return run
    RUN_TRANSITIONS["reopen"].check(run.status)
    context.observer.on_note(
        f"{run.id} counts as {run.status}, but its job {run.job_id} was not seen to end;"
        " the run is open again"
    )
    return context.ledger.reopen_run(run, (Stage.FOLLOW, Stage.RESULTS, Stage.EVALUATE))


def record_job_end(ledger: Ledger, run: Run, job: Job) -> None:
    """The run's job was seen to end: the ledger knows how, and no request about it is in doubt."""
    ledger.record_job_end(run.id, job.id, job.status)
    close_unanswered(ledger, run, job.status)


def close_unanswered(ledger: Ledger, run: Run, status: str) -> None:
    """The run's job has ended with this status: no request about it is in doubt any more."""
    if run.job_id is None:
        return
    late = f"got no answer, and the job has {status} since"
    if status == RunStatus.CANCELLED:
        late = "got no answer, and the job was cancelled since"
        ledger.close_calls(run.id, (CANCEL_CALL,), remote_id=run.job_id)
    ledger.close_calls(run.id, (CANCEL_CALL, PAUSE_CALL, RESUME_CALL), error=late)
