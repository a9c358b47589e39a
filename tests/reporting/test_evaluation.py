"""Exact matches, classes and the baseline."""

import json

import pytest

from ftops.errors import LedgerError
from ftops.records import Json, Message
from ftops.reporting.evaluation import Answer, ClassScore, Evaluation, render_answers, score


def answers(*pairs: tuple[str, str]) -> list[Answer]:
    return [
        Answer(line, "a prompt", expected, given)
        for line, (expected, given) in enumerate(pairs, start=1)
    ]


def test_white_space_around_an_answer_does_not_count_and_all_else_does() -> None:
    result = score(answers((" 1", "1"), (" 1", " 1\n"), (" 1", "1."), (" a b", "a  b")))
    assert (result.rows, result.correct, result.accuracy) == (4, 2, 0.5)


def test_few_expected_answers_get_a_baseline_and_figures_by_class() -> None:
    result = score(
        answers((" 2", "2"), (" 2", "2"), (" 2", "1"), (" 2", "x"), (" 1", "1"), (" 1", "2"))
    )
    assert result.majority == "2"
    assert result.majority_accuracy == pytest.approx(4 / 6)
    assert result.classes == (ClassScore("1", 2, 2, 1), ClassScore("2", 4, 3, 2))
    assert result.outside == 1
    assert result.classes[0].precision == 0.5
    assert result.classes[1].recall == 0.5


def test_a_class_that_is_never_given_has_no_precision() -> None:
    result = score(answers(("a", "b"), ("b", "b"), ("b", "b"), ("a", "b"), ("b", "b"), ("b", "b")))
    assert result.classes[0].precision is None
    assert result.classes[0].recall == 0


def test_free_answers_have_no_baseline() -> None:
    result = score(answers(*((f"answer {n}", f"answer {n}") for n in range(10))))
    assert result == Evaluation(rows=10, correct=10)


def test_of_two_classes_equally_frequent_the_first_by_name_is_the_baseline() -> None:
    assert score(answers(*(("b", "b"), ("a", "a")) * 3)).majority == "a"


def test_no_answers_cannot_be_scored() -> None:
    with pytest.raises(ValueError, match="no answers"):
        score([])


@pytest.mark.parametrize(
    "evaluation",
    [
        score(answers(*((("a", "a"), ("b", "c")) * 3))),
        Evaluation(rows=3, correct=1),
    ],
    ids=["classes", "free text"],
)
def test_an_evaluation_survives_the_way_through_json(evaluation: Evaluation) -> None:
    again = Evaluation.from_json(json.loads(json.dumps(evaluation.to_json())))
    assert again == evaluation


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {**Evaluation(3, 1).to_json(), "rows": 0},
        {**Evaluation(3, 1).to_json(), "correct": "1"},
        {**Evaluation(3, 1).to_json(), "classes": [{}]},
        {**Evaluation(3, 1).to_json(), "majority_accuracy": "high"},
    ],
)
def test_a_damaged_evaluation_is_a_known_error(value: Json) -> None:
    with pytest.raises(LedgerError, match="damaged"):
        Evaluation.from_json(value)


def test_answers_become_one_json_line_each_with_chats_as_messages() -> None:
    text = render_answers(
        [
            Answer(3, "häuser", " 1", " 1"),
            Answer(4, (Message("user", "line\nbreak"),), "a", "b"),
        ]
    )
    first, second = (json.loads(line) for line in text.splitlines())
    assert first == {"line": 3, "prompt": "häuser", "expected": " 1", "given": " 1"} | {
        "correct": True
    }
    assert second["prompt"] == [{"role": "user", "content": "line\nbreak"}]
    assert second["correct"] is False
    assert "häuser" in text
