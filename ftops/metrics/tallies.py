"""Answers counted: classes, confusion, problems."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from ftops.metrics.evaluation import ClassFigures, Confusion
from ftops.metrics.prediction import Prediction, Problem
from ftops.metrics.samples import Ids

MAX_CLASSES = 100
MIN_ROWS_PER_CLASS = 3  # on the average; below that the expected answers are no classes


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


def count_classes(confusion: Confusion) -> tuple[ClassFigures, ...]:
    """The figures of each class of a confusion matrix."""
    counts = confusion.counts
    return tuple(
        ClassFigures(label, sum(counts[at]), sum(line[at] for line in counts), counts[at][at])
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
