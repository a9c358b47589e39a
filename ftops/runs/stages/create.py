"""The job is created: once, whatever happens to the request, to its answer or to this process.

The intent is in the ledger before the request is sent. After any error but a refusal, the job is
searched at the provider, for longer than its listing may lag. Only if it is not listed, the request
is sent again: after a 429 by this command, otherwise by the next one. After a refusal the job is
searched once. Before the first request of a run, the provider is searched for a job that an earlier
command created with another ledger.
"""

import contextlib
from collections.abc import Iterator
from datetime import timedelta

from ftops import crashpoints
from ftops.errors import (
    FtopsError,
    JobCancelled,
    LedgerError,
    NotFound,
    PermissionRefused,
    ProviderError,
    RateLimited,
    Rejected,
    RunError,
)
from ftops.ledger.ledger import RemoteCall
from ftops.records import Job, JobRequest, Run, Stage
from ftops.runs.commands import format_command, format_run_command, list_provider_options
from ftops.runs.context import StageContext, StageResult
from ftops.runs.reconcile import (
    CALL,
    build_request,
    reconcile,
    render_request,
    take_earlier_job,
)
from ftops.stage_results import CreateResult

# Pauses after a 429: that of the provider, or growing ones.
_FIRST_PAUSE_S = 20.0
_LONGEST_PAUSE_S = 3600.0  # also for a daily limit without a given pause
_MAX_WAIT_S = 48 * 3600.0  # in all; `limits.max_wait` may end it before
_LOOK_EVERY_S = 10.0  # for a cancel, while waiting
_DAILY_LIMIT = "daily_rate_limit_exceeded"
_CLOSED = "training_not_available"


def create(stage: StageContext) -> StageResult:
    """Leave the job's id in the run, and in the detail what was known of it then."""
    if stage.run.job_id is not None:  # recorded by a command that died before the stage was done
        return StageResult(CreateResult(stage.run.job_id, stage.spec.model, adopted=True).to_json())
    stage.provider.ensure_ready()
    with _looking(stage.run):
        job = _find_made_job(stage)
        request = make_request(stage)
        job = job or take_earlier_job(stage, request)
    adopted = job is not None
    if not job:
        job, adopted = _send_patiently(stage, request)
    return StageResult(CreateResult(job.id, job.model, job.status, adopted).to_json())


def make_request(stage: StageContext) -> JobRequest:
    """The job request of this run, with the metadata by which the job is found again."""
    files = stage.read_results().upload
    if files is None:
        raise LedgerError(f"the ledger is damaged: {stage.run.id} has no uploaded files")
    return build_request(
        stage, training_file=files.training_file, validation_file=files.validation_file
    )


