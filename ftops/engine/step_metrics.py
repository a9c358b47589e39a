"""The metrics of training steps: all are in a file, some are also events of the job.

The file grows by a line for each step and becomes the results file of the job. A worker that
continues from a checkpoint repeats steps that are in the file; their metrics are equal, so they
are skipped.
"""

import csv
import io
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from ftops import crashpoints
from ftops.clock import Clock
from ftops.engine.store import NewEvent, Store
from ftops.engine.trainer import Sample, StepMetrics
from ftops.records import Json

# Only preference training measures these; only its jobs have them in their results.
REWARD_COLUMNS = (
    "train_reward_accuracy",
    "train_reward_margin",
    "valid_reward_accuracy",
    "valid_reward_margin",
)
LEARNING_RATE = "learning_rate"  # last, and only in results of trainers that report it
COLUMNS = (
    "step",
    "epoch",
    "elapsed_tokens",
    "elapsed_examples",
    "train_loss",
    "train_accuracy",
    "valid_loss",
    "valid_mean_token_accuracy",
    "train_sequence_accuracy",
    "valid_sequence_accuracy",
    *REWARD_COLUMNS,
    "full_valid_loss",
    "full_valid_mean_token_accuracy",
    LEARNING_RATE,
)


class StepsMissingError(Exception):
    """The checkpoint is ahead of this file, as after a power failure: training starts again."""


class StepMetricsFile:
    """The metrics so far. Opening it drops an incomplete last line."""

    def __init__(self, path: Path) -> None:
        whole = _read_complete_lines(path)
        rows = read_steps(path)
        self.last_step = int(rows[-1][0]) if rows else 0
        self._stream = path.open("ab")
        self._stream.truncate(len(whole))

    def add(self, metrics: StepMetrics) -> bool:
        """Append the step; False when the file has it."""
        if metrics.step <= self.last_step:
            return False
        if metrics.step > self.last_step + 1:
            raise StepsMissingError(f"step {metrics.step} follows step {self.last_step}")
        self._stream.write(_render([_cells(metrics)]).encode())
        self._stream.flush()
        self.last_step = metrics.step
        return True

    def sync(self) -> None:
        """Flush to the disk: a checkpoint must not be ahead of the file."""
        os.fsync(self._stream.fileno())

    def close(self) -> None:
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def read_steps(path: Path) -> list[list[str]]:
    """The complete lines of a metrics file, as cells (see COLUMNS); none without a file."""
    return list(csv.reader(io.StringIO(_read_complete_lines(path).decode())))


def result_columns(rows: Sequence[Sequence[str]], *, by_preference: bool) -> Mapping[str, str]:
    """The columns of the results file, as `render_results` takes them.

    Speed and memory are in the events alone, so that a resumed job has the same results file as an
    uninterrupted one.
    """
    absent = set() if by_preference else set(REWARD_COLUMNS)
    if not any(len(row) == len(COLUMNS) and row[-1] for row in rows):
        absent.add(LEARNING_RATE)
    return {name: name for name in COLUMNS if name not in absent}


def render_results(
    rows: Sequence[Sequence[str]], extra: Mapping[str, float], columns: Mapping[str, str]
) -> str:
    """The results file: a header, a row for each step, and `extra` metrics in the last row.

    `columns` maps the titles to names in COLUMNS.
    """
    header = [*columns, *extra]
    places = [COLUMNS.index(source) for source in columns.values()]
    empty = [""] * len(extra)
    body = [[*(row[place] for place in places), *empty] for row in rows]
    if body and extra:
        body[-1][len(columns) :] = [_format_number(value) for value in extra.values()]
    return _render([header, *body])


