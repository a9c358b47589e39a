"""Polls the job until it ends. Only the job's own status ends a run, never a failed poll.

Events are stored before they are shown, and each is shown once across all commands. They are
optional: without them, only the status of the job is followed.
"""

import contextlib

from ftops.errors import (
    JobCancelled,
    JobFailed,
    JobStalled,
    ModelsFileError,
    NotFound,
    ProviderError,
    RunError,
)
from ftops.records import WAITING_JOB_STATUSES, Job, JobEvent, TunedModel
from ftops.runs.commands import format_command, format_follow_command, format_run_command
from ftops.runs.context import StageContext, StageResult
from ftops.runs.estimate import calculate_cost
from ftops.runs.observer import find_progress, show_progress, show_unshown
from ftops.runs.pause import note_if_paused
from ftops.runs.poll import EVENT_LIMITS_S, JOB_LIMITS_S, PollBackoff, schedule_polls
from ftops.runs.reconcile import record_job_end
from ftops.stage_results import FollowResult

# The model's name may appear shortly after the success, or once its weights are stored.
_NAME_PAUSES_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 60.0, 60.0)
_GROWTH = 1.5  # of the pauses while a job is queued


def follow(stage: StageContext) -> StageResult:
    """Wait for the end of the job and record its model. JobFailed has the provider's message.

    Raises ProviderError if polls of the job fail for too long (`JOB_LIMITS_S`).
    """
    job_id = stage.run.job_id
    if job_id is None:
        raise RunError(f"{stage.run.id} has no job to follow")
    _show_last_progress(stage)
    show_unshown(stage.observer, stage.ledger, stage.run.id)
    stage.provider.ensure_ready()
    backoff = PollBackoff(stage, JOB_LIMITS_S, f"{job_id} may still be running, asking again")
    job = _wait(stage, job_id, backoff)
    record_job_end(stage.ledger, stage.run, job)
    if job.status == "cancelled":
        raise JobCancelled(f"{job.id} was cancelled")
    if job.status != "succeeded":
        raise JobFailed(f"{job.id} {job.status}: {_describe_error(job)}")
    job = _wait_for_name(stage, job, backoff)
    if job.fine_tuned_model:
        stage.ledger.add_model(_to_model(stage, job, job.fine_tuned_model))
    result = FollowResult(
        job.fine_tuned_model,
        job.trained_tokens,
        job.hyperparameters,
        tuple(job.result_files),
        _find_cost(stage, job),
    )
    return StageResult(result.to_json())


def _wait(stage: StageContext, job_id: str, backoff: PollBackoff) -> Job:
    context, detector = stage.context, _StallDetector(stage)
    for_events = PollBackoff(stage, EVENT_LIMITS_S, "the run continues by the job's status")
    known = context.ledger.list_event_ids(stage.run.id, job_id)
    while True:
        # The job before its events: once the job has ended, all its events are listed.
        job = _get_job(stage, job_id, backoff)
        was_away = backoff.record_success()
        events = _list_events(stage, job, known, for_events)
        previous, known = len(known), _store(stage, job_id, events or [], known)
        if detector.update(job, has_news=was_away or events is None or len(known) > previous):
            context.observer.on_job_status(job.status)
            note_if_paused(stage.run, context, job.status)
        if job.ended:
            return job
        wait_s = stage.limit_pause(detector.choose_pause_s())
        for event in context.provider.stream_events(job_id, known=known, wait_s=wait_s):
            known = _store(stage, job_id, [event], known)
            detector.update(job, has_news=True)


def _get_job(stage: StageContext, job_id: str, backoff: PollBackoff) -> Job:
    """The job; retries after errors as long as `backoff` allows."""
    while True:
        try:
            return stage.provider.get_job(job_id)
        except ProviderError as error:
            if backoff.is_over(error):
                raise _give_up(stage, job_id, error) from error
            backoff.pause(error, stage.provider.capabilities.poll_every_s)


def _give_up(stage: StageContext, job_id: str, error: ProviderError) -> ProviderError:
    advice = error.hint
    if isinstance(error, NotFound):
        advice = (
            f"If the job is gone, {format_run_command(stage.run, '--new')} creates another one."
        )
    return error.reworded(
        f"{error.message}; {job_id} was not seen to end and may still be running",
        f"{format_follow_command(stage.run.id)} continues. {advice}".strip(),
    )


