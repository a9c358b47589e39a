"""Bugs that are planted on purpose: the generated schedules must find each of them.

Only here do tests patch ftops, and only in the processes that run schedules. Each function removes
one of the safeguards that prevent a second job or lost events.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from pathlib import Path

from ftops.errors import (
    FtopsError,
    NotFound,
    PermissionRefused,
    RateLimited,
    Rejected,
    Unreachable,
)
from ftops.ledger.ledger import Ledger
from ftops.records import (
    Job,
    JobEvent,
    JobRequest,
    Run,
    RunId,
    RunStatus,
    Stage,
    StageRecord,
)
from ftops.runs.context import StageContext
from ftops.runs.states import RUN_TRANSITIONS, Transition
from tests.crash.faulty import FaultyProvider

_CREATE = "ftops.runs.stages.create"
_CANCELLING = "ftops.runs.cancel"
_RUNNER = "ftops.runs.runner"


def _plant(target: type | str, name: str, bug: object) -> Callable[..., object]:
    """Replace the attribute by the bug, and return the original."""
    owner = import_module(target) if isinstance(target, str) else target
    original: Callable[..., object] = getattr(owner, name)
    setattr(owner, name, bug)
    return original


def remove_reconcile() -> None:
    """A call without a response counts as lost, and no earlier job is searched for."""
    _plant(_CREATE, "reconcile", lambda _work, _call, **_lag: None)
    _plant(_CREATE, "take_earlier_job", lambda _work, _request: None)


def forget_intents() -> None:
    """Calls without a response are not searched for."""
    _plant(Ledger, "find_open_call", lambda _ledger, _run_id, _name: None)


def repeat_create_blindly() -> None:
    """A create request is sent again after a connection error, as SDKs do by default."""
    original: Callable[[FaultyProvider, JobRequest], Job] = FaultyProvider.create_job

    def create_job(self: FaultyProvider, request: JobRequest) -> Job:
        try:
            return original(self, request)
        except Unreachable:
            return original(self, request)

    _plant(FaultyProvider, "create_job", create_job)


def store_cursor_apart() -> None:
    """The ids of known events are kept in a file next to the ledger, written before the events."""
    add = Ledger.add_events

    def path(ledger: Ledger, run_id: RunId) -> Path:
        return ledger.path.with_name(f"cursor-{run_id}.json")

    def list_event_ids(self: Ledger, run_id: RunId, job_id: str) -> frozenset[str]:
        file = path(self, run_id)
        return frozenset(json.loads(file.read_text()) if file.exists() else [])

    def add_events(self: Ledger, run_id: RunId, job_id: str, events: Iterable[JobEvent]) -> None:
        fresh = list(events)
        known = list_event_ids(self, run_id, job_id) | {event.id for event in fresh}
        path(self, run_id).write_text(json.dumps(sorted(known)))
        add(self, run_id, job_id, fresh)

    _plant(Ledger, "list_event_ids", list_event_ids)
    _plant(Ledger, "add_events", add_events)


def succeed_before_results() -> None:
    """The run succeeds with its job, before its results are fetched."""
    runner = import_module(_RUNNER)
    do_stage: Callable[[StageContext, StageRecord], Run] = runner._do_stage
    end_run: Callable[[StageContext, Transition[RunStatus], str | None], Run] = runner.end_run

    def do_early(work: StageContext, record: StageRecord) -> Run:
        if record.stage is Stage.RESULTS and work.run.status is RunStatus.RUNNING:
            work.context.ledger.move_run(work.run, RunStatus.SUCCEEDED)
        return do_stage(work, record)

    def end_late(
        work: StageContext, ending: Transition[RunStatus], error: str | None = None
    ) -> Run:
        is_ended = work.run.status is ending.after
        return work.run if is_ended else end_run(work, ending, error)

    _plant(_RUNNER, "_do_stage", do_early)
    _plant(_RUNNER, "end_run", end_late)


def cancel_without_reconcile() -> None:
    """A cancel assumes that a run without a job id has no job."""
    _plant(_CANCELLING, "reconcile", lambda _work, _call, **_lag: None)
    _plant(_CANCELLING, "take_earlier_job", lambda _work, _request: None)


def fail_run_by_polling() -> None:
    """A refused poll ends the run, and `--retry` creates a job without looking for the first."""
    find_ending: Callable[[Stage, FtopsError], Transition[RunStatus] | None] = import_module(
        _RUNNER
    ).find_ending

    def find_wrong_ending(stage: Stage, error: FtopsError) -> Transition[RunStatus] | None:
        if stage is Stage.FOLLOW and isinstance(error, Rejected | PermissionRefused | NotFound):
            return RUN_TRANSITIONS["fail"]
        return find_ending(stage, error)

    _plant(_RUNNER, "find_ending", find_wrong_ending)
    _plant(Run, "ended_before_job", False)


def resend_after_429() -> None:
    """A create request with a response of 429 counts as one that created no job."""
    send: Callable[[StageContext, JobRequest], tuple[Job, bool]] = import_module(_CREATE)._send

    def send_blindly(work: StageContext, request: JobRequest) -> tuple[Job, bool]:
        try:
            return send(work, request)
        except RateLimited as error:
            if call := work.context.ledger.find_open_call(work.run.id, "create_job"):
                work.context.ledger.record_failed(call, error.message)
            raise

    _plant(_CREATE, "_send", send_blindly)


BUGS: Mapping[str, Callable[[], None]] = {
    bug.__name__: bug
    for bug in (
        remove_reconcile,
        forget_intents,
        repeat_create_blindly,
        store_cursor_apart,
        succeed_before_results,
        cancel_without_reconcile,
        fail_run_by_polling,
        resend_after_429,
    )
}
