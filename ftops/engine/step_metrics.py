"""The figures of every training step: kept in a file while the job runs, served as CSV afterwards.

The file is appended to, step by step. A worker that goes on from a checkpoint sees steps again
that are in the file already; they come out the same and are skipped.
"""

import csv
import io
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from ftops import crashpoints
from ftops.clock import Clock
from ftops.engine.store import NewEvent, Store
from ftops.engine.trainer import StepMetrics

# What preference training measures beside the rest; not in the results of other jobs.
REWARD_COLUMNS = (
    "train_reward_accuracy",
    "train_reward_margin",
    "valid_reward_accuracy",
    "valid_reward_margin",
)
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
)


class StepsMissingError(Exception):
    """The checkpoint is ahead of this file (a power cut may do that): train from the start."""


class StepMetricsFile:
    """The steps so far; a line that a death left unfinished is dropped on opening."""

    def __init__(self, path: Path) -> None:
        whole = _whole_lines(path)
        rows = read_steps(path)
        self.last_step = int(rows[-1][0]) if rows else 0
        self._stream = path.open("ab")
        self._stream.truncate(len(whole))

    def add(self, metrics: StepMetrics) -> bool:
        """Keep the step; False when it is here already."""
        if metrics.step <= self.last_step:
            return False
        if metrics.step > self.last_step + 1:
            raise StepsMissingError(f"step {metrics.step} follows step {self.last_step}")
        self._stream.write(_render([_cells(metrics)]).encode())
        self._stream.flush()
        self.last_step = metrics.step
        return True

    def sync(self) -> None:
        """Let all steps so far survive a power cut: a checkpoint must not be ahead of them."""
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
    """The whole lines of a step file, as cells; none when there is no file."""
    rows = csv.reader(io.StringIO(_whole_lines(path).decode()))
    # An earlier version wrote fewer columns.
    return [row + [""] * (len(COLUMNS) - len(row)) for row in rows]


def result_columns(*, by_preference: bool) -> Mapping[str, str]:
    """The columns of the results file, as `render_results` takes them."""
    return {name: name for name in COLUMNS if by_preference or name not in REWARD_COLUMNS}


def render_results(
    rows: Sequence[Sequence[str]], extra: Mapping[str, float], columns: Mapping[str, str]
) -> str:
    """The results file: a header, every step, and `extra` figures in the last row.

    `columns` are the titles, and which of COLUMNS stands under each.
    """
    header = [*columns, *extra]
    places = [COLUMNS.index(source) for source in columns.values()]
    empty = [""] * len(extra)
    body = [[*(row[place] for place in places), *empty] for row in rows]
    if body and extra:
        body[-1][len(columns) :] = [_figure(value) for value in extra.values()]
    return _render([header, *body])


def _whole_lines(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return b""
    return data[: data.rfind(b"\n") + 1]


def _cells(metrics: StepMetrics) -> list[str]:
    whole = [metrics.step, metrics.epoch, metrics.elapsed_tokens, metrics.elapsed_examples]
    figures = [
        metrics.train_loss,
        metrics.train_token_accuracy,
        metrics.valid_loss,
        metrics.valid_token_accuracy,
        metrics.train_sequence_accuracy,
        metrics.valid_sequence_accuracy,
        *(getattr(metrics, name) for name in REWARD_COLUMNS),
        metrics.full_valid_loss,
        metrics.full_valid_token_accuracy,
    ]
    return [*map(str, whole), *map(_figure, figures)]


def _figure(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.6g}"


def _render(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


_METRIC_EVENTS = 100  # a job tells about that many steps; the results file has them all
_EPOCH_EVENTS = 50


class MetricsRecorder:
    """Writes down each step: all of them to the step file, some to the events."""

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
        events = [*_due_metrics(metrics), *self._epoch_end(metrics)]
        if events:
            with self._store.transaction():
                self._store.add_events(self._job_id, *events)
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
