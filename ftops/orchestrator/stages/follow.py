"""The job is watched until it ends. The job itself needs nobody: only the watching can stop.

Events are stored before they are shown, and each is shown once, whichever command shows it.
"""

from ftops.errors import JobCancelled, JobFailed, NotFound, ProviderError, RunError
from ftops.orchestrator.details import Prepared
from ftops.orchestrator.feed import find_progress, show_progress, show_unshown
from ftops.orchestrator.hints import say_run
from ftops.orchestrator.patience import Patience
from ftops.orchestrator.pausing import tell_if_paused
from ftops.orchestrator.work import Outcome, Work
from ftops.records import Job, JobEvent, Json, Stage, TunedModel

_NAME_PAUSES_S = (1.0, 2.0, 4.0, 8.0)  # the model's name may come a little after the success


def follow(work: Work) -> Outcome:
    """Wait for the end; record the model it made. JobFailed carries the provider's own words."""
    job_id = work.run.job_id
    if job_id is None:
        raise RunError(f"{work.run.id} has no job to follow")
    _show_last_progress(work)
    show_unshown(work)
    job = _wait(work, job_id)
    if job.status == "cancelled":
        raise JobCancelled(f"{job.id} was cancelled")
    if job.status != "succeeded":
        raise JobFailed(f"{job.id} {job.status}: {_why(job)}")
    job = _wait_for_name(work, job)
    if job.fine_tuned_model:
        work.desk.ledger.add_model(_to_model(work, job, job.fine_tuned_model))
    detail: dict[str, Json] = {
        "fine_tuned_model": job.fine_tuned_model,
        "trained_tokens": job.trained_tokens,
        "hyperparameters": dict(job.hyperparameters),
        "result_files": list(job.result_files),
    }
    return Outcome(detail)


def _wait(work: Work, job_id: str) -> Job:
    desk = work.desk
    patience = Patience(desk, work.run.id, work.spec.limits.max_wait_s)
    poll_every_s = desk.provider.capabilities.poll_every_s
    known = desk.ledger.list_event_ids(work.run.id, job_id)
    status = ""
    while True:
        try:
            # In this order: once the job is known to have ended, all its events are there.
            job = desk.provider.get_job(job_id)
            events = desk.provider.list_events(job_id, known=known)
        except ProviderError as error:
            if isinstance(error, NotFound):
                error.hint = f"{say_run(work.run, '--new')} starts another job."
            patience.bear(error, poll_every_s)
            continue
        patience.answered()
        known = _keep(work, job_id, events, known)
        if job.status != status:
            status = job.status
            desk.observer.job_changed(status)
            tell_if_paused(work.run, desk, status)
        if job.ended:
            return job
        wait_s = patience.grant(poll_every_s)
        for event in desk.provider.await_events(job_id, known=known, wait_s=wait_s):
            known = _keep(work, job_id, [event], known)


def _keep(work: Work, job_id: str, events: list[JobEvent], known: frozenset[str]) -> frozenset[str]:
    """Store the events, then show them; all the ids that are known from now on."""
    if events:
        work.desk.ledger.add_events(work.run.id, job_id, events)
        show_unshown(work)
    return known | {event.id for event in events}


def _show_last_progress(work: Work) -> None:
    """Let a progress bar begin where the last command left it."""
    for event in reversed(work.desk.ledger.list_events(work.run.id)):
        if find_progress(event):
            show_progress(work.desk.observer, event)
            return


def _wait_for_name(work: Work, job: Job) -> Job:
    for pause_s in _NAME_PAUSES_S:
        if job.fine_tuned_model:
            return job
        work.desk.clock.sleep(pause_s)
        job = work.desk.provider.get_job(job.id)
    if not job.fine_tuned_model:
        work.desk.observer.noted(f"{job.id} succeeded, but the provider names no model")
    return job


def _why(job: Job) -> str:
    if job.error is None:
        return "the provider gives no reason"
    return ": ".join(filter(None, (job.error.code, job.error.message)))


def _to_model(work: Work, job: Job, name: str) -> TunedModel:
    prepared = Prepared.from_json(work.get_detail(Stage.PREPARE))
    return TunedModel(
        name=name,
        run_id=work.run.id,
        job_id=job.id,
        base=work.run.model,
        provider=work.run.provider,
        created_at=job.finished_at or work.desk.clock.now(),
        row_format=prepared.spoken_format,
        separator=prepared.separator,
        stop=prepared.stop,
    )
