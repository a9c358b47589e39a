"""Metrics of the probabilities that a model gives to labels: areas under curves, calibration.

A label without a probability in a row has 0 there: providers return only the most likely tokens.
Rows without any probabilities are ignored; `rows` of the result is the number of the others.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ftops.metrics.metric import Bools, Floats, Ids, MetricContext, MetricSample
from ftops.metrics.optional_imports import load_optional
from ftops.metrics.prediction import Prediction, Problem
from ftops.metrics.result import Unit
from ftops.text import to_nfc

BINS = 10
_MAX_PLACES = 4096  # in the order of probabilities; for the interval, more are merged
_CACHE = "probabilities"
_NO_PROBABILITIES = "the model returns no probabilities of labels"


@dataclass(frozen=True, slots=True, eq=False)
class _LabelTable:
    """Probabilities by row and label; `at` are the rows with probabilities, of `total` rows."""

    at: Ids
    total: int
    labels: list[str]
    probabilities: Floats  # [row, label]
    expected: Ids  # the label number of each row

    def spread(self, values: Ids, missing: int) -> Ids:
        """Values of these rows as values of all rows; other rows get `missing`."""
        whole = np.full(self.total, missing, np.int64)
        whole[self.at] = values
        return whole

    def notes(self) -> tuple[str, ...]:
        missing = self.total - len(self.at)
        if not missing:
            return ()
        return (f"measured over {len(self.at):,} rows; {missing:,} have no probabilities",)


class _LabelNumbers(dict[str, int]):
    """The number of each label, stripped and in NFC; `other` for other texts."""

    def __init__(self, labels: Sequence[str]) -> None:
        super().__init__({label: number for number, label in enumerate(labels)})
        self._other = len(labels)

    def __missing__(self, label: str) -> int:
        self[label] = self.get(to_nfc(label.strip()), self._other)
        return self[label]


def _build_table(predictions: Sequence[Prediction]) -> _LabelTable | None:
    at, measured = list[int](), list[Prediction]()
    for number, row in enumerate(predictions):
        if row.probabilities and row.problem is not Problem.FAILED:
            at.append(number)
            measured.append(row)
    if not measured:
        return None
    labels = sorted({row.expected_label for row in predictions})
    numbers, width = _LabelNumbers(labels), len(labels) + 1
    cells = [
        line * width + numbers[label]
        for line, row in enumerate(measured)
        for label in row.probabilities
    ]
    values = [value for row in measured for value in row.probabilities.values()]
    table: Floats = np.bincount(cells, values, minlength=len(measured) * width).astype(np.float64)
    return _LabelTable(
        np.array(at, np.int64),
        len(predictions),
        labels,
        table.reshape(len(measured), width)[:, :-1],
        np.array([numbers[row.expected_label] for row in measured], np.int64),
    )


Area = Callable[[Floats, Floats], Floats]


def roc_area(negative: Floats, positive: Floats) -> Floats:
    """AUROC from counts of negative and positive rows by ascending score, for each resample."""
    below = np.cumsum(negative, axis=1) - negative / 2
    with np.errstate(invalid="ignore"):
        area: Floats = (positive * below).sum(axis=1) / (
            positive.sum(axis=1) * negative.sum(axis=1)
        )
    return area


def precision_recall_area(negative: Floats, positive: Floats) -> Floats:
    """Average precision from counts by ascending score, for each resample."""
    retrieved_positive = np.cumsum(positive[:, ::-1], axis=1)
    retrieved = retrieved_positive + np.cumsum(negative[:, ::-1], axis=1)
    precision = np.divide(
        retrieved_positive, retrieved, out=np.zeros_like(retrieved_positive), where=retrieved > 0
    )
    with np.errstate(invalid="ignore"):
        area: Floats = (positive[:, ::-1] * precision).sum(axis=1) / positive.sum(axis=1)
    return area


@dataclass(frozen=True, slots=True)
class AreaMetric:
    """The mean area of one label against all others, over labels; of `positive` only if given.

    `exact` is the function of scikit-learn that computes the value; `area` computes the same from
    counts, for the interval. If there are too many different probabilities, neighbours are merged
    for the interval, which is then shifted to be around the exact value.
    """

    name: str
    exact: str
    area: Area
    context: MetricContext
    positive: str | None = None
    unit: Unit = Unit.SCORE

    def measure(self, predictions: Sequence[Prediction]) -> MetricSample:
        """The metric; no value without probabilities, or if all rows with some expect the same."""
        table = self.context.derive(_CACHE, predictions, _build_table)
        if table is None:
            return MetricSample.none(_NO_PROBABILITIES)
        labels = self._choose_labels(table)
        if not labels:
            label = self.positive or "a label"
            return MetricSample.none(f"not both of {label} and other labels are expected")
        function: Any = getattr(load_optional("sklearn.metrics", self.name), self.exact)
        columns = [(table.expected == label, table.probabilities[:, label]) for label in labels]
        value = float(np.mean([function(positive, scores) for positive, scores in columns]))
        ranked = [_rank(scores, positive) for positive, scores in columns]
        size = len(table.at) + 1
        joined = self._average(np.ones((1, size)), ranked)[0]
        return MetricSample(
            table.spread(np.arange(size - 1), size - 1),
            size,
            lambda counts: self._average(counts, ranked) + (value - joined),
            value,
            size - 1,
            cost=len(labels),
            notes=table.notes(),
        )

    def _average(self, counts: Floats, ranked: Sequence[tuple[Ids, int]]) -> Floats:
        """The mean area over labels; the last column counts rows without probabilities."""
        areas = np.empty((len(ranked), len(counts)))
        for label, (places, width) in enumerate(ranked):
            table = np.empty((len(counts), 2 * width))
            for number, line in enumerate(counts):
                table[number] = np.bincount(places, line[:-1], minlength=2 * width)
            areas[label] = self.area(table[:, 0::2], table[:, 1::2])
        mean: Floats = areas.mean(axis=0)
        return mean

    def _choose_labels(self, table: _LabelTable) -> list[int]:
        counts = np.bincount(table.expected, minlength=len(table.labels))
        return [
            number
            for number, label in enumerate(table.labels)
            if 0 < counts[number] < len(table.at) and self.positive in (None, label)
        ]


def _rank(scores: Floats, positive: Bools) -> tuple[Ids, int]:
    """The rank of each row, doubled, plus one if the row is positive."""
    levels, places = np.unique(scores, return_inverse=True)
    width = -(-len(levels) // _MAX_PLACES)
    places = places.astype(np.int64) // width
    return places * 2 + positive, -(-len(levels) // width)


def create_auroc(name: str, context: MetricContext, positive: str | None = None) -> AreaMetric:
    """The area under the ROC curve."""
    return AreaMetric(name, "roc_auc_score", roc_area, context, positive)


def create_auprc(name: str, context: MetricContext, positive: str | None = None) -> AreaMetric:
    """The area under the precision-recall curve, as average precision."""
    return AreaMetric(name, "average_precision_score", precision_recall_area, context, positive)


@dataclass(frozen=True, slots=True)
class CalibrationError:
    """Expected calibration error: the mean absolute difference of confidence and accuracy.

    Predictions are grouped by probability into bins of equal width. Source: C. Guo and others, On
    Calibration of Modern Neural Networks (2017).
    """

    name: str
    bins: int = BINS
    unit: Unit = Unit.SCORE

    def measure(self, predictions: Sequence[Prediction]) -> MetricSample:
        """The metric; no value if no row has the probability of its prediction."""
        pairs = [
            (row.probabilities[row.predicted.strip()], row.correct)
            if row.predicted.strip() in row.probabilities and row.problem is not Problem.FAILED
            else None
            for row in predictions
        ]
        at = np.array([number for number, pair in enumerate(pairs) if pair], np.int64)
        if not len(at):
            return MetricSample.none("the model returns no probabilities of its predictions")
        confidence = np.array([pair[0] for pair in pairs if pair])
        gaps = confidence - np.array([pair[1] for pair in pairs if pair], np.float64)
        # A bin includes its upper edge, so that a probability of 1 is in the last bin.
        places = np.clip(np.ceil(confidence * self.bins).astype(np.int64) - 1, 0, self.bins - 1)
        parts = np.zeros((len(at) + 1, self.bins))
        parts[np.arange(len(at)), places] = gaps
        categories = np.full(len(predictions), len(at), np.int64)
        categories[at] = np.arange(len(at))

        def error(counts: Floats) -> Floats:
            with np.errstate(invalid="ignore"):
                whole: Floats = np.abs(counts @ parts).sum(axis=1) / counts[:, :-1].sum(axis=1)
            return whole

        missing = len(predictions) - len(at)
        return MetricSample(
            categories,
            len(at) + 1,
            error,
            float(error(np.ones((1, len(at) + 1)))[0]),
            len(at),
            higher_is_better=False,
            notes=(f"{missing:,} rows have no probability of their prediction",) if missing else (),
        )


def create_calibration_error(
    name: str, _context: MetricContext, bins: int = BINS
) -> CalibrationError:
    """The expected calibration error over `bins` bins."""
    return CalibrationError(name, bins)


@dataclass(frozen=True, slots=True)
class BrierScore:
    """The mean squared distance of probabilities from 1 for the expected label, 0 for the others.

    It is the sum over the labels, from 0 to 2. Source: G. Brier (1950).
    """

    name: str
    context: MetricContext
    unit: Unit = Unit.SCORE

    def measure(self, predictions: Sequence[Prediction]) -> MetricSample:
        """The metric; no value without probabilities."""
        table = self.context.derive(_CACHE, predictions, _build_table)
        if table is None:
            return MetricSample.none(_NO_PROBABILITIES)
        target = np.eye(len(table.labels))[table.expected]
        squares = ((table.probabilities - target) ** 2).sum(axis=1)
        scores: list[float | None] = [None] * table.total
        for number, square in zip(table.at.tolist(), squares.tolist(), strict=True):
            scores[number] = square
        return MetricSample.of_scores(scores, higher_is_better=False, notes=table.notes())


def create_brier(name: str, context: MetricContext) -> BrierScore:
    """The Brier score."""
    return BrierScore(name, context)
