"""Reports the progress and the job events of a run to an observer."""

from collections.abc import Sequence
from typing import Protocol

from ftops.ledger.ledger import Ledger
from ftops.ledger.records import StoredEvent
from ftops.records import JobEvent, Json, Run, RunId, Stage, StageRecord


class Observer(Protocol):
    """All methods return at once and never raise."""

    def on_run_open(self, run: Run, *, resumed: bool) -> None:
        """A run was recorded (`resumed` is False) or found by its key."""

    def on_stage_start(self, stage: Stage, attempt: int) -> None: ...

    def on_stage_end(self, record: StageRecord) -> None:
        """A stage succeeded, was skipped or failed; also called for stages of earlier commands."""

    def on_progress(self, stage: Stage, done: float, total: float | None, unit: str) -> None:
        """`done` of `total` `unit` ("bytes", "steps", "rows"); total None: not known."""

    def on_job_status(self, status: str) -> None:
        """The status of the provider's job has changed."""

    def on_event(self, event: JobEvent) -> None:
        """A job event that no command has shown yet."""

    def on_note(self, text: str) -> None:
        """A note for the user that is not an error."""


class NullObserver:
    """Ignores everything."""

    def on_run_open(self, run: Run, *, resumed: bool) -> None: ...
    def on_stage_start(self, stage: Stage, attempt: int) -> None: ...
    def on_stage_end(self, record: StageRecord) -> None: ...
    def on_progress(self, stage: Stage, done: float, total: float | None, unit: str) -> None: ...
    def on_job_status(self, status: str) -> None: ...
    def on_event(self, event: JobEvent) -> None: ...
    def on_note(self, text: str) -> None: ...


_COUNTED = (("step", "total_steps", "steps"), ("epoch", "n_epochs", "epochs"))


def show_unshown(observer: Observer, ledger: Ledger, run_id: RunId) -> None:
    """Show the run's stored events that no command has shown, oldest first, and mark them."""
    stored = ledger.list_stored_events(run_id, unshown=True)
    if not stored:
        return
    shown: list[int] = []
    try:
        for event in stored:
            # Counted before it is shown, so that Ctrl-C during the output does not repeat it.
            shown.append(event.number)
            show(observer, [event])
    finally:
        ledger.mark_shown(shown)


def show(observer: Observer, stored: Sequence[StoredEvent]) -> None:
    """Show these events, and the training progress in them."""
    for event in stored:
        observer.on_event(event.event)
        show_progress(observer, event.event)


def show_progress(observer: Observer, event: JobEvent) -> None:
    """Report the training progress, if the event has it."""
    if progress := find_progress(event):
        done, total, unit = progress
        observer.on_progress(Stage.FOLLOW, done, total, unit)


def find_progress(event: JobEvent) -> tuple[float, float | None, str] | None:
    """The progress, the total and the unit (steps or epochs), if the event has them."""
    for name, total, unit in _COUNTED:
        done = _find_count(event.data.get(name))
        if done is not None:
            return done, _find_count(event.data.get(total)), unit
    return None


def _find_count(value: Json) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        return None
    return float(value)
