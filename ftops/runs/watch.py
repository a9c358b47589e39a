"""Watches a run that another process drives, through the ledger."""

from dataclasses import dataclass, field

from ftops.records import Run, RunId, Stage, StageRecord, StageStatus
from ftops.run_folder import is_driven
from ftops.runs.context import RunContext
from ftops.runs.notifications import has_pending
from ftops.runs.observer import show
from ftops.runs.states import ENDED

LOOK_EVERY_S = 1.0


@dataclass(slots=True)
class _Seen:
    """How far this watcher has shown the run."""

    event: int
    stages: dict[Stage, StageRecord] = field(default_factory=dict)


def watch(run: Run, context: RunContext, *, detach: bool = False) -> Run:
    """Show what happens until the run has ended and is notified, or no process drives it any more.

    With `detach`, only until it has a job. The events stay unshown in the ledger: the process that
    drives the run shows them, too.
    """
    context.observer.on_note(f"another process drives {run.id}; watching it")
    seen = _Seen(event=_begin(context, run.id))
    while True:
        # In this order: after the lock is free, one more look misses nothing.
        driven = is_driven(run, context.home)
        run = context.ledger.get_run(run.id)
        _look(context, run.id, seen)
        if run.status in ENDED:
            is_enough = not has_pending(run, context)
        else:
            is_enough = detach and run.job_id is not None
        if is_enough or not driven:
            return run
        context.clock.sleep(LOOK_EVERY_S)


def _begin(context: RunContext, run_id: RunId) -> int:
    """The number after which events are new: that before the first unshown one."""
    unshown = context.ledger.list_stored_events(run_id, unshown=True)
    return unshown[0].number - 1 if unshown else context.ledger.get_last_number(run_id)


def _look(context: RunContext, run_id: RunId, seen: _Seen) -> None:
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
