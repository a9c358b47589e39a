"""Bugs, planted on purpose: a proof that does not find them proves nothing.

This is the one place where tests patch ftops, and only inside the player's processes. Each function
takes away one of the things that keep a run from having two jobs, or from losing what was told.
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


def _plant(where: type | str, name: str, bug: object) -> Callable[..., object]:
    """Put the bug in the place of what is called so there; what stood there."""
    owner = import_module(where) if isinstance(where, str) else where
    sound: Callable[..., object] = getattr(owner, name)
    setattr(owner, name, bug)
    return sound


def remove_reconcile() -> None:
    """A call in doubt is taken for one that was lost, and no earlier job is looked for."""
    _plant(_CREATE, "reconcile", lambda _work, _call, **_lag: None)
    _plant(_CREATE, "take_earlier_job", lambda _work, _request: None)


def forget_intents() -> None:
    """What was begun and not ended is not looked for."""
    _plant(Ledger, "find_open_call", lambda _ledger, _run_id, _name: None)


def repeat_create_blindly() -> None:
    """A create whose connection was reset is sent once more, as SDKs do by default."""
    original: Callable[[FaultyProvider, JobRequest], Job] = FaultyProvider.create_job

    def create_job(self: FaultyProvider, request: JobRequest) -> Job:
        try:
            return original(self, request)
        except Unreachable:
            return original(self, request)

    _plant(FaultyProvider, "create_job", create_job)


def store_cursor_apart() -> None:
    """Which events are known is kept in a file beside the ledger, written before them."""
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
    """The run counts as succeeded once its job has, and the results are fetched after that."""
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
    """A cancel believes that a run without a job id has no job."""
    _plant(_CANCELLING, "reconcile", lambda _work, _call, **_lag: None)
    _plant(_CANCELLING, "take_earlier_job", lambda _work, _request: None)


def fail_run_by_polling() -> None:
    """A refusal while polling ends the run, and `--retry` asks nothing before it creates a job."""
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
    """A request for a job that was answered by 429 counts as one that has created none."""
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
