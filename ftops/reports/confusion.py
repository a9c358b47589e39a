"""The confusion matrix of a candidate, as a report shows it."""

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
    """Rows that expect one label and are predicted as another; `share` of the rows of the first."""

    count: int
    share: float
    right: bool

    @property
    def level(self) -> int:
        """How dark the cell is, from 0 (nothing) to 8 (every row)."""
        return 0 if not self.count else max(1, round(self.share * _LEVELS))


@dataclass(frozen=True, slots=True)
class Mistake:
    """`count` of the `rows` that expect one label are predicted as another."""

    expected: str
    predicted: str
    count: int
    rows: int

    @property
    def share(self) -> float:
        """Of the rows that expect the label."""
        return self.count / self.rows if self.rows else 0.0

    def to_json(self) -> dict[str, Json]:
        """By the names of the fields."""
        return {
            "expected": self.expected,
            "predicted": self.predicted,
            "count": self.count,
            "rows": self.rows,
        }


@dataclass(frozen=True, slots=True)
class ConfusionMatrix:
    """Expected labels by predicted labels, with counts.

    `labels` has at most 24, those with the most mistakes; `hidden` counts the others.
    """

    labels: Sequence[str]
    columns: Sequence[str]
    cells: Sequence[Sequence[MatrixCell]]
    pairs: Sequence[Mistake]
    hidden: int = 0

    @property
    def mistakes(self) -> int:
        """The number of wrong rows."""
        return sum(cell.count for row in self.cells for cell in row if not cell.right)


def lay_out(confusion: Confusion, most: int = MAX_LABELS) -> ConfusionMatrix:
    """The matrix for a report: of many labels, those that are confused most."""
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
    """The most frequent mistakes, the most frequent first."""
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
    """The most frequent mistakes in mistake sentence; "" if there are none."""
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
    """The numbers of the labels to show, in their order."""
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
    """Counts of the kept labels, of all others, and of predictions that are no label."""
    shown = [counts[index] for index in kept]
    other = [sum(counts[:-1]) - sum(shown)] if hidden else []
    return [*shown, *other, counts[-1]]
