"""Creates the job exactly once, even if the request, its response or this process is lost.

The intent is recorded in the ledger before the request is sent. After any error except a refusal,
the provider is searched for the job, for longer than its listing may lag. Only if the job is not
listed, the request is sent again: after a 429 by this command, otherwise by the next one. After a
refusal, the provider is searched once. Before the first request of a run, the provider is searched
for a job that an earlier command created with another ledger.
"""

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import replace
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
from ftops.ledger.records import RemoteCall
from ftops.records import Job, JobRequest, Run
from ftops.runs.commands import format_command, format_run_command, list_provider_options
from ftops.runs.context import StageContext, StageResult
from ftops.runs.cost_limits import check_cost, estimate_cost, hold_month
from ftops.runs.poll import schedule_polls
from ftops.runs.reconcile import (
    CALL,
    build_request,
    reconcile,
    record_create_intent,
    take_earlier_job,
)
from ftops.stage_results import CreateResult

# Pauses after a 429: those of the provider, or exponentially growing ones.
_FIRST_PAUSE_S = 20.0
_LONGEST_PAUSE_S = 3600.0  # also for a daily limit without a pause from the provider
_MAX_WAIT_S = 48 * 3600.0  # in total; `limits.max_wait` may be shorter
_POLL_INTERVAL_S = 10.0  # of checks for a cancellation while waiting
_DAILY_LIMIT = "daily_rate_limit_exceeded"
_CLOSED = "training_not_available"


def create(stage: StageContext) -> StageResult:
    """Create the job and record its id in the run; the result is a `CreateResult`."""
    if stage.run.job_id is not None:  # recorded by a command that was interrupted in this stage
        return StageResult(CreateResult(stage.run.job_id, stage.spec.model, adopted=True).to_json())
    stage.provider.ensure_ready()
    with _looking(stage.run):
        job = _find_made_job(stage)
        request = make_request(stage)
        job = job or take_earlier_job(stage, request)
    cost, adopted = stage.read_results().cost, job is not None
    if not job:
        estimated_usd = estimate_cost(stage, request, cost.estimated_usd)
        cost = replace(cost, provider_estimated_usd=estimated_usd)
        check_cost(stage, cost)
        job, adopted = _send_patiently(stage, request, cost.expected_usd)
    result = CreateResult(job.id, job.model, job.status, adopted, cost.provider_estimated_usd)
    return StageResult(result.to_json())


def make_request(stage: StageContext) -> JobRequest:
    """The job request of this run, with the metadata that identifies its job."""
    files = stage.read_results().upload
    if files is None:
        raise LedgerError(f"the ledger is damaged: {stage.run.id} has no uploaded files")
    return build_request(
        stage, training_file=files.training_file, validation_file=files.validation_file
    )


def _send_patiently(
    stage: StageContext, request: JobRequest, cost_usd: float | None
) -> tuple[Job, bool]:
    """Send the request, and again after a 429 if the provider does not list its job.

    `cost_usd` is the estimate of the job. Returns the job, and whether an earlier request created
    it.
    """
    clock = stage.clock
    until_s = clock.monotonic_s() + _MAX_WAIT_S
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            return _send(stage, request, cost_usd)
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
        with contextlib.suppress(ProviderError):  # the next request is preceded by another search
            if job := _find_made_job(stage):
                return job, True
        if wait_s is None or gives_up:
            raise limited
        _wait_unless_cancelled(stage, now_s + wait_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _find_wait_s(error: RateLimited, pause_s: float) -> float | None:
    """Seconds until the next attempt; None if waiting is useless."""
    if error.code == _DAILY_LIMIT:
        return error.retry_after_s or _LONGEST_PAUSE_S
    if error.final:
        return None
    return pause_s if error.retry_after_s is None else error.retry_after_s


def _wait_unless_cancelled(stage: StageContext, until_s: float) -> None:
    left_s = until_s - stage.clock.monotonic_s()
    for _ in schedule_polls(
        stage.clock, itertools.repeat(_POLL_INTERVAL_S), timeout_s=left_s, sleep=stage.sleep
    ):
        _check_not_cancelled(stage)


def _check_not_cancelled(stage: StageContext) -> None:
    """Raise JobCancelled if another command requested it and the run certainly has no job."""
    ledger = stage.ledger
    if ledger.is_cancel_asked(stage.run.id) and not ledger.find_open_call(stage.run.id, CALL):
        raise JobCancelled("cancelled before it had a job")


def _find_made_job(stage: StageContext) -> Job | None:
    """The job of the unanswered request, if there is one; the request is closed."""
    ledger = stage.ledger
    call = ledger.find_open_call(stage.run.id, CALL)
    job = reconcile(stage, call) if call else None
    if call and not job:
        ledger.record_failed(call, "the provider does not know the job; the request was lost")
    return job


@contextlib.contextmanager
def _looking(run: Run) -> Iterator[None]:
    """Keep the run open if a request that only searches for its job is refused."""
    try:
        yield
    except (Rejected, PermissionRefused, NotFound) as error:
        raise RunError(
            f"{error.message}; it is unknown whether {run.id} has a job, and nothing was sent",
            hint=f"{format_run_command(run)} tries again. {error.hint}".strip(),
        ) from error


def _send(stage: StageContext, request: JobRequest, cost_usd: float | None) -> tuple[Job, bool]:
    """Send the request once, unless an earlier one created the job. See `_send_patiently`."""
    with _looking(stage.run):
        if job := _find_made_job(stage):
            return job, True
    ledger = stage.ledger
    _check_not_cancelled(stage)
    with hold_month(stage, cost_usd):
        call = record_create_intent(stage, request)
    crashpoints.reach("create.before_call")
    try:
        job = stage.provider.create_job(request)
    except RateLimited:
        raise  # the intent stays open: the next request is preceded by a search
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
    """The job of a call without a clear response; raises an error if it is not found."""
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
    """A hint how to delete the uploads of a job that is refused permanently."""
    files = [request.training_file, request.validation_file]
    own = [file for file in files if file and stage.ledger.is_upload_known(file)]
    if not own:
        return ""
    words = list_provider_options(stage.run.provider)
    return f"{format_command('files', 'delete', *own, *words)} deletes what was uploaded for it."
