"""Finds a job that exists already although this ledger does not know it, before one is created.

There are two ways to get there. A request whose answer was lost has left an intent in the ledger;
its job is told by the mark of its run (`reconcile`). A job that was created from another ledger, or
from one that is gone, is told by the mark of the run's key (`find_earlier_job`). A provider that
keeps no marks is asked for a job in the same words.
"""

import itertools
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from ftops.ledger.ledger import RemoteCall
from ftops.providers.provider import RUN_ID_METADATA, RUN_KEY_METADATA, JobFilter
from ftops.records import FAILED_JOB_STATUSES, Job, JobRequest, Json, Stage
from ftops.runs.context import StageContext
from ftops.stage_results import find_value, get_value

CALL = "create_job"
_PAUSES_S = (1.0, 2.0, 4.0, 8.0, 15.0)  # between two looks at the listing; the last one repeats
# Ours and the provider's, or ours before and after somebody has set it. The age of an intent counts
# only when it is more than this; otherwise the lag of the listing is waited for from now on.
_CLOCKS_APART = timedelta(minutes=5)


def reconcile(stage: StageContext, call: RemoteCall, *, lag_s: float | None = None) -> Job | None:
    """The job that an unanswered call has made all the same; it is the run's from then on.

    None once the provider would certainly have listed it, or after `lag_s` seconds. Raises as the
    provider does.
    """
    if lag_s is None:
        young = stage.clock.now() - call.began_at < _CLOCKS_APART
        lag_s = stage.provider.capabilities.listing_lag_s if young else 0.0
    request = read_request(call.request)
    job = _look(stage, request, lambda job: _may_be_of(job, call, stage), lag_s)
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
    return _look(
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


def _look(
    stage: StageContext, request: JobRequest, job_filter: JobFilter, lag_s: float
) -> Job | None:
    """Ask for the job until it is there, or `lag_s` have passed; always once at their end."""
    clock = stage.clock
    until_s = clock.monotonic_s() + lag_s
    for pause_s in itertools.chain(_PAUSES_S, itertools.repeat(_PAUSES_S[-1])):
        left_s = until_s - clock.monotonic_s()
        job = stage.provider.find_job(request, job_filter=job_filter)
        if job or left_s <= 0:
            return job
        stage.sleep(min(pause_s, left_s))
    return None


def _may_be_of(job: Job, call: RemoteCall, stage: StageContext) -> bool:
    """Whether the call can have made the job that the provider finds for it.

    Without metadata that may be the job of an earlier attempt, or of somebody else who trained on
    the same file; only how old it is tells then.
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
