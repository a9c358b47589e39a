"""Drives a run, or watches one that another process drives.

Driving executes the remaining stages in order and records each change of state; watching reads the
ledger.
"""

import contextlib
from dataclasses import dataclass, field, replace

from ftops.errors import (
    FtopsError,
    JobCancelled,
    JobFailed,
    JobStalled,
    LedgerError,
    RunBusy,
    RunError,
    StorageError,
    WaitedTooLong,
)
from ftops.http.request_log import in_run_scope
from ftops.records import Run, RunId, RunStatus, Stage, StageRecord, StageStatus
from ftops.run_folder import RunFolder, hold_run, is_driven
from ftops.runs.cancel import cancel_held
from ftops.runs.commands import format_run_command
from ftops.runs.context import RunContext, StageContext, StageResult
from ftops.runs.deployments import check_end, end_overdue, end_unless_kept
from ftops.runs.notifications import (
    end_run,
    has_pending,
    notify_stall,
    send_pending,
    warn_of_unusable_targets,
)
from ftops.runs.observer import show
from ftops.runs.reconcile import close_unanswered, reopen_for_job
from ftops.runs.stages import STAGES
from ftops.runs.states import (
    DONE,
    ENDED,
    RUN_TRANSITIONS,
    STAGE_TRANSITIONS,
    find_ending,
    plan,
)
from ftops.stage_results import StageResults

POLL_INTERVAL_S = 1.0  # of watching a run that another process drives


@in_run_scope
def drive(run: Run, context: RunContext, *, detach: bool = False) -> Run:
    """Execute the remaining stages of the run, and return the updated run.

    If another process drives the run, this process watches it and takes over if that process dies.
    With `detach`, returns once the job is created. Raises JobFailed if the job failed or was
    cancelled; after any other error, the same command continues the run.
    """
    while True:
        with hold_run(run, context.home) as held:
            if held:
                stage = StageContext.load(context.ledger.get_run(run.id), context)
                return _drive_held(stage, detach=detach)
        run = watch(run, context, detach=detach)
        if run.status in ENDED:
            if not has_pending(run, context):
                return get_result(run, context.ledger.list_stages(run.id))
        elif detach and run.job_id:
            return run


def get_result(run: Run, records: list[StageRecord]) -> Run:
    """The run if it succeeded; otherwise raises the error that it ended with."""
    if run.status is RunStatus.SUCCEEDED:
        return run
    hint = f"{format_run_command(run, '--retry')} tries again; `--new` starts another run."
    message = run.error or f"{run.id} is {run.status}"
    if run.status is RunStatus.CANCELLED:
        raise JobCancelled(message, hint=hint)
    followed = any(
        record.stage is Stage.FOLLOW and record.status is StageStatus.FAILED for record in records
    )
    raise (JobFailed if followed else RunError)(message, hint=hint)


def _drive_held(stage: StageContext, *, detach: bool) -> Run:
    send_pending(stage)  # what an interrupted command left open
    context = stage.context
    run = reopen_for_job(stage.run, context)
    records = context.ledger.list_stages(run.id)
    if run.status in ENDED:
        close_unanswered(context.ledger, run, run.status)
        for record in records:
            if record.status is not StageStatus.PENDING:
                context.observer.on_stage_end(record)
        return get_result(run, records)
    if run.status is RunStatus.PENDING:
        run = context.ledger.move_run(run, RUN_TRANSITIONS["start"].check(run.status))
    max_wait_s = stage.spec.limits.max_wait_s
    until_s = None if max_wait_s is None else context.clock.monotonic_s() + max_wait_s
    stage = replace(stage, run=run, until_s=until_s)
    warn_of_unusable_targets(stage)
    if run.job_id is None:
        check_end(stage)
    end_overdue(stage)
    left = plan(
        records,
        has_prepared_files=_has_prepared_files(context, run, records),
        has_job=run.job_id is not None,
    )
    for record in records:
        if record.stage not in left:
            context.observer.on_stage_end(record)
            continue
        if _must_cancel(stage.run, context, record.stage):
            run = cancel_held(stage)
            if run.status in ENDED:
                return get_result(run, records)
            has_found_job = run.job_id != stage.run.job_id
            stage = replace(stage, run=run)
            if has_found_job:  # it has ended: fewer stages remain
                return _drive_held(stage, detach=detach)
        if detach and record.stage is Stage.FOLLOW:
            return stage.run
        stage.limit_pause(0.0)  # raises if `limits.max_wait` has expired
        stage = replace(stage, run=_do_stage(stage, record))
    end_unless_kept(stage)
    close_unanswered(context.ledger, stage.run, RunStatus.SUCCEEDED)
    return end_run(stage, RUN_TRANSITIONS["succeed"])


