"""Cancels a run in any state, and its job."""

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import replace

from ftops import crashpoints
from ftops.errors import (
    AuthFailed,
    FtopsError,
    JobFailed,
    NotFound,
    PermissionRefused,
    ProviderError,
    Rejected,
    RunError,
)
from ftops.http.request_log import in_run_scope
from ftops.records import Job, JobRequest, Run, Stage
from ftops.run_folder import hold_run
from ftops.runs.commands import format_follow_command
from ftops.runs.context import RunContext, StageContext
from ftops.runs.notifications import end_run
from ftops.runs.poll import schedule_polls
from ftops.runs.reconcile import CALL as CREATE_CALL
from ftops.runs.reconcile import (
    CANCEL_CALL,
    close_unanswered,
    reconcile,
    record_job_end,
    reopen_for_job,
    take_earlier_job,
)
from ftops.runs.stages.create import make_request
from ftops.runs.states import DONE, ENDED, RUN_TRANSITIONS

UPLOAD_CALL = "upload_file"
_MAX_WAIT_S = 60.0  # for another process to stop, or for the provider to end the job
_POLL_INTERVAL_S = 1.0


@in_run_scope
def cancel_run(run: Run, context: RunContext) -> Run:
    """Cancel the run and its job, if it has one; an ended run is returned unchanged.

    A run that ended before the end of its job was recorded is reopened and cancelled like any
    other. If a request for a job has no recorded response, the provider is searched first. The
    returned run is still running if the provider has accepted the request but not ended the job
    yet. RunError if the job has already succeeded.
    """
    run = reopen_for_job(context.ledger.get_run(run.id), context)
    if run.status in ENDED:
        close_unanswered(context.ledger, run, run.status)
        return run
    context.ledger.ask_cancel(run.id)
    sent = False
    for _ in _schedule_polls(context):
        with hold_run(run, context.home) as held:
            run = context.ledger.get_run(run.id)
            if held:
                if run.status in ENDED:
                    return run
                return _cancel_or_raise(StageContext.load(run, context), sent=sent)
        # Another process drives the run: it stops before it creates the job, or sees the job end.
        if run.job_id and not sent:
            _send(run, context, run.job_id)
            sent = True
        if run.status in ENDED:
            break
    return run


def cancel_held(stage: StageContext) -> Run:
    """Cancel a run whose lock the caller holds.

    The returned run is still running if its job ended before the cancellation or is still ending.
    """
    return _cancel(stage, sent=False)[0]


def _cancel_or_raise(stage: StageContext, *, sent: bool) -> Run:
    run, job = _cancel(stage, sent=sent)
    if job is None or run.status in ENDED or not job.ended:
        return run
    error = RunError if job.status == "succeeded" else JobFailed
    raise error(
        f"{job.id} had already {job.status} before it could be cancelled",
        hint=f"{format_follow_command(run.id)} fetches its results.",
    )


def _cancel(stage: StageContext, *, sent: bool) -> tuple[Run, Job | None]:
    """Cancel the run; returns it and its job. `sent`: the provider already has the request."""
    run, context = stage.run, stage.context
    job_id = run.job_id or _find_unrecorded_job(stage)
    if job_id is None:
        _drop_uploads(run, context)
        return _end(stage, "cancelled before it had a job"), None
    job = context.provider.get_job(job_id) if sent else _send(run, context, job_id)
    return _settle(replace(stage, run=context.ledger.get_run(run.id)), job)


def _find_unrecorded_job(stage: StageContext) -> str | None:
    """The job of an unanswered request, or one that another ledger created for the same key."""
    call = stage.ledger.find_open_call(stage.run.id, CREATE_CALL)
    if call:
        stage.provider.ensure_ready()
        if job := reconcile(stage, call):
            return job.id
        reason = "the provider does not know the job; the request was lost"
        stage.ledger.record_failed(call, reason)
    return _find_earlier_job(stage)  # the call may also have been about to adopt that job


def _find_earlier_job(stage: StageContext) -> str | None:
    provider, run = stage.provider, stage.run
    if run.force_new_job or not provider.capabilities.metadata:
        return None
    uploaded = stage.ledger.get_stage(run.id, Stage.UPLOAD).status in DONE
    request = make_request(stage) if uploaded else JobRequest(run.model, "")
    try:
        provider.ensure_ready()
        job = take_earlier_job(stage, request)
    except (AuthFailed, PermissionRefused):
        return None  # without permission, this account has no job
    return job.id if job else None


def _drop_uploads(run: Run, context: RunContext) -> None:
    """Cancel unfinished multipart uploads, which would otherwise stay until they expire."""
    for call in context.ledger.list_calls(run.id):
        parted = context.ledger.find_parts(call) if call.name == UPLOAD_CALL else None
        if parted is None:
            continue
        crashpoints.reach("cancel.before_upload")
        try:
            context.provider.ensure_ready()
            context.provider.cancel_upload(parted.id)
        except (NotFound, Rejected):
            if parted.completing:
                continue  # it may have become a file; the next attempt looks for it
        except FtopsError as error:
            context.observer.on_note(
                f"{error.message}; the upload {parted.id} expires at the provider"
            )
            continue
        crashpoints.reach("cancel.after_upload")
        context.ledger.record_failed(call, f"{parted.id} was cancelled")


def _send(run: Run, context: RunContext, job_id: str) -> Job:
    context.provider.ensure_ready()
    call = context.ledger.find_open_call(run.id, CANCEL_CALL) or context.ledger.record_intent(
        run.id, Stage.FOLLOW, CANCEL_CALL, {"job_id": job_id}
    )
    crashpoints.reach("cancel.before_call")
    try:
        job = context.provider.cancel_job(job_id)
    except Rejected as error:
        # The job has ended in the meantime; its status says how.
        context.ledger.record_failed(call, error.message, shared=True)
        job = context.provider.get_job(job_id)
        if not job.ended:
            raise
        return job
    crashpoints.reach("cancel.after_call")
    context.ledger.record_done(call, job_id, shared=True)
    return job


def _settle(stage: StageContext, job: Job) -> tuple[Run, Job]:
    run, context = stage.run, stage.context
    for number in _schedule_polls(context):
        if number:
            with contextlib.suppress(ProviderError):  # accepted, but the outcome is unknown
                job = context.provider.get_job(job.id)
        if job.ended:
            break
    if job.ended:
        record_job_end(context.ledger, run, job)
    if job.status == "cancelled":
        return _end(stage, f"{job.id} was cancelled"), job
    if not job.ended:
        context.observer.on_note(f"{job.id} is {job.status}: the provider has not ended it yet")
    return run, job


def _schedule_polls(context: RunContext) -> Iterator[int]:
    pauses_s = itertools.repeat(_POLL_INTERVAL_S)
    return schedule_polls(context.clock, pauses_s, timeout_s=_MAX_WAIT_S)


def _end(stage: StageContext, reason: str) -> Run:
    return end_run(stage, RUN_TRANSITIONS["cancel"], reason)
