"""Metrics of the chances that a model gives to labels: areas under curves, and calibration.

A label of which a row tells no chance has the chance 0: providers tell only the likeliest. Rows
that tell of no label at all are left out, and `rows` of the figure says how many are not.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ftops.metrics.extras import need
from ftops.metrics.prediction import Prediction, Problem
from ftops.metrics.samples import Bools, Floats, Ids, Sample
from ftops.text import to_nfc

BINS = 10
_MOST_PLACES = 4096  # in the order of chances; of more, neighbours are joined for the interval


@dataclass(frozen=True, slots=True, eq=False)
class _Told:
    """Rows that tell chances: which they are, of how many, and the table of chances by label."""

    at: Ids
    of: int
    labels: list[str]
    probabilities: Floats  # [row, label]
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


class _Numbers(dict[str, int]):
    """The number of each label; `other` of what is none. Blanks at both ends do not count."""

    def __init__(self, labels: Sequence[str]) -> None:
        super().__init__({label: number for number, label in enumerate(labels)})
        self._other = len(labels)

    def __missing__(self, label: str) -> int:
        self[label] = self.get(to_nfc(label.strip()), self._other)
        return self[label]


def _collect(answers: Sequence[Prediction]) -> _Told | None:
    at, told = list[int](), list[Prediction]()
    for number, one in enumerate(answers):
        if one.probabilities and one.problem is not Problem.FAILED:
            at.append(number)
            told.append(one)
    if not told:
        return None
    labels = sorted({one.expected_label for one in answers})
    numbers, width = _Numbers(labels), len(labels) + 1
    cells = [
        line * width + numbers[label]
        for line, one in enumerate(told)
        for label in one.probabilities
    ]
    values = [chance for one in told for chance in one.probabilities.values()]
    table: Floats = np.bincount(cells, values, minlength=len(told) * width).astype(np.float64)
    return _Told(
        np.array(at, np.int64),
        len(answers),
        labels,
        table.reshape(len(told), width)[:, :-1],
        np.array([numbers[one.expected_label] for one in told], np.int64),
    )


@dataclass(slots=True)
class Chances:
    """What answers tell of chances, kept for the other metrics of the same answers."""

    _last: tuple[Sequence[Prediction], _Told | None] | None = field(default=None, init=False)

    def find(self, answers: Sequence[Prediction]) -> _Told | None:
        """None where no row tells any."""
        if self._last is None or self._last[0] is not answers:
            self._last = (answers, _collect(answers))
        return self._last[1]


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
    counted rows, and makes the interval. Where chances are very many, that is made of neighbours
    joined into places, moved so that it is around the exact figure.
    """

    name: str
    exact: str
    area: Area
    told: Chances
    positive: str | None = None

    def measure(self, answers: Sequence[Prediction]) -> Sample:
        """None where no row tells chances, or all rows that do expect the same."""
        told = self.told.find(answers)
        if told is None:
            return Sample.none("the model tells no chances of labels")
        chosen = self._choose(told)
        if not chosen:
            return Sample.none(f"the rows do not both expect {self.positive or 'a label'} and not")
        function: Any = getattr(need("sklearn.metrics", self.name), self.exact)
        exact = [function(told.expected == one, told.probabilities[:, one]) for one in chosen]
        ranked = [_rank(told.probabilities[:, one], told.expected == one) for one in chosen]
        value, size = float(np.mean(exact)), len(told.at) + 1
        joined = self._average(np.ones((1, size)), ranked)[0]
        return Sample(
            told.spread(np.arange(size - 1), size - 1),
            size,
            lambda counts: self._average(counts, ranked) + (value - joined),
            value,
            size - 1,
            cost=len(chosen),
            notes=told.notes(),
        )

    def _average(self, counts: Floats, ranked: Sequence[tuple[Ids, int]]) -> Floats:
        """The mean area over labels; the last column counts rows that tell no chances."""
        areas = np.empty((len(ranked), len(counts)))
        for label, (kinds, places) in enumerate(ranked):
            table = np.empty((len(counts), 2 * places))
            for number, line in enumerate(counts):
                table[number] = np.bincount(kinds, line[:-1], minlength=2 * places)
            areas[label] = self.area(table[:, 0::2], table[:, 1::2])
        mean: Floats = areas.mean(axis=0)
        return mean

    def _choose(self, told: _Told) -> list[int]:
        counts = np.bincount(told.expected, minlength=len(told.labels))
        return [
            number
            for number, label in enumerate(told.labels)
            if 0 < counts[number] < len(told.at) and self.positive in (None, label)
        ]


def _rank(chances: Floats, positive: Bools) -> tuple[Ids, int]:
    """Each row's place in the order of chances, doubled, and one more where it is positive."""
    levels, places = np.unique(chances, return_inverse=True)
    width = -(-len(levels) // _MOST_PLACES)
    places = places.astype(np.int64) // width
    return places * 2 + positive, -(-len(levels) // width)


@dataclass(frozen=True, slots=True)
class CalibrationError:
    """Expected calibration error: how far the chance of the answer is from how often it is right.

    Answers are put into bins of equal width by the chance that the model gave them. Source: C. Guo
    and others, On Calibration of Modern Neural Networks (2017).
    """

    name: str
    bins: int = BINS

    def measure(self, answers: Sequence[Prediction]) -> Sample:
        """None where no row tells the chance of its answer."""
        pairs = [
            (one.probabilities[one.predicted.strip()], one.correct)
            if one.predicted.strip() in one.probabilities and one.problem is not Problem.FAILED
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
    told: Chances

    def measure(self, answers: Sequence[Prediction]) -> Sample:
        """None where no row tells chances."""
        told = self.told.find(answers)
        if told is None:
            return Sample.none("the model tells no chances of labels")
        wanted = np.eye(len(told.labels))[told.expected]
        squares = ((told.probabilities - wanted) ** 2).sum(axis=1)
        scores: list[float | None] = [None] * told.of
        for number, square in zip(told.at.tolist(), squares.tolist(), strict=True):
            scores[number] = square
        return Sample.of_scores(scores, higher_is_better=False, notes=told.notes())