def _read_complete_lines(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return b""
    return data[: data.rfind(b"\n") + 1]


def _cells(metrics: StepMetrics) -> list[str]:
    counters = [metrics.step, metrics.epoch, metrics.elapsed_tokens, metrics.elapsed_examples]
    measurements = [
        metrics.train_loss,
        metrics.train_token_accuracy,
        metrics.valid_loss,
        metrics.valid_token_accuracy,
        metrics.train_sequence_accuracy,
        metrics.valid_sequence_accuracy,
        *(getattr(metrics, name) for name in REWARD_COLUMNS),
        metrics.full_valid_loss,
        metrics.full_valid_token_accuracy,
        metrics.learning_rate,
    ]
    return [*map(str, counters), *map(_format_number, measurements)]


def _format_number(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.6g}"


def _render(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


_METRIC_EVENTS = 100  # approximate maximum of steps with an event; the results file has all steps
_EPOCH_EVENTS = 50


class MetricsRecorder:
    """Writes each step to the metrics file, and some steps as events."""

    def __init__(
        self, job_id: str, n_epochs: int, steps: StepMetricsFile, store: Store, clock: Clock
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
        events = [*_metrics_events(metrics), *self._epoch_events(metrics)]
        if events:
            with self._store.transaction():
                self._store.add_events(self._job_id, *events)
                self._estimate(metrics)
        crashpoints.reach("engine.worker.after_step")

    def record_samples(self, step: int, samples: Sequence[Sample]) -> None:
        """Add an event with the answers; a repeated step adds none."""
        answers: list[Json] = [asdict(sample) for sample in samples]
        message = f"Step {step}: answers to {len(answers)} validation rows."
        event = NewEvent(f"samples:{step}", message, data={"samples": answers})
        self._store.add_events(self._job_id, event)

    def _epoch_events(self, metrics: StepMetrics) -> list[NewEvent]:
        """The event of an epoch's last step; it depends only on the step, also after a resume."""
        if metrics.step * self._n_epochs % metrics.total_steps:
            return []
        every = math.ceil(self._n_epochs / _EPOCH_EVENTS)
        is_due = metrics.epoch % every == 0 or metrics.step == metrics.total_steps
        message = f"Epoch {metrics.epoch}/{self._n_epochs} completed."
        data = {"epoch": metrics.epoch, "n_epochs": self._n_epochs}
        return [NewEvent(f"epoch:{metrics.epoch}", message, data=data)] if is_due else []

    def _estimate(self, metrics: StepMetrics) -> None:
        """Set the estimated end of the job, from the speed since this worker started."""
        now = self._clock.monotonic_s()
        if self._first is None:
            self._first = (metrics.step, now)
            return
        first_step, began = self._first
        step_s = (now - began) / (metrics.step - first_step)
        left_s = step_s * (metrics.total_steps - metrics.step)
        self._store.jobs.set_estimate(self._job_id, self._store.now() + round(left_s))


def _metrics_events(metrics: StepMetrics) -> list[NewEvent]:
    every = math.ceil(metrics.total_steps / _METRIC_EVENTS)
    is_due = metrics.step % every == 0 or metrics.step in (1, metrics.total_steps)
    return [_metrics_event(metrics)] if is_due or metrics.valid_loss is not None else []


def _metrics_event(metrics: StepMetrics) -> NewEvent:
    message = f"Step {metrics.step}/{metrics.total_steps}: training loss={metrics.train_loss:.4f}"
    measurements = {
        "train_loss": metrics.train_loss,
        "train_mean_token_accuracy": metrics.train_token_accuracy,
        "valid_loss": metrics.valid_loss,
        "valid_mean_token_accuracy": metrics.valid_token_accuracy,
        "full_valid_loss": metrics.full_valid_loss,
        "full_valid_mean_token_accuracy": metrics.full_valid_token_accuracy,
        **{name: getattr(metrics, name) for name in REWARD_COLUMNS},
        "tokens_per_second": metrics.tokens_per_second,
    }
    if metrics.valid_loss is not None:
        message += f", validation loss={metrics.valid_loss:.4f}"
    if metrics.full_valid_loss is not None:
        message += f", full validation loss={metrics.full_valid_loss:.4f}"
    known = {name: round(value, 6) for name, value in measurements.items() if value is not None}
    data: dict[str, Json] = {"step": metrics.step, "total_steps": metrics.total_steps, **known}
    if metrics.learning_rate is not None:
        data["learning_rate"] = metrics.learning_rate
    if metrics.memory_bytes is not None:
        data["memory_bytes"] = metrics.memory_bytes
    return NewEvent(f"step:{metrics.step}", message, type="metrics", data=data)
