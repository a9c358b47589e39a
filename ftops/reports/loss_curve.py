"""The losses of a training as curves, with levels and their standard errors.

A loss measured on few rows scatters, so two levels only count as different if they differ by
several standard errors.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import itemgetter, mul, sub
from statistics import median
from typing import NamedTuple

from ftops.reports.results import ResultRow
from ftops.reports.training import Training

_ENOUGH_FOR_SCATTER = 8  # points; with fewer, scatter and shape cannot be separated
_MOST_EXACT_AN_EPOCH = 2  # more frequent measurements use a few rows
_MAD = 1.4826  # converts a median distance to a standard deviation (normal distribution)


class Level(NamedTuple):
    """The mean of a section of a curve, with its standard error."""

    value: float
    error: float
    first_step: int
    last_step: int


@dataclass(frozen=True, slots=True)
class LossCurve:
    """The points of one loss, by step."""

    steps: Sequence[int]
    values: Sequence[float]
    _bends: Sequence[float] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_bends", _get_bends(self.values))

    def __len__(self) -> int:
        return len(self.steps)

    def get_level(self, start: int, stop: int) -> Level:
        """The mean of the points from `start` to before `stop`, with its standard error.

        The scatter is measured between neighbours, so a slope does not count.
        """
        points = self.values[start:stop]
        is_enough = len(points) >= _ENOUGH_FOR_SCATTER
        bends = self._bends[start : stop - 2] if is_enough else self._bends
        error = _get_scatter(bends) / math.sqrt(len(points))
        mean = math.fsum(points) / len(points)
        return Level(mean, error, self.steps[start], self.steps[stop - 1])

    def split(self, parts: int) -> list[Level]:
        """The levels of up to `parts` sections of equal length, in order."""
        if not self:
            return []
        size = max(1, math.ceil(len(self) / parts))
        # the last section is complete; the first one may be shorter
        starts = range(len(self) - size, -1, -size)
        cuts = [*(start for start in starts if start >= size), 0]
        cuts.reverse()
        return [
            self.get_level(start, stop)
            for start, stop in zip(cuts, [*cuts[1:], len(self)], strict=True)
        ]

    def find_level_at(self, first_step: int, last_step: int) -> Level | None:
        """The level between two steps, inclusive; None if there are no points."""
        start, stop = bisect_left(self.steps, first_step), bisect_right(self.steps, last_step)
        return self.get_level(start, stop) if start < stop else None

    def smooth(self) -> list[Level]:
        """The points as levels; with eight or more, each is the median of three.

        So a single outlier is neither the best point nor the end.
        """
        if len(self) < _ENOUGH_FOR_SCATTER:
            pairs = zip(self.steps, self.values, strict=True)
            return [Level(value, 0.0, step, step) for step, value in pairs]
        scatter = _get_robust_scatter(self._bends)
        last = len(self) - 1
        levels = []
        for index, step in enumerate(self.steps):
            middle = min(max(index, 1), last - 1)
            value = median(self.values[middle - 1 : middle + 2])
            levels.append(Level(value, scatter, step, step))
        return levels


@dataclass(frozen=True, slots=True)
class LossCurves:
    """Training and validation loss; `is_exact` if validation is always measured on all rows."""

    train: LossCurve
    valid: LossCurve
    is_exact: bool
    valid_accuracy: LossCurve

    def split_validation(self, parts: int = 10) -> list[Level]:
        """The levels of validation: its points if it is exact, else means of sections."""
        return self.valid.smooth() if self.is_exact else self.valid.split(parts)


def create_curves(training: Training) -> LossCurves:
    """The curves of a training; validation on all rows if it has two points, else on few rows."""
    rows = training.rows
    full = _collect(rows, "full_valid_loss")
    is_full = len(full) > 1
    valid = full if is_full else _collect(rows, "valid_loss")
    epochs = training.facts.n_epochs or max((row.epoch or 0 for row in rows), default=0)
    rare = len(valid) <= _MOST_EXACT_AN_EPOCH * epochs and 2 * len(valid) <= len(rows)
    accuracy = _collect(rows, "full_valid_accuracy" if is_full else "valid_accuracy")
    return LossCurves(_collect(rows, "train_loss"), valid, is_full or rare, accuracy)


def _collect(rows: Sequence[ResultRow], name: str) -> LossCurve:
    place = ResultRow._fields.index(name)
    values: list[float | None] = list(map(itemgetter(place), rows))
    steps = [row.step for row, value in zip(rows, values, strict=True) if value is not None]
    return LossCurve(steps, [value for value in values if value is not None])


def _get_scatter(bends: Sequence[float]) -> float:
    """The standard deviation of a point from its neighbours; 0 for too few points."""
    return math.sqrt(sum(map(mul, bends, bends)) / len(bends) / 6) if bends else 0.0


def _get_robust_scatter(bends: Sequence[float]) -> float:
    """The scatter by the median, which is robust against outliers and a steep start."""
    return _MAD * median(map(abs, bends)) / math.sqrt(6)


def _get_bends(values: Sequence[float]) -> list[float]:
    """Twice the distance of each inner point from the line between its neighbours."""
    slopes = list(map(sub, values[1:], values))
    return list(map(sub, slopes[1:], slopes))
