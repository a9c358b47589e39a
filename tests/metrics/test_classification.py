"""Classification metrics agree with scikit-learn."""

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
from tests.metrics.predictions import fail, make_predictions, measure, sample_labels

_FUNCTIONS = {"precision": precision_score, "recall": recall_score, "f1": f1_score}


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("ending", ["", "_weighted", "_micro"])
@pytest.mark.parametrize("name", _FUNCTIONS)
def test_averages_agree_with_scikit_learn(name: str, ending: str, seed: int) -> None:
    predictions = sample_labels(60 + 40 * seed, seed, labels="abcdefgh"[: 2 + seed % 6])
    expected = [item.expected for item in predictions]
    reference = _FUNCTIONS[name](
        expected,
        [item.predicted for item in predictions],
        labels=sorted(set(expected)),
        average=ending.strip("_") or "macro",
        zero_division=0,
    )
    assert measure(f"{name}{ending}", predictions).value == pytest.approx(reference, abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_accuracy_and_confusion_agree_with_scikit_learn(seed: int) -> None:
    predictions = sample_labels(200, seed)
    expected, predicted = zip(
        *((item.expected, item.predicted) for item in predictions), strict=True
    )
    labels, cells = place_in_matrix(predictions)
    confusion = count_confusion(cells, labels)
    reference = confusion_matrix(expected, predicted, labels=[*labels, "?"])
    assert np.array_equal(confusion.counts, reference[:-1])
    assert measure("accuracy", predictions).value == pytest.approx(
        accuracy_score(expected, predicted)
    )
    for number, result in enumerate(count_classes(confusion)):
        scores = f1_score(expected, predicted, labels=list(labels), average=None)
        assert result.f1 == pytest.approx(scores[number])


def test_a_class_missing_in_a_resample_does_not_count_in_its_mean() -> None:
    sample = measure("f1", make_predictions([("a", "a")] * 5 + [("b", "a")] * 5))
    cells = np.zeros((1, 6))
    cells[0, 0] = 4  # only class a, four rows, all correct
    assert sample.statistic(cells)[0] == 1.0


def test_a_failed_row_is_wrong_even_when_the_expected_text_is_empty() -> None:
    predictions = fail(make_predictions([("a", "a")] * 8 + [("b", "b")] * 2), 1, 2)
    assert measure("accuracy", predictions).value == pytest.approx(0.8)
    assert measure("recall_weighted", predictions).value == pytest.approx(0.8)
    confusion = count_confusion(place_in_matrix(predictions)[1], ("a", "b"))
    assert confusion.counts == ((6, 0, 2), (0, 2, 0))
    assert count_problems(predictions) == {"failed": 2}


def test_free_texts_have_no_classification_metrics() -> None:
    sample = measure("f1", make_predictions([(f"text {n}", "x") for n in range(20)]))
    assert not sample.rows
    assert "not classes" in sample.notes[0]


def test_spaces_around_a_label_are_ignored() -> None:
    assert measure("f1", make_predictions([("a ", " a")] * 4 + [(" b", "b\n")] * 4)).value == 1.0