def _must_cancel(run: Run, context: RunContext, stage: Stage) -> bool:
    """Whether a cancellation of the run was requested and is still possible."""
    if not context.ledger.is_cancel_asked(run.id):
        return False
    if run.job_id is None:
        return True
    return stage is Stage.FOLLOW and not context.provider.get_job(run.job_id).ended


def _do_stage(stage: StageContext, record: StageRecord) -> Run:
    """Execute one attempt of the stage; returns the updated run."""
    context, run = stage.context, stage.run
    begin = STAGE_TRANSITIONS["begin"].check(record.status)
    running = context.ledger.move_stage(run.id, record, begin)
    context.observer.on_stage_start(running.stage, running.attempts)
    try:
        outcome = STAGES[record.stage](stage)
    except JobStalled as error:
        with contextlib.suppress(StorageError, LedgerError):
            notify_stall(replace(stage, run=context.ledger.get_run(run.id)), error)
        raise
    except (RunBusy, LedgerError, WaitedTooLong):
        raise  # the stage has not failed
    except FtopsError as error:
        # If the disk failed, the ledger cannot record the error either.
        with contextlib.suppress(StorageError, LedgerError):
            _record_failure(stage, running, error)
        raise
    ended = _record_outcome(stage, running, outcome)
    context.observer.on_stage_end(ended)
    return context.ledger.get_run(run.id)


def _record_outcome(stage: StageContext, running: StageRecord, outcome: StageResult) -> StageRecord:
    if outcome.skipped is None:
        after, detail = STAGE_TRANSITIONS["succeed"].check(running.status), outcome.detail
    else:
        after = STAGE_TRANSITIONS["skip"].check(running.status)
        detail = {**outcome.detail, "reason": outcome.skipped}
    return stage.ledger.move_stage(stage.run.id, running, after, detail=detail)


def _record_failure(stage: StageContext, running: StageRecord, error: FtopsError) -> None:
    context, run = stage.context, stage.run
    after = STAGE_TRANSITIONS["fail"].check(running.status)
    failed = context.ledger.move_stage(run.id, running, after, error=error.message)
    context.observer.on_stage_end(failed)
    ending = find_ending(running.stage, error)
    if ending is not None:
        end_run(replace(stage, run=context.ledger.get_run(run.id)), ending, error.message)
        error.hint = f"{format_run_command(run, '--retry')} tries again. {error.hint}".strip()


def _has_prepared_files(context: RunContext, run: Run, records: list[StageRecord]) -> bool:
    is_done = any(record.stage is Stage.PREPARE and record.status in DONE for record in records)
    prepared = StageResults.read(records).prepare if is_done else None
    if prepared is None:
        return False
    folder = RunFolder.of(context.home, run.id)
    return all(
        (folder.path / file.filename).is_file() for file in prepared.files if file.file_id is None
    )


@dataclass(slots=True)
class _WatchState:
    """What this watcher has already shown of the run."""

    event: int
    stages: dict[Stage, StageRecord] = field(default_factory=dict)


def watch(run: Run, context: RunContext, *, detach: bool = False) -> Run:
    """Show the run until it has ended and sent its notifications, or until no process drives it.

    With `detach`, only until it has a job. The events stay unshown in the ledger, because the
    process that drives the run shows them too.
    """
    context.observer.on_note(f"another process drives {run.id}; watching it")
    seen = _WatchState(event=_get_last_shown(context, run.id))
    while True:
        # Check the lock before the ledger: if the lock is free, this poll misses nothing.
        driven = is_driven(run, context.home)
        run = context.ledger.get_run(run.id)
        _show_changes(context, run.id, seen)
        if run.status in ENDED:
            is_enough = not has_pending(run, context)
        else:
            is_enough = detach and run.job_id is not None
        if is_enough or not driven:
            return run
        context.clock.sleep(POLL_INTERVAL_S)


def _get_last_shown(context: RunContext, run_id: RunId) -> int:
    """The number of the event before the first unshown one."""
    unshown = context.ledger.list_stored_events(run_id, unshown=True)
    return unshown[0].number - 1 if unshown else context.ledger.get_last_number(run_id)


def _show_changes(context: RunContext, run_id: RunId, seen: _WatchState) -> None:
    records = context.ledger.list_stages(run_id)
    for record in records:
        before = seen.stages.get(record.stage)
        if before == record or record.status is StageStatus.PENDING:
            continue
        began = before is None or before.attempts != record.attempts
        if began and record.status is StageStatus.RUNNING:
            context.observer.on_stage_start(record.stage, record.attempts)
        elif record.status is not StageStatus.RUNNING:
            context.observer.on_stage_end(record)
        seen.stages[record.stage] = record
    stored = context.ledger.list_stored_events(run_id, after=seen.event)
    if stored:
        show(context.observer, stored)
        seen.event = stored[-1].number
