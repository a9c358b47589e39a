"""Pauses and resumes the job of a run at its provider; `follow` commands keep running."""

import itertools
from collections.abc import Callable

from ftops import crashpoints
from ftops.errors import Rejected, RunError
from ftops.http.request_log import in_run_scope
from ftops.records import Job, Run, RunStatus, Stage
from ftops.runs.commands import format_command, format_follow_command, format_run_command
from ftops.runs.context import RunContext
from ftops.runs.poll import schedule_polls
from ftops.runs.reconcile import PAUSE_CALL, RESUME_CALL
from ftops.runs.states import ENDED

_PAUSED = frozenset({"pausing", "paused"})
_PAUSING_TIMEOUT_S = 60.0  # a pausing job cannot be resumed yet
_POLL_INTERVAL_S = 1.0


@in_run_scope
def pause_run(run: Run, context: RunContext) -> Job:
    """Pause the run's job; a paused job is returned unchanged.

    The returned job may still be `pausing`. RunError if there is no job to pause.
    """
    run, job_id = _get_open_job(run, context, "paused")
    job = context.provider.get_job(job_id)
    if job.status in _PAUSED:
        context.ledger.close_calls(run.id, (PAUSE_CALL,), remote_id=job_id)
        return job
    return _change(run, context, job_id, PAUSE_CALL, context.provider.pause_job)


@in_run_scope
def resume_run(run: Run, context: RunContext) -> Job:
    """Resume the run's paused job; a job that is not paused is returned unchanged."""
    run, job_id = _get_open_job(run, context, "resumed")
    pauses_s = itertools.repeat(_POLL_INTERVAL_S)
    for _ in schedule_polls(context.clock, pauses_s, timeout_s=_PAUSING_TIMEOUT_S):
        job = context.provider.get_job(job_id)
        if job.status != "pausing":
            break
    if job.status not in _PAUSED:
        context.ledger.close_calls(run.id, (RESUME_CALL,), remote_id=job_id)
        return job
    return _change(run, context, job_id, RESUME_CALL, context.provider.resume_job)


def make_too_late_error(run: Run, wanted: str) -> RunError:
    """The error for pausing, resuming or cancelling a run that has ended."""
    ended = "was" if run.status is RunStatus.CANCELLED else "has"
    return RunError(
        f"{run.id} cannot be {wanted}: it {ended} {run.status.value}",
        hint=f"{format_command('show', run.id)} says how it ended.",
    )


def note_if_paused(run: Run, context: RunContext, status: str) -> None:
    """Report to the observer how to resume a paused job."""
    if status == "paused":
        context.observer.on_note(
            f"{run.job_id} is paused; {format_command('resume', run.id)} resumes it"
        )


def _get_open_job(run: Run, context: RunContext, wanted: str) -> tuple[Run, str]:
    run = context.ledger.get_run(run.id)
    if not context.provider.capabilities.pauses:
        raise RunError(
            f"{run.id} cannot be {wanted}: its provider, {context.provider.name} by the"
            f" {run.provider.protocol} protocol, has no way to pause a job",
            hint=f"{format_command('cancel', run.id)} ends it; what is done is kept.",
        )
    if run.status in ENDED:
        raise make_too_late_error(run, wanted)
    if run.job_id is None:
        raise RunError(
            f"{run.id} cannot be {wanted}: it has no job yet",
            hint=f"{format_run_command(run)} continues it.",
        )
    context.provider.ensure_ready()
    return run, run.job_id


def _change(
    run: Run, context: RunContext, job_id: str, call: str, send: Callable[[str], Job]
) -> Job:
    """Record an intent, send the request, record the result; an open intent is sent again."""
    ledger = context.ledger
    intent = ledger.find_open_call(run.id, call) or ledger.record_intent(
        run.id, Stage.FOLLOW, call, {"job_id": job_id}
    )
    crashpoints.reach("pausing.before_call")
    try:
        job = send(job_id)
    except Rejected as error:
        ledger.record_failed(intent, error.message, shared=True)
        job = context.provider.get_job(job_id)
        if job.ended:
            raise RunError(
                f"{job.id} has {job.status} in the meantime",
                hint=f"{format_follow_command(run.id)} fetches its results.",
            ) from error
        raise
    crashpoints.reach("pausing.after_call")
    ledger.record_done(intent, job_id, shared=True)
    return job
