"""Metrics of classes: functions of the confusion matrix.

Precision, recall and F1 are those of scikit-learn over the classes that some row expects or some
answer gives, with 0 where a share has no denominator. An answer that is no label misses the class
of its row and counts for no other.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ftops.metrics.prediction import Prediction, Problem
from ftops.metrics.result import ClassResult, Confusion
from ftops.metrics.samples import Floats, Ids, Sample
from ftops.text import to_nfc

MAX_CLASSES = 100
MIN_ROWS_PER_CLASS = 3  # on the average; below that the expected answers are no classes


@dataclass(frozen=True, slots=True)
class Tables:
    """Confusion matrices, one a resample: of each class the rows, the answers, the right ones."""

    rows: Floats
    predicted: Floats
    correct: Floats


Average = Callable[[Tables], Floats]


def read_tables(counts: Floats, classes: int) -> Tables:
    """Take counts of cells apart, one resample a line."""
    cells = counts.reshape(len(counts), classes, classes + 1)
    return Tables(
        rows=cells.sum(axis=2),
        predicted=cells[:, :, :classes].sum(axis=1),
        correct=np.einsum("bii->bi", cells[:, :, :classes]),
    )


def _divide(upper: Floats, lower: Floats) -> Floats:
    shares: Floats = np.divide(upper, lower, out=np.zeros_like(upper), where=lower > 0)
    return shares


def _precision(tables: Tables) -> Floats:
    return _divide(tables.correct, tables.predicted)


def _recall(tables: Tables) -> Floats:
    return _divide(tables.correct, tables.rows)


def _f1(tables: Tables) -> Floats:
    return _divide(2 * tables.correct, tables.rows + tables.predicted)


def _macro(share: Average) -> Average:
    """The mean over the classes that occur."""

    def average(tables: Tables) -> Floats:
        occurs = (tables.rows + tables.predicted > 0).astype(np.float64)
        return _divide((share(tables) * occurs).sum(axis=1), occurs.sum(axis=1))

    return average


def _weighted(share: Average) -> Average:
    """The mean over the classes, by the number of their rows."""
    return lambda tables: _divide(
        (share(tables) * tables.rows).sum(axis=1), tables.rows.sum(axis=1)
    )


def _micro(share: Average) -> Average:
    """The share over all classes taken together."""

    def whole(tables: Tables) -> Floats:
        parts = (tables.rows, tables.predicted, tables.correct)
        return share(Tables(*(one.sum(axis=1) for one in parts)))

    return whole


AVERAGES: Mapping[str, Average] = {
    f"{name}{ending}": average(share)
    for name, share in (("precision", _precision), ("recall", _recall), ("f1", _f1))
    for ending, average in (("", _macro), ("_weighted", _weighted), ("_micro", _micro))
}


@dataclass(slots=True)
class Cells:
    """The cell of each answer, kept for the other metrics of the same answers."""

    labels: tuple[str, ...] = ()  # none: what the rows expect
    _last: tuple[Sequence[Prediction], tuple[str, ...], Ids] | None = field(
        default=None, init=False
    )

    def find(self, answers: Sequence[Prediction]) -> tuple[tuple[str, ...], Ids]:
        """The labels, and the cell of each answer in their confusion matrix."""
        if self._last is None or self._last[0] is not answers:
            expected = {one.expected_label for one in answers}
            named = set(map(to_nfc, self.labels))
            labels = tuple(sorted(expected | named)) if named else ()
            labels = labels or find_labels(answers)
            self._last = (answers, labels, place(answers, labels) if labels else np.zeros(0, int))
        return self._last[1], self._last[2]


@dataclass(frozen=True, slots=True)
class ClassMetric:
    """One of `AVERAGES`."""

    name: str
    average: Average
    cells: Cells

    def measure(self, answers: Sequence[Prediction]) -> Sample:
        """None where the expected answers are no labels."""
        labels, cells = self.cells.find(answers)
        if not labels:
            return Sample.none("the expected answers are no classes: too many different ones")
        classes = len(labels)
        return Sample.of_kinds(
            cells,
            classes * (classes + 1),
            lambda counts: self.average(read_tables(counts, classes)),
        )


def find_labels(answers: Sequence[Prediction]) -> tuple[str, ...]:
    """The expected answers where they are labels of classes, sorted; none where they are texts.

    They are labels where they are at least 2 and at most 100, with 3 rows each on the average.
    """
    labels = {one.expected_label for one in answers}
    few = min(MAX_CLASSES, len(answers) // MIN_ROWS_PER_CLASS)
    return tuple(sorted(labels)) if 2 <= len(labels) <= few else ()


def place(answers: Sequence[Prediction], labels: Sequence[str]) -> Ids:
    """Each row's cell of the confusion matrix, which has a column more than labels."""
    numbers = {label: number for number, label in enumerate(labels)}
    width = len(labels) + 1
    return np.array(
        [
            numbers[one.expected_label] * width + _column(one, numbers, len(labels))
            for one in answers
        ],
        np.int64,
    )


def _column(answer: Prediction, numbers: Mapping[str, int], outside: int) -> int:
    if answer.problem is Problem.FAILED:
        return outside
    return numbers.get(answer.predicted_label, outside)


def count_confusion(cells: Ids, labels: Sequence[str]) -> Confusion:
    """How often each label was answered by each; the last column is for answers that are none."""
    width = len(labels) + 1
    table = np.bincount(cells, minlength=len(labels) * width).reshape(len(labels), width)
    return Confusion(tuple(labels), tuple(tuple(line) for line in table.tolist()))


def count_classes(confusion: Confusion) -> tuple[ClassResult, ...]:
    """The figures of each class of a confusion matrix."""
    counts = confusion.counts
    return tuple(
        ClassResult(label, sum(counts[at]), sum(line[at] for line in counts), counts[at][at])
        for at, label in enumerate(confusion.labels)
    )


def count_problems(answers: Sequence[Prediction]) -> dict[str, int]:
    """How many answers have each problem, by its name; an empty answer is one unless expected."""
    found: Counter[str] = Counter()
    for one in answers:
        if one.problem is not None:
            found[one.problem.value] += 1
        elif not one.predicted.strip() and one.expected.strip():
            found[Problem.EMPTY.value] += 1
    return {problem.value: found[problem.value] for problem in Problem if found[problem.value]}
