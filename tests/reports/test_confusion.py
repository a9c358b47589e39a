"""Confusion matrices stay readable, and the most frequent mistakes are named."""

from hypothesis import given
from hypothesis import strategies as st

from ftops.metrics.result import Confusion
from ftops.reports.confusion import OTHER, OUTSIDE, describe_mistakes, lay_out, list_mistakes

MATRIX = Confusion(("a", "b", "c"), ((8, 2, 0, 0), (0, 9, 0, 1), (5, 0, 5, 0)))


def test_the_most_frequent_mistake_is_first() -> None:
    pairs = [
        (mistake.expected, mistake.predicted, mistake.count, mistake.rows)
        for mistake in list_mistakes(MATRIX)
    ]
    assert pairs == [("c", "a", 5, 10), ("a", "b", 2, 10), ("b", OUTSIDE, 1, 10)]


def test_predictions_that_are_no_label_have_a_column() -> None:
    assert list(lay_out(MATRIX).columns) == ["a", "b", "c", OUTSIDE]
    clean = Confusion(("a", "b"), ((1, 0, 0), (0, 1, 0)))
    assert list(lay_out(clean).columns) == ["a", "b"]
    assert lay_out(clean).mistakes == 0


@given(
    st.integers(1, 40).flatmap(
        lambda n: st.lists(
            st.lists(st.integers(0, 9), min_size=n + 1, max_size=n + 1), min_size=n, max_size=n
        )
    )
)
def test_no_row_is_lost_with_many_labels(counts: list[list[int]]) -> None:
    labels = tuple(f"label {number}" for number in range(len(counts)))
    matrix = lay_out(Confusion(labels, tuple(map(tuple, counts))), most=8)
    assert len(matrix.labels) == min(8, len(counts))
    for label, row in zip(matrix.labels, matrix.cells, strict=True):
        assert sum(cell.count for cell in row) == sum(counts[labels.index(label)])
        assert len(row) == len(matrix.columns)
    assert (OTHER in matrix.columns) == (len(counts) > 8)


def test_of_many_labels_those_with_the_most_mistakes_are_shown() -> None:
    size = 30
    counts = [[5 if i == j else 0 for j in range(size + 1)] for i in range(size)]
    counts[27][3] = 4
    matrix = lay_out(Confusion(tuple(map(str, range(size))), tuple(map(tuple, counts))), most=2)
    assert list(matrix.labels) == ["3", "27"]
    assert matrix.hidden == 28


def test_the_most_confused_labels_are_named_in_a_sentence() -> None:
    assert describe_mistakes("tuned", lay_out(MATRIX)) == (
        "tuned most often confuses c with a (5 of 10 rows) and a with b (2 of 10 rows)."
    )
    clean = Confusion(("a", "b"), ((1, 0, 0), (0, 0, 1)))
    assert describe_mistakes("tuned", lay_out(clean)) == ""
