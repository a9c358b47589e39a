"""Predictions are compared after Unicode normalization."""

from ftops.evaluation.prompt_format import PromptFormat
from ftops.metrics.classification import count_confusion, list_labels, place_in_matrix
from ftops.metrics.prediction import Prediction
from ftops.metrics.text import token_f1

COMPOSED, DECOMPOSED = "s\u00ed", "si\u0301"


def test_a_prediction_is_correct_in_any_unicode_form() -> None:
    prediction = Prediction(1, "q", f" {COMPOSED}", f"{DECOMPOSED}\n")
    assert prediction.correct
    assert token_f1(prediction) == 1
    assert not Prediction(1, "q", "2", "\u00b2").correct


def test_a_label_is_one_class_in_any_unicode_form() -> None:
    spellings = (COMPOSED, DECOMPOSED, "no")
    predictions = [Prediction(n, "q", spellings[n % 3], spellings[(n + 1) % 2]) for n in range(12)]
    assert list_labels(predictions) == ("no", COMPOSED)
    labels, cells = place_in_matrix(predictions)
    assert count_confusion(cells, labels).counts == ((0, 4, 0), (0, 8, 0))


def test_completions_are_normalized() -> None:
    assert PromptFormat(label_map={"1": DECOMPOSED}).parse(" 1") == COMPOSED
    assert PromptFormat(stop=" END").parse(f"{DECOMPOSED} END") == COMPOSED
