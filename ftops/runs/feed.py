"""Job events on their way to whoever watches."""

from collections.abc import Sequence

from ftops.ledger.ledger import StoredEvent
from ftops.records import JobEvent, Json, Stage
from ftops.runs.context import StageContext
from ftops.runs.observer import Observer

_COUNTED = (("step", "total_steps", "steps"), ("epoch", "n_epochs", "epochs"))


def show_unshown(stage: StageContext) -> None:
    """Show the run's stored events that no command has shown, oldest first, and remember that."""
    ledger = stage.ledger
    stored = ledger.list_stored_events(stage.run.id, unshown=True)
    if not stored:
        return
    shown: list[int] = []
    try:
        for one in stored:
            # Counted before it is shown: a Ctrl-C during the output is no reason to show it again.
            shown.append(one.number)
            show(stage.observer, [one])
    finally:
        ledger.mark_shown(shown)


def show(observer: Observer, stored: Sequence[StoredEvent]) -> None:
    """Show these events, and how far the training is where they tell it."""
    for one in stored:
        observer.on_event(one.event)
        show_progress(observer, one.event)


def show_progress(observer: Observer, event: JobEvent) -> None:
    """Report how far the training is, where the event tells it."""
    if progress := find_progress(event):
        done, total, unit = progress
        observer.on_progress(Stage.FOLLOW, done, total, unit)


def find_progress(event: JobEvent) -> tuple[float, float | None, str] | None:
    """How much of how much was done of what, when the event tells: steps, or whole epochs."""
    for name, total, unit in _COUNTED:
        done = _find_count(event.data.get(name))
        if done is not None:
            return done, _find_count(event.data.get(total)), unit
    return None


def _find_count(value: Json) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        return None
    return float(value)
