"""Metrics of the chances that a model gives to labels: areas under curves, and calibration.

A label of which a row tells no chance has the chance 0: providers tell only the likeliest. Rows
that tell of no label at all are left out, and `rows` of the figure says how many are not.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ftops.scoring.answers import Answer, Problem
from ftops.scoring.extras import need
from ftops.scoring.samples import Bools, Floats, Ids, Sample

BINS = 10


@dataclass(frozen=True, slots=True, eq=False)
class _Told:
    """Rows that tell chances: which they are, of how many, and the table of chances by label."""

    at: Ids
    of: int
    labels: list[str]
    chances: Floats  # [row, label]
    expected: Ids  # the label of each row

    def spread(self, values: Ids, nothing: int) -> Ids:
        """Values of these rows as values of all rows."""
        whole = np.full(self.of, nothing, np.int64)
        whole[self.at] = values
        return whole

    def notes(self) -> tuple[str, ...]:
        """What to know of rows without chances."""
        missing = self.of - len(self.at)
        if not missing:
            return ()
        return (f"measured over {len(self.at):,} rows; {missing:,} tell no chances",)


def _collect(answers: Sequence[Answer]) -> _Told | None:
    told = [
        (number, one)
        for number, one in enumerate(answers)
        if one.chances and one.problem is not Problem.FAILED
    ]
    if not told:
        return None
    labels = sorted({one.expected.strip() for one in answers})
    numbers = {label: number for number, label in enumerate(labels)}
    chances = np.zeros((len(told), len(labels)))
    for line, (_, one) in enumerate(told):
        for label, chance in one.chances.items():
            if (number := numbers.get(label.strip())) is not None:
                chances[line, number] += chance
    return _Told(
        np.array([number for number, _ in told], np.int64),
        len(answers),
        labels,
        chances,
        np.array([numbers[one.expected.strip()] for _, one in told], np.int64),
    )


Area = Callable[[Floats, Floats], Floats]


def roc_area(negative: Floats, positive: Floats) -> Floats:
    """AUROC from counts of either sort by ascending score, one resample a line."""
    below = np.cumsum(negative, axis=1) - negative / 2
    with np.errstate(invalid="ignore"):
        area: Floats = (positive * below).sum(axis=1) / (
            positive.sum(axis=1) * negative.sum(axis=1)
        )
    return area


def precision_recall_area(negative: Floats, positive: Floats) -> Floats:
    """Average precision from counts of either sort by ascending score, one resample a line."""
    found = np.cumsum(positive[:, ::-1], axis=1)
    taken = found + np.cumsum(negative[:, ::-1], axis=1)
    precision = np.divide(found, taken, out=np.zeros_like(found), where=taken > 0)
    with np.errstate(invalid="ignore"):
        area: Floats = (positive[:, ::-1] * precision).sum(axis=1) / positive.sum(axis=1)
    return area


@dataclass(frozen=True, slots=True)
class AreaMetric:
    """The mean over labels of one label's area against all others; of `positive` alone if named.

    `exact` names the function of scikit-learn that gives the figure; `area` gives the same for
    counted rows, and makes the interval.
    """

    name: str
    exact: str
    area: Area
    positive: str | None = None

    def measure(self, answers: Sequence[Answer]) -> Sample:
        """None where no row tells chances, or all rows that do expect the same."""
        told = _collect(answers)
        if told is None:
            return Sample.none("the model tells no chances of labels")
        chosen = self._choose(told)
        if not chosen:
            return Sample.none(f"the rows do not both expect {self.positive or 'a label'} and not")
        function: Any = getattr(need("sklearn.metrics", self.name), self.exact)
        areas = [function(told.expected == one, told.chances[:, one]) for one in chosen]
        ranked = [_rank(told.chances[:, one], told.expected == one) for one in chosen]
        size = len(told.at) + 1

        def average(counts: Floats) -> Floats:
            rows = counts[:, : size - 1]
            parts = [_measure(self.area, rows, kinds, ranks) for kinds, ranks in ranked]
            mean: Floats = np.mean(parts, axis=0)
            return mean

        return Sample(
            told.spread(np.arange(size - 1), size - 1),
            size,
            average,
            float(np.mean(areas)),
            size - 1,
            cost=4 * len(chosen),
            notes=told.notes(),
        )

    def _choose(self, told: _Told) -> list[int]:
        counts = np.bincount(told.expected, minlength=len(told.labels))
        return [
            number
            for number, label in enumerate(told.labels)
            if 0 < counts[number] < len(told.at) and self.positive in (None, label)
        ]


def _rank(chances: Floats, positive: Bools) -> tuple[Ids, int]:
    """Each row's place among the different chances, doubled, and one more where it is positive."""
    levels, places = np.unique(chances, return_inverse=True)
    return places.astype(np.int64) * 2 + positive, len(levels)


