"""Writes down each step of a training: all of them to the step file, some to the job's events."""

import math

from ftops import crashpoints
from ftops.clock import Clock
from ftops.engine.steps import REWARD_COLUMNS, StepFile
from ftops.engine.store import NewEvent, Store
from ftops.engine.trainer import StepMetrics

_METRIC_EVENTS = 100  # a job tells about that many steps; the results file has them all
_EPOCH_EVENTS = 50


class Recorder:
    """Writes down each step: all of them to the step file, some to the events."""

    def __init__(
        self, job_id: str, n_epochs: int, steps: StepFile, store: Store, clock: Clock
    ) -> None:
        self._job_id = job_id
        self._n_epochs = n_epochs
        self._steps = steps
        self._store = store
        self._clock = clock
        self._first: tuple[int, float] | None = None

    def record(self, metrics: StepMetrics) -> None:
        self._steps.add(metrics)
        crashpoints.reach("engine.worker.before_step_events")
        events = [*_due_metrics(metrics), *self._epoch_end(metrics)]
        if events:
            with self._store.transaction():
                self._store.tell(self._job_id, *events)
                self._estimate(metrics)
        crashpoints.reach("engine.worker.after_step")

    def _epoch_end(self, metrics: StepMetrics) -> list[NewEvent]:
        """What the last step of an epoch has to tell.

        It follows from the step alone: a worker that died in between is followed by one that
        tells the same.
        """
        if metrics.step * self._n_epochs % metrics.total_steps:
            return []
        every = math.ceil(self._n_epochs / _EPOCH_EVENTS)
        is_due = metrics.epoch % every == 0 or metrics.step == metrics.total_steps
        message = f"Epoch {metrics.epoch}/{self._n_epochs} completed."
        return [NewEvent(f"epoch:{metrics.epoch}", message)] if is_due else []

    def _estimate(self, metrics: StepMetrics) -> None:
        """Say when the job will end, by the speed since this worker began."""
        now = self._clock.monotonic_s()
        if self._first is None:
            self._first = (metrics.step, now)
            return
        first_step, began = self._first
        step_s = (now - began) / (metrics.step - first_step)
        left_s = step_s * (metrics.total_steps - metrics.step)
        self._store.jobs.set_estimate(self._job_id, self._store.now() + round(left_s))


def _due_metrics(metrics: StepMetrics) -> list[NewEvent]:
    every = math.ceil(metrics.total_steps / _METRIC_EVENTS)
    is_due = metrics.step % every == 0 or metrics.step in (1, metrics.total_steps)
    return [_metrics_event(metrics)] if is_due or metrics.valid_loss is not None else []


def _metrics_event(metrics: StepMetrics) -> NewEvent:
    message = f"Step {metrics.step}/{metrics.total_steps}: training loss={metrics.train_loss:.4f}"
    figures = {
        "train_loss": metrics.train_loss,
        "train_mean_token_accuracy": metrics.train_token_accuracy,
        "valid_loss": metrics.valid_loss,
        "valid_mean_token_accuracy": metrics.valid_token_accuracy,
        "full_valid_loss": metrics.full_valid_loss,
        "full_valid_mean_token_accuracy": metrics.full_valid_token_accuracy,
        **{name: getattr(metrics, name) for name in REWARD_COLUMNS},
    }
    if metrics.valid_loss is not None:
        message += f", validation loss={metrics.valid_loss:.4f}"
    if metrics.full_valid_loss is not None:
        message += f", full validation loss={metrics.full_valid_loss:.4f}"
    known = {name: round(value, 6) for name, value in figures.items() if value is not None}
    data = {"step": metrics.step, "total_steps": metrics.total_steps, **known}
    return NewEvent(f"step:{metrics.step}", message, type="metrics", data=data)
