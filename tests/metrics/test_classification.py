"""Figures of classes are those of scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    precision_score,
    recall_score,
)

from ftops.evaluation.scoring import count_problems
from ftops.metrics.classification import count_classes, count_confusion, place_in_matrix
from tests.metrics.predictions import answer, draw_labels, fail, measure

_FUNCTIONS = {"precision": precision_score, "recall": recall_score, "f1": f1_score}


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("ending", ["", "_weighted", "_micro"])
@pytest.mark.parametrize("name", _FUNCTIONS)
def test_averages_agree_with_scikit_learn(name: str, ending: str, seed: int) -> None:
    answers = draw_labels(60 + 40 * seed, seed, labels="abcdefgh"[: 2 + seed % 6])
    expected = [one.expected for one in answers]
    wanted = _FUNCTIONS[name](
        expected,
        [one.predicted for one in answers],
        labels=sorted(set(expected)),
        average=ending.strip("_") or "macro",
        zero_division=0,
    )
    assert measure(f"{name}{ending}", answers).value == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_accuracy_and_confusion_agree_with_scikit_learn(seed: int) -> None:
    answers = draw_labels(200, seed)
    expected, given = zip(*((one.expected, one.predicted) for one in answers), strict=True)
    labels, cells = place_in_matrix(answers)
    confusion = count_confusion(cells, labels)
    theirs = confusion_matrix(expected, given, labels=[*labels, "?"])
    assert np.array_equal(confusion.counts, theirs[:-1])
    assert measure("accuracy", answers).value == pytest.approx(accuracy_score(expected, given))
    for number, one in enumerate(count_classes(confusion)):
        scores = f1_score(expected, given, labels=list(labels), average=None)
        assert one.f1 == pytest.approx(scores[number])


def test_a_class_that_a_resample_lacks_does_not_count_in_its_mean() -> None:
    sample = measure("f1", answer([("a", "a")] * 5 + [("b", "a")] * 5))
    cells = np.zeros((1, 6))
    cells[0, 0] = 4  # class a alone, four rows, all right
    assert sample.statistic(cells)[0] == 1.0


def test_a_row_that_failed_is_a_wrong_one_even_where_nothing_was_expected_to_be_said() -> None:
    answers = fail(answer([("a", "a")] * 8 + [("b", "b")] * 2), 1, 2)
    assert measure("accuracy", answers).value == pytest.approx(0.8)
    assert measure("recall_weighted", answers).value == pytest.approx(0.8)
    confusion = count_confusion(place_in_matrix(answers)[1], ("a", "b"))
    assert confusion.counts == ((6, 0, 2), (0, 2, 0))
    assert count_problems(answers) == {"failed": 2}


def test_texts_have_no_figures_of_classes() -> None:
    sample = measure("f1", answer([(f"text {n}", "x") for n in range(20)]))
    assert not sample.rows
    assert "not classes" in sample.notes[0]


def test_blanks_around_a_label_do_not_matter() -> None:
    assert measure("f1", answer([("a ", " a")] * 4 + [(" b", "b\n")] * 4)).value == 1.0