def _list_events(
    stage: StageContext, job: Job, known: frozenset[str], backoff: PollBackoff
) -> list[JobEvent] | None:
    """The new events of the job; None if they cannot be read.

    Once the job has ended there is no later poll, so errors are retried here.
    """
    provider = stage.provider
    while True:
        try:
            events = provider.list_events(job.id, known=known)
        except ProviderError as error:
            is_over = backoff.is_over(error)
            if job.ended and is_over:
                return None
            # While the job runs, wait only if the server requests it.
            backoff.pause(error, provider.capabilities.poll_every_s if job.ended else 0.0)
            if not job.ended:
                return None
        else:
            backoff.record_success()
            return events


class _StallDetector:
    """Decides from the polls of a job when to poll next and whether the job has stalled."""

    def __init__(self, stage: StageContext) -> None:
        self._stage = stage
        self._status = ""
        self._last_s = stage.clock.monotonic_s()
        self._pause_s = stage.provider.capabilities.poll_every_s

    def update(self, job: Job, *, has_news: bool) -> bool:
        """Record a poll; True if the status has changed.

        JobStalled if the job is running without progress for `limits.stall`. Time in a queue does
        not count, nor does time in which the provider could not be reached.
        """
        now_s = self._stage.clock.monotonic_s()
        changed = job.status != self._status
        if changed or has_news or job.ended or job.status in WAITING_JOB_STATUSES:
            self._last_s = now_s
        stall_s = self._stage.spec.limits.stall_s
        if stall_s is not None and now_s - self._last_s >= stall_s:
            raise self._stalled(job)
        capabilities = self._stage.provider.capabilities
        if changed or job.status not in WAITING_JOB_STATUSES:
            self._pause_s = capabilities.poll_every_s
        else:
            self._pause_s = min(
                self._pause_s * _GROWTH, max(capabilities.poll_queued_s, capabilities.poll_every_s)
            )
        self._status = job.status
        return changed

    def choose_pause_s(self) -> float:
        """Seconds until the next poll, which increase while the job is queued."""
        return self._pause_s

    def _stalled(self, job: Job) -> JobStalled:
        run_id, limit = self._stage.run.id, self._stage.spec.limits.stall
        return JobStalled(
            f"{job.id} is {job.status}, and has reported nothing new for {limit} (limits.stall);"
            " it is unchanged, and nothing was sent again",
            hint=f"{format_follow_command(run_id)} keeps watching;"
            f" {format_command('cancel', run_id)} ends the job.",
        )


def _store(
    stage: StageContext, job_id: str, events: list[JobEvent], known: frozenset[str]
) -> frozenset[str]:
    """Store the events, then show them; returns the ids of all known events."""
    if events:
        stage.ledger.add_events(stage.run.id, job_id, events)
        show_unshown(stage.observer, stage.ledger, stage.run.id)
    return known | {event.id for event in events}


def _show_last_progress(stage: StageContext) -> None:
    """Show the last stored progress, so that a progress bar resumes there."""
    for event in reversed(stage.ledger.list_events(stage.run.id)):
        if find_progress(event):
            show_progress(stage.observer, event)
            return


def _wait_for_name(stage: StageContext, job: Job, backoff: PollBackoff) -> Job:
    for number in schedule_polls(stage.clock, _NAME_PAUSES_S, sleep=stage.sleep):
        if number:
            job = _get_job(stage, job.id, backoff)
            backoff.record_success()
        if job.fine_tuned_model:
            return job
    stage.observer.on_note(f"{job.id} succeeded, but the provider returns no model name")
    return job


def _find_cost(stage: StageContext, job: Job) -> float | None:
    """What the job has cost: as the provider reports it, or its tokens at the known price."""
    if job.cost_usd is not None:
        return job.cost_usd
    with contextlib.suppress(ModelsFileError):  # no reason to lose a trained model
        price_usd = stage.provider.get_model_info(stage.run.model).train_usd
        return calculate_cost(job.trained_tokens, price_usd)
    return None


def _describe_error(job: Job) -> str:
    if job.error is None:
        return "the provider gives no reason"
    return ": ".join(filter(None, (job.error.code, job.error.message)))


def _to_model(stage: StageContext, job: Job, name: str) -> TunedModel:
    prepared = stage.get_prepared()
    return TunedModel(
        name=name,
        run_id=stage.run.id,
        job_id=job.id,
        base=stage.run.model,
        provider=stage.run.provider,
        created_at=job.finished_at or stage.clock.now(),
        row_format=prepared.request_format,
        separator=prepared.separator,
        stop=prepared.stop,
    )