def _measure(area: Area, rows: Floats, kinds: Ids, ranks: int) -> Floats:
    table = np.empty((len(rows), 2 * ranks))
    for number, line in enumerate(rows):
        table[number] = np.bincount(kinds, line, minlength=2 * ranks)
    return area(table[:, 0::2], table[:, 1::2])


@dataclass(frozen=True, slots=True)
class CalibrationError:
    """Expected calibration error: how far the chance of the answer is from how often it is right.

    Answers are put into bins of equal width by the chance that the model gave them. Source: C. Guo
    and others, On Calibration of Modern Neural Networks (2017).
    """

    name: str
    bins: int = BINS

    def measure(self, answers: Sequence[Answer]) -> Sample:
        """None where no row tells the chance of its answer."""
        pairs = [
            (one.chances[one.given.strip()], one.correct)
            if one.given.strip() in one.chances and one.problem is not Problem.FAILED
            else None
            for one in answers
        ]
        at = np.array([number for number, pair in enumerate(pairs) if pair], np.int64)
        if not len(at):
            return Sample.none("the model tells no chances of its answers")
        sure = np.array([pair[0] for pair in pairs if pair])
        gaps = sure - np.array([pair[1] for pair in pairs if pair], np.float64)
        # A bin holds its upper edge, so that a chance of 1 is in the last one.
        places = np.clip(np.ceil(sure * self.bins).astype(np.int64) - 1, 0, self.bins - 1)
        parts = np.zeros((len(at) + 1, self.bins))
        parts[np.arange(len(at)), places] = gaps
        kinds = np.full(len(answers), len(at), np.int64)
        kinds[at] = np.arange(len(at))

        def error(counts: Floats) -> Floats:
            with np.errstate(invalid="ignore"):
                whole: Floats = np.abs(counts @ parts).sum(axis=1) / counts[:, :-1].sum(axis=1)
            return whole

        alone = np.ones((1, len(at) + 1))
        missing = len(answers) - len(at)
        return Sample(
            kinds,
            len(at) + 1,
            error,
            float(error(alone)[0]),
            len(at),
            higher_is_better=False,
            notes=(f"{missing:,} rows tell no chance of their answer",) if missing else (),
        )


@dataclass(frozen=True, slots=True)
class Brier:
    """The mean squared distance of chances from what was expected (1 for it, 0 for the others).

    It is summed over the labels, from 0 to 2, as G. Brier (1950) did.
    """

    name: str

    def measure(self, answers: Sequence[Answer]) -> Sample:
        """None where no row tells chances."""
        told = _collect(answers)
        if told is None:
            return Sample.none("the model tells no chances of labels")
        wanted = np.eye(len(told.labels))[told.expected]
        squares = ((told.chances - wanted) ** 2).sum(axis=1)
        scores: list[float | None] = [None] * told.of
        for number, square in zip(told.at.tolist(), squares.tolist(), strict=True):
            scores[number] = square
        return Sample.of_scores(scores, higher_is_better=False, notes=told.notes())
