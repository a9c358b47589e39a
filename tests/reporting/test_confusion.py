"""Confusion matrices fit 80 columns, whatever the labels are."""

from hypothesis import given
from hypothesis import strategies as st

from ftops.reporting.confusion import find_confused, render_confusion
from ftops.scoring.evaluation import Confusion

SMALL = Confusion(("no", "yes"), ((40, 10, 0), (3, 1200, 2)))


def test_each_class_has_a_line_with_what_its_rows_were_answered() -> None:
    assert render_confusion(SMALL).splitlines() == [
        "expected  no    yes  other",
        "no        40     10      ·",
        "yes        3  1,200      2",
    ]


def test_a_column_for_other_answers_is_there_only_if_there_are_any() -> None:
    tidy = Confusion(("no", "yes"), ((40, 10, 0), (3, 12, 0)))
    assert "other" not in render_confusion(tidy)


def test_the_most_frequent_confusions_come_first() -> None:
    assert find_confused(SMALL) == [
        ("no", "yes", 10, 50),
        ("yes", "no", 3, 1205),
        ("yes", "other", 2, 1205),
    ]


def test_many_classes_are_told_by_the_pairs_that_were_confused() -> None:
    labels = tuple(f"relation number {number}" for number in range(60))
    counts = tuple(
        tuple(9 if row == column else (row == 1 and column > 40) for column in range(61))
        for row in range(60)
    )
    lines = render_confusion(Confusion(labels, counts)).splitlines()
    assert lines[0].split() == ["expected", "given", "rows", "share"]
    assert "relation number 1" in lines[1]
    assert lines[-1] == "and 10 other pairs"


def test_without_classes_or_confusion_there_is_little_to_say() -> None:
    assert render_confusion(Confusion((), ())) == ""
    right = Confusion(tuple("abcdefghijklmnopqrstuvwxyz" * 2), ((0,) * 53,) * 52)
    assert render_confusion(right) == "None of 52 classes was taken for another."


@given(st.lists(st.text(max_size=40), min_size=1, max_size=30, unique=True), st.integers(0, 10**6))
def test_any_labels_fit_the_width(labels: list[str], count: int) -> None:
    counts = tuple((count,) * (len(labels) + 1) for _ in labels)
    lines = render_confusion(Confusion(tuple(labels), counts)).split("\n")
    assert max(map(len, lines)) <= 78
