"""Answers are compared as a reader compares them."""

from ftops.evaluation.prompt_format import PromptFormat
from ftops.metrics.classification import count_confusion, list_labels, place_in_matrix
from ftops.metrics.prediction import Prediction
from ftops.metrics.text import token_f1

COMPOSED, DECOMPOSED = "s\u00ed", "si\u0301"


def test_an_answer_is_right_in_any_spelling_of_its_letters() -> None:
    answer = Prediction(1, "q", f" {COMPOSED}", f"{DECOMPOSED}\n")
    assert answer.correct
    assert token_f1(answer) == 1
    assert not Prediction(1, "q", "2", "\u00b2").correct


def test_a_label_is_one_class_in_any_spelling() -> None:
    spellings = (COMPOSED, DECOMPOSED, "no")
    answers = [Prediction(n, "q", spellings[n % 3], spellings[(n + 1) % 2]) for n in range(12)]
    assert list_labels(answers) == ("no", COMPOSED)
    labels, cells = place_in_matrix(answers)
    assert count_confusion(cells, labels).counts == ((0, 4, 0), (0, 8, 0))


def test_what_a_model_answers_is_read_in_one_spelling() -> None:
    assert PromptFormat(label_map={"1": DECOMPOSED}).parse(" 1") == COMPOSED
    assert PromptFormat(stop=" END").parse(f"{DECOMPOSED} END") == COMPOSED
