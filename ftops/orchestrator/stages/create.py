"""The job is created: once, whatever happens to the request, to its answer or to this process.

The intent is in the ledger before the request leaves. Without a clear answer the provider is asked
whether the job is there, for long enough that a listing which lags has caught up; only when it
certainly is not, a later command sends the request again.
"""

import contextlib
from collections.abc import Mapping
from datetime import timedelta

from ftops import crashpoints
from ftops.errors import (
    BadAnswer,
    FtopsError,
    ProviderError,
    RateLimited,
    RunError,
    Unavailable,
    Unreachable,
)
from ftops.ledger.ledger import RemoteCall
from ftops.orchestrator.details import find_value, get_value
from ftops.orchestrator.hints import say_run
from ftops.orchestrator.work import Outcome, Work
from ftops.records import Job, JobRequest, Json, Method, Run, Stage

CALL = "create_job"
LISTING_LAG_S = 30.0  # by then a job that exists is in the provider's listing
_PAUSES_S = (1.0, 2.0, 4.0, 8.0, 15.0)  # together LISTING_LAG_S
_CLOCKS_APART = timedelta(minutes=5)  # ours and the provider's
_TRIES = 3  # while the provider answers that there are too many requests
_PAUSE_S = 20.0
_LONGEST_RETRY_AFTER_S = 120.0
_IN_DOUBT = (Unreachable, Unavailable, BadAnswer)


def create(work: Work) -> Outcome:
    """Leave the job's id in the run, and in the detail what was known of it then."""
    if work.run.job_id is not None:  # recorded by a command that died before the stage was done
        return Outcome({"job_id": work.run.job_id, "model": work.spec.model, "adopted": True})
    provider, ledger = work.desk.provider, work.desk.ledger
    provider.ensure_ready()
    call = ledger.find_open_call(work.run.id, CALL)
    job = reconcile(work, call) if call else None
    adopted = job is not None
    if call and not job:
        ledger.record_failed(call, "the provider does not know the job; the request was lost")
    if not job:
        job, adopted = _send_patiently(work, make_request(work))
    detail: dict[str, Json] = {
        "job_id": job.id,
        "status": job.status,
        "model": job.model,
        "adopted": adopted or None,
    }
    return Outcome(detail)


def make_request(work: Work) -> JobRequest:
    """What is asked of the provider for this run, with the marks by which the job is found."""
    files = work.get_detail(Stage.UPLOAD)
    return build_request(
        work,
        training_file=get_value(files, "training_file", str),
        validation_file=find_value(files, "validation_file", str),
    )


def build_request(work: Work, *, training_file: str, validation_file: str | None) -> JobRequest:
    """The request of this run for these files at the provider."""
    spec, capabilities = work.spec, work.desk.provider.capabilities
    marks = {"ftops_run": _mark(work), "ftops_key": work.run.key[:32]}
    return JobRequest(
        model=spec.model,
        training_file=training_file,
        validation_file=validation_file,
        suffix=spec.suffix,
        hyperparameters=spec.hyperparameters.to_record(),
        seed=spec.seed,
        metadata={**spec.metadata, **marks} if capabilities.metadata else {},
        method=Method(spec.method),
    )


def reconcile(work: Work, call: RemoteCall) -> Job | None:
    """The job that an unanswered call has made all the same; it is the run's from then on.

    None once the provider would certainly have listed it. Raises as the provider does.
    """
    job = _look(work, call)
    if job:
        work.desk.ledger.record_job(call, job.id)
        work.desk.observer.noted(f"found {job.id}, which an interrupted command had created")
    return job


def _look(work: Work, call: RemoteCall) -> Job | None:
    request = _from_json(call.request)
    clock = work.desk.clock
    for pause_s in (*_PAUSES_S, None):
        job = work.desk.provider.find_job(request, may_be=lambda job: _may_be_of(job, call, work))
        if job:
            return job
        age = clock.now() - call.began_at
        if pause_s is None or age >= timedelta(seconds=LISTING_LAG_S):
            return None
        clock.sleep(pause_s)
    return None


def _may_be_of(job: Job, call: RemoteCall, work: Work) -> bool:
    """Whether the call can have made the job that the provider finds for it.

    Without metadata that may be the job of an earlier attempt, or of somebody else who trained on
    the same file; only how old it is tells then.
    """
    if work.desk.ledger.is_job_known(job.id):
        return False
    if work.desk.provider.capabilities.metadata:
        return True
    return job.created_at >= call.began_at - _CLOCKS_APART


def _send_patiently(work: Work, request: JobRequest) -> tuple[Job, bool]:
    """Send; and again only when the provider has said that it was too early."""
    for _ in range(_TRIES - 1):
        try:
            return _send(work, request)
        except RateLimited as error:
            if error.final or (error.retry_after_s or 0.0) > _LONGEST_RETRY_AFTER_S:
                raise
            pause_s = error.retry_after_s or _PAUSE_S
            work.desk.observer.noted(f"{error.message}; asking again in {pause_s:,.0f} s")
            work.desk.clock.sleep(pause_s)
    return _send(work, request)


def _send(work: Work, request: JobRequest) -> tuple[Job, bool]:
    ledger = work.desk.ledger
    call = ledger.record_intent(work.run.id, Stage.CREATE, CALL, _to_json(request))
    crashpoints.reach("create.before_call")
    try:
        job = work.desk.provider.create_job(request)
    except _IN_DOUBT as error:
        return _settle(work, call, error), True
    except ProviderError as error:
        ledger.record_failed(call, error.message)
        raise
    crashpoints.reach("create.after_call")
    ledger.record_job(call, job.id)
    return job, False


def _settle(work: Work, call: RemoteCall, error: ProviderError) -> Job:
    """The job of a call that got no clear answer, or an error that says so."""
    work.desk.observer.noted(f"{error.message}; asking the provider whether the job exists")
    with contextlib.suppress(ProviderError):
        if job := reconcile(work, call):
            return job
    raise _doubt(work.run, error) from error


def _doubt(run: Run, error: ProviderError) -> FtopsError:
    return RunError(
        f"creating the job got no clear answer ({error.message}): it may or may not exist",
        hint=f"{say_run(run)} asks the provider for it before it sends anything again.",
    )


def _mark(work: Work) -> str:
    """The run's id, numbered from its second job on, so that each job has a mark of its own."""
    made = sum(
        call.name == CALL and call.state == "done"
        for call in work.desk.ledger.list_calls(work.run.id)
    )
    return work.run.id if made == 0 else f"{work.run.id}.{made + 1}"


def _to_json(request: JobRequest) -> dict[str, Json]:
    return {
        "model": request.model,
        "training_file": request.training_file,
        "validation_file": request.validation_file,
        "suffix": request.suffix,
        "metadata": dict(request.metadata),
    }


def _from_json(value: Mapping[str, Json]) -> JobRequest:
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
