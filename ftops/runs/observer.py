"""How a run reports its progress: the observer, and job events on their way to it."""

from collections.abc import Sequence
from typing import Protocol

from ftops.ledger.ledger import Ledger, StoredEvent
from ftops.records import JobEvent, Json, Run, RunId, Stage, StageRecord


class Observer(Protocol):
    """All methods return at once and never raise."""

    def on_run_open(self, run: Run, *, resumed: bool) -> None:
        """A run was recorded (`resumed` False) or found again by its key."""

    def on_stage_start(self, stage: Stage, attempt: int) -> None: ...

    def on_stage_end(self, record: StageRecord) -> None:
        """Succeeded, skipped or failed; also called for what an earlier command had done."""

    def on_progress(self, stage: Stage, done: float, total: float | None, unit: str) -> None:
        """`done` of `total` `unit` ("bytes", "steps", "rows"); total None: not known."""

    def on_job_status(self, status: str) -> None:
        """The provider's job has another status than when it was last seen."""

    def on_event(self, event: JobEvent) -> None:
        """A job event that no command has shown yet."""

    def on_note(self, text: str) -> None:
        """Something that the user should know and that is no error."""


class NullObserver:
    """Watches nothing."""

    def on_run_open(self, run: Run, *, resumed: bool) -> None: ...
    def on_stage_start(self, stage: Stage, attempt: int) -> None: ...
    def on_stage_end(self, record: StageRecord) -> None: ...
    def on_progress(self, stage: Stage, done: float, total: float | None, unit: str) -> None: ...
    def on_job_status(self, status: str) -> None: ...
    def on_event(self, event: JobEvent) -> None: ...
    def on_note(self, text: str) -> None: ...


_COUNTED = (("step", "total_steps", "steps"), ("epoch", "n_epochs", "epochs"))


def show_unshown(observer: Observer, ledger: Ledger, run_id: RunId) -> None:
    """Show the run's stored events that no command has shown, oldest first, and remember that."""
    stored = ledger.list_stored_events(run_id, unshown=True)
    if not stored:
        return
    shown: list[int] = []
    try:
        for event in stored:
            # Counted before it is shown: a Ctrl-C during the output is no reason to show it again.
            shown.append(event.number)
            show(observer, [event])
    finally:
        ledger.mark_shown(shown)


def show(observer: Observer, stored: Sequence[StoredEvent]) -> None:
    """Show these events, and the progress of the training where they have it."""
    for event in stored:
        observer.on_event(event.event)
        show_progress(observer, event.event)


def show_progress(observer: Observer, event: JobEvent) -> None:
    """Report the progress of the training, where the event has it."""
    if progress := find_progress(event):
        done, total, unit = progress
        observer.on_progress(Stage.FOLLOW, done, total, unit)


def find_progress(event: JobEvent) -> tuple[float, float | None, str] | None:
    """What is done, of how much, and the unit (steps or epochs), where the event has it."""
    for name, total, unit in _COUNTED:
        done = _find_count(event.data.get(name))
        if done is not None:
            return done, _find_count(event.data.get(total)), unit
    return None


def _find_count(value: Json) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        return None
    return float(value)
