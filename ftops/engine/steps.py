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


class StepsMissing(Exception):
    """The checkpoint is ahead of this file (a power cut may do that): train from the start."""


class StepFile:
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
            raise StepsMissing(f"step {metrics.step} follows step {self.last_step}")
        self._stream.write(_render([_cells(metrics)]).encode())
        self._stream.flush()
        self.last_step = metrics.step
        return True

    def sync(self) -> None:
        """Let all steps so far survive a power cut: a checkpoint must not be ahead of them."""
        os.fsync(self._stream.fileno())

    def close(self) -> None:
        self._stream.close()

    def __enter__(self) -> "StepFile":
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