def _send_patiently(stage: StageContext, request: JobRequest) -> tuple[Job, bool]:
    """Send; and again when the provider has said that it was too early, and lists no job of ours.

    Returns the job, and whether an earlier request has made it.
    """
    clock = stage.clock
    until_s = clock.monotonic_s() + _MAX_WAIT_S
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            return _send(stage, request)
        except RateLimited as error:
            limited = error
        now_s = clock.monotonic_s()
        wait_s = _find_wait_s(limited, pause_s)
        gives_up = wait_s is None or now_s + wait_s > until_s
        if wait_s is not None and not gives_up:
            wait_s = max(wait_s, stage.provider.capabilities.listing_lag_s)
            at = (clock.now() + timedelta(seconds=wait_s)).astimezone()
            stage.observer.on_note(
                f"{limited.message}; next attempt at {at:%Y-%m-%d %H:%M:%S} (in {wait_s:,.0f} s)."
                " Ctrl-C loses nothing: the same command continues here"
            )
        with contextlib.suppress(ProviderError):  # it is looked for again before anything is sent
            if job := _find_made_job(stage):
                return job, True
        if wait_s is None or gives_up:
            raise limited
        _wait_unless_cancelled(stage, now_s + wait_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _find_wait_s(error: RateLimited, pause_s: float) -> float | None:
    """How long until the next slot; None when waiting is of no use."""
    if error.code == _DAILY_LIMIT:
        return error.retry_after_s or _LONGEST_PAUSE_S
    if error.final:
        return None
    return pause_s if error.retry_after_s is None else error.retry_after_s


def _wait_unless_cancelled(stage: StageContext, until_s: float) -> None:
    clock = stage.clock
    while (left_s := until_s - clock.monotonic_s()) > 0:
        _check_not_cancelled(stage)
        stage.sleep(min(left_s, _LOOK_EVERY_S))


def _check_not_cancelled(stage: StageContext) -> None:
    """JobCancelled when another command wants the end of the run, and it certainly has no job."""
    ledger = stage.ledger
    if ledger.is_cancel_asked(stage.run.id) and not ledger.find_open_call(stage.run.id, CALL):
        raise JobCancelled("cancelled before it had a job")


def _find_made_job(stage: StageContext) -> Job | None:
    """The job of a request without a clear answer, if there was one; it is settled by then."""
    ledger = stage.ledger
    call = ledger.find_open_call(stage.run.id, CALL)
    job = reconcile(stage, call) if call else None
    if call and not job:
        ledger.record_failed(call, "the provider does not know the job; the request was lost")
    return job


@contextlib.contextmanager
def _looking(run: Run) -> Iterator[None]:
    """Let the run stay open when a request that only looks for its job is refused."""
    try:
        yield
    except (Rejected, PermissionRefused, NotFound) as error:
        raise RunError(
            f"{error.message}; it is unknown whether {run.id} has a job, and nothing was sent",
            hint=f"{format_run_command(run)} tries again. {error.hint}".strip(),
        ) from error


def _send(stage: StageContext, request: JobRequest) -> tuple[Job, bool]:
    """Send the request once, unless one before it has made the job. See `_send_patiently`."""
    with _looking(stage.run):
        if job := _find_made_job(stage):
            return job, True
    ledger = stage.ledger
    _check_not_cancelled(stage)
    call = ledger.record_intent(stage.run.id, Stage.CREATE, CALL, render_request(request))
    crashpoints.reach("create.before_call")
    try:
        job = stage.provider.create_job(request)
    except RateLimited:
        raise  # the intent stays open, so that the job is looked for before the next request
    except ProviderError as error:
        if not error.is_refusal:
            return _settle(stage, call, error), True
        with contextlib.suppress(ProviderError):  # some servers refuse what they have done
            if job := reconcile(stage, call, lag_s=0.0):
                return job, True
        ledger.record_failed(call, error.message)
        if isinstance(error, PermissionRefused) and error.code == _CLOSED:
            error.hint = f"{error.hint} {_offer_deletion(stage, request)}".strip()
        raise
    crashpoints.reach("create.after_call")
    ledger.record_job(call, job.id)
    return job, False


def _settle(stage: StageContext, call: RemoteCall, error: ProviderError) -> Job:
    """The job of a call that got no clear answer, or an error that says so."""
    stage.observer.on_note(f"{error.message}; asking the provider whether the job exists")
    with contextlib.suppress(ProviderError):
        if job := reconcile(stage, call):
            return job
    raise _doubt(stage.run, error) from error


def _doubt(run: Run, error: ProviderError) -> FtopsError:
    return RunError(
        f"creating the job had an unclear result ({error.message}): the job may or may not exist",
        hint=f"{format_run_command(run)} looks for the job at the provider before it creates one.",
    )


def _offer_deletion(stage: StageContext, request: JobRequest) -> str:
    """How to take back what was uploaded for a job that is refused for good."""
    files = [request.training_file, request.validation_file]
    own = [file for file in files if file and stage.ledger.is_upload_known(file)]
    if not own:
        return ""
    words = list_provider_options(stage.run.provider)
    return f"{format_command('files', 'delete', *own, *words)} deletes what was uploaded for it."
