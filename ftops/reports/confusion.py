"""The confusion matrix of a candidate for reports."""

from collections.abc import Sequence
from dataclasses import dataclass

from ftops.metrics.result import Confusion
from ftops.records import Json
from ftops.reports.format import show

MAX_LABELS = 24
MAX_PAIRS = 15
OTHER = "all other labels"
OUTSIDE = "none of the labels"
_MAX_NAMED = 3
_LEVELS = 8  # shades of a cell
_LONGEST_LABEL = 60


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """The rows with one expected and one predicted label; `share` is of the expected label."""

    count: int
    share: float
    right: bool

    @property
    def level(self) -> int:
        """The shade of the cell, from 0 (no rows) to 8 (all rows)."""
        return 0 if not self.count else max(1, round(self.share * _LEVELS))


@dataclass(frozen=True, slots=True)
class Mistake:
    """A wrong prediction of one label for another: `count` of `rows` rows with that label."""

    expected: str
    predicted: str
    count: int
    rows: int

    @property
    def share(self) -> float:
        """The share of the rows with the expected label."""
        return self.count / self.rows if self.rows else 0.0

    def to_json(self) -> dict[str, Json]:
        return {
            "expected": self.expected,
            "predicted": self.predicted,
            "count": self.count,
            "rows": self.rows,
        }


@dataclass(frozen=True, slots=True)
class ConfusionMatrix:
    """Expected labels by predicted labels, with counts.

    `labels` has the 24 labels with the most mistakes; `hidden` is the number of other labels.
    """

    labels: Sequence[str]
    columns: Sequence[str]
    cells: Sequence[Sequence[MatrixCell]]
    pairs: Sequence[Mistake]
    hidden: int = 0

    @property
    def mistakes(self) -> int:
        """The number of wrong predictions."""
        return sum(cell.count for row in self.cells for cell in row if not cell.right)


def lay_out(confusion: Confusion, most: int = MAX_LABELS) -> ConfusionMatrix:
    """The matrix for a report, limited to the labels with the most mistakes."""
    kept = _choose(confusion, most)
    hidden = len(confusion.labels) - len(kept)
    labels = [show(confusion.labels[index], _LONGEST_LABEL) for index in kept]
    rows = [_fold(confusion.counts[index], kept, hidden) for index in kept]
    outside = any(counts[-1] for counts in confusion.counts)
    columns = [*labels, *([OTHER] if hidden else []), *([OUTSIDE] if outside else [])]
    cells = []
    for place, row in enumerate(rows):
        total = sum(row) or 1
        counts = row if outside else row[:-1]
        cells.append([MatrixCell(n, n / total, column == place) for column, n in enumerate(counts)])
    return ConfusionMatrix(labels, columns, cells, list_mistakes(confusion), hidden)


def list_mistakes(confusion: Confusion, most: int = MAX_PAIRS) -> list[Mistake]:
    """The most frequent mistakes, in descending order."""
    names = [*confusion.labels, OUTSIDE]
    pairs = [
        Mistake(names[i], names[j], count, sum(counts))
        for i, counts in enumerate(confusion.counts)
        for j, count in enumerate(counts)
        if count and i != j
    ]
    pairs.sort(
        key=lambda pair: (-pair.count, -pair.count / pair.rows, pair.expected, pair.predicted)
    )
    return [
        Mistake(
            show(pair.expected, _LONGEST_LABEL),
            show(pair.predicted, _LONGEST_LABEL),
            pair.count,
            pair.rows,
        )
        for pair in pairs[:most]
    ]


def describe_mistakes(name: str, matrix: ConfusionMatrix) -> str:
    """The most frequent mistakes in one sentence; "" if there are none."""
    mistakes = [
        f"{mistake.expected} with {mistake.predicted} ({mistake.count:,} of {mistake.rows:,} rows)"
        for mistake in [pair for pair in matrix.pairs if pair.predicted != OUTSIDE][:_MAX_NAMED]
    ]
    if not mistakes:
        return ""
    *others, last = mistakes
    listed = f"{', '.join(others)} and {last}" if others else last
    return f"{name} most often confuses {listed}."


def _choose(confusion: Confusion, most: int) -> list[int]:
    """The indexes of the labels to show, in order."""
    size = len(confusion.labels)
    if size <= most:
        return list(range(size))
    mistakes = [0] * size
    for i, counts in enumerate(confusion.counts):
        for j, count in enumerate(counts):
            if i != j:
                mistakes[i] += count
                if j < size:
                    mistakes[j] += count
    return sorted(sorted(range(size), key=lambda index: -mistakes[index])[:most])


def _fold(counts: Sequence[int], kept: Sequence[int], hidden: int) -> list[int]:
    """The counts of the kept labels, of all others, and of predictions outside the labels."""
    shown = [counts[index] for index in kept]
    other = [sum(counts[:-1]) - sum(shown)] if hidden else []
    return [*shown, *other, counts[-1]]
