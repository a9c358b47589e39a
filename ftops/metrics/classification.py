"""Metrics of classes: functions of the confusion matrix.

Precision, recall and F1 equal those of scikit-learn over the classes that are expected or predicted
in some row, with 0 if a share has no denominator. A prediction that is not a label counts against
the class of its row, and for no other.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ftops.metrics.metric import Floats, Ids, MetricContext, MetricSample
from ftops.metrics.prediction import Prediction, Problem
from ftops.metrics.result import ClassResult, Confusion, Unit
from ftops.text import to_nfc

MAX_CLASSES = 100
MIN_ROWS_PER_CLASS = 3  # on average; with fewer, expected answers are not classes
_CACHE = "confusion"


@dataclass(frozen=True, slots=True)
class ConfusionTables:
    """Confusion matrices, one per resample: rows, predictions and correct rows of each class."""

    rows: Floats
    predicted: Floats
    correct: Floats


Average = Callable[[ConfusionTables], Floats]


def read_tables(counts: Floats, classes: int) -> ConfusionTables:
    """The tables for counts of matrix cells, one resample per row of the array."""
    cells = counts.reshape(len(counts), classes, classes + 1)
    return ConfusionTables(
        rows=cells.sum(axis=2),
        predicted=cells[:, :, :classes].sum(axis=1),
        correct=np.einsum("bii->bi", cells[:, :, :classes]),
    )


def _divide(upper: Floats, lower: Floats) -> Floats:
    shares: Floats = np.divide(upper, lower, out=np.zeros_like(upper), where=lower > 0)
    return shares


def _precision(tables: ConfusionTables) -> Floats:
    return _divide(tables.correct, tables.predicted)


def _recall(tables: ConfusionTables) -> Floats:
    return _divide(tables.correct, tables.rows)


def _f1(tables: ConfusionTables) -> Floats:
    return _divide(2 * tables.correct, tables.rows + tables.predicted)


def _macro(share: Average) -> Average:
    """The mean over the classes that occur."""

    def average(tables: ConfusionTables) -> Floats:
        occurs = (tables.rows + tables.predicted > 0).astype(np.float64)
        return _divide((share(tables) * occurs).sum(axis=1), occurs.sum(axis=1))

    return average


def _weighted(share: Average) -> Average:
    """The mean over the classes, weighted by their rows."""
    return lambda tables: _divide(
        (share(tables) * tables.rows).sum(axis=1), tables.rows.sum(axis=1)
    )


def _micro(share: Average) -> Average:
    """The share over all classes together."""

    def average(tables: ConfusionTables) -> Floats:
        columns = (tables.rows, tables.predicted, tables.correct)
        return share(ConfusionTables(*(column.sum(axis=1) for column in columns)))

    return average


AVERAGES: Mapping[str, Average] = {
    f"{name}{suffix}": average(share)
    for name, share in (("precision", _precision), ("recall", _recall), ("f1", _f1))
    for suffix, average in (("", _macro), ("_weighted", _weighted), ("_micro", _micro))
}


@dataclass(frozen=True, slots=True)
class ClassMetric:
    """The metric of one entry of `AVERAGES`."""

    name: str
    average: Average
    context: MetricContext
    unit: Unit = Unit.SHARE

    def measure(self, predictions: Sequence[Prediction]) -> MetricSample:
        """The metric over these rows; no value if the expected answers are not labels."""
        labels, cells = self.context.derive(_CACHE, predictions, self._place)
        if not labels:
            return MetricSample.none(
                "the expected answers are not classes: there are too many different ones"
            )
        classes = len(labels)
        return MetricSample.of_categories(
            cells,
            classes * (classes + 1),
            lambda counts: self.average(read_tables(counts, classes)),
        )

    def _place(self, predictions: Sequence[Prediction]) -> tuple[tuple[str, ...], Ids]:
        return place_in_matrix(predictions, self.context.labels)


def create_class_metric(name: str, context: MetricContext, average: str) -> ClassMetric:
    """Create precision, recall or F1 with this average."""
    return ClassMetric(name, AVERAGES[average], context)


def list_labels(predictions: Sequence[Prediction]) -> tuple[str, ...]:
    """The expected answers if they are labels of classes, sorted; empty if they are texts.

    They are labels if there are 2 to 100 different ones, with 3 rows each on average.
    """
    labels = {row.expected_label for row in predictions}
    most = min(MAX_CLASSES, len(predictions) // MIN_ROWS_PER_CLASS)
    return tuple(sorted(labels)) if 2 <= len(labels) <= most else ()


def place_in_matrix(
    predictions: Sequence[Prediction], labels: Sequence[str] = ()
) -> tuple[tuple[str, ...], Ids]:
    """The labels, and the cell of each row in their confusion matrix.

    `labels` are added to those that rows expect. The matrix has one more column than labels.
    """
    if labels:
        expected = {row.expected_label for row in predictions}
        known = tuple(sorted(expected | set(map(to_nfc, labels))))
    else:
        known = list_labels(predictions)
    if not known:
        return (), np.zeros(0, np.int64)
    numbers = {label: number for number, label in enumerate(known)}
    outside = len(known)
    width = outside + 1
    cells = [
        numbers[row.expected_label] * width
        + (outside if row.problem is Problem.FAILED else numbers.get(row.predicted_label, outside))
        for row in predictions
    ]
    return known, np.array(cells, np.int64)


def count_confusion(cells: Ids, labels: Sequence[str]) -> Confusion:
    """The confusion matrix; its last column counts predictions that are not labels."""
    width = len(labels) + 1
    table = np.bincount(cells, minlength=len(labels) * width).reshape(len(labels), width)
    return Confusion(tuple(labels), tuple(tuple(line) for line in table.tolist()))


def count_classes(confusion: Confusion) -> tuple[ClassResult, ...]:
    """The result of each class of a confusion matrix."""
    counts = confusion.counts
    return tuple(
        ClassResult(label, sum(counts[at]), sum(line[at] for line in counts), counts[at][at])
        for at, label in enumerate(confusion.labels)
    )
