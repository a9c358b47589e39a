"""The rows that are shown are those worth reading."""

from hypothesis import given
from hypothesis import strategies as st

from ftops.metrics.prediction import Prediction, Problem
from ftops.records import Chat, Message
from ftops.reports.example_rows import (
    diff_words,
    format_prompt,
    get_similarity,
    list_worst,
    select_examples,
)


def give(line: int, expected: str, given: str, **more: object) -> Prediction:
    return Prediction(line, f"row {line}", expected, given, **more)  # type: ignore[arg-type]


def test_right_answers_are_never_among_the_worst_rows() -> None:
    assert list_worst([give(1, "a", "a "), give(2, "b", "b")]) == []


def test_a_wrong_answer_given_with_confidence_stands_before_a_hesitant_one() -> None:
    answers = [
        give(1, "a", "b", probabilities={"b": 0.5}),
        give(2, "a", "b", probabilities={"b": 0.99}),
    ]
    worst = list_worst(answers)
    assert [row.line for row in worst] == [2, 1]
    assert worst[0].remark == "probability 99%"


def test_without_chances_the_most_unlike_answer_stands_first() -> None:
    answers = [give(1, "in the top drawer", "in the top box"), give(2, "in the top drawer", "no")]
    assert [row.line for row in list_worst(answers)] == [2, 1]


def test_a_row_that_was_refused_says_so() -> None:
    answers = [give(5, "a", "", problem=Problem.REFUSED, note="I cannot")]
    assert list_worst(answers)[0].remark == "the model refused; I cannot"


def test_no_more_rows_are_shown_than_asked_for() -> None:
    assert len(list_worst([give(line, "a", "b") for line in range(90)], most=7)) == 7


def test_examples_alternate_between_rows_won_and_rows_lost() -> None:
    tuned = [give(line, "a", "a" if line % 2 else "b") for line in range(1, 21)]
    other = [give(line, "a", "b" if line % 2 else "a") for line in range(1, 21)]
    rows = select_examples({"tuned": tuned, "base": other}, most=4)
    assert [row.line for row in rows] == [1, 2, 3, 4]
    assert [[correct for _, _, correct in row.answers] for row in rows[:2]] == [
        [True, False],
        [False, True],
    ]


def test_one_candidate_alone_is_not_shown_side_by_side() -> None:
    assert select_examples({"tuned": [give(1, "a", "a")], "base": []}) == []


def test_only_rows_that_all_candidates_answered_are_compared() -> None:
    answers = {"tuned": [give(1, "a", "a"), give(2, "a", "a")], "base": [give(2, "a", "b")]}
    assert [row.line for row in select_examples(answers)] == [2]


def test_a_chat_is_shown_turn_by_turn() -> None:
    assert format_prompt(Chat((Message("system", "Be brief."), Message("user", "Hi")))) == (
        "system: Be brief.\nuser: Hi"
    )


def test_a_prompt_is_shown_without_the_separator_at_its_end() -> None:
    answers = [Prediction(1, "What is it? ->\n\n###\n\n", "a", "b")]
    assert list_worst(answers, separator="\n\n###\n\n")[0].prompt == "What is it? ->"
    examples = select_examples({"x": answers, "y": answers}, separator="\n\n###\n\n")
    assert examples[0].prompt == "What is it? ->"
    assert format_prompt("### inside\n\n###\n\n", " ->") == "### inside\n\n###"


@given(st.text(max_size=200), st.text(max_size=200))
def test_the_pieces_put_together_are_the_texts(expected: str, answer: str) -> None:
    left, right = diff_words(expected, answer)
    assert "".join(piece.text for piece in left) == expected
    assert "".join(piece.text for piece in right) == answer
    assert all(not piece.differs for piece in left) == (expected == answer or not expected)


def test_only_the_words_that_differ_are_marked() -> None:
    left, right = diff_words("in the top drawer", "in the lower drawer")
    assert [piece.text for piece in left if piece.differs] == ["top"]
    assert [piece.text for piece in right if piece.differs] == ["lower"]


def test_texts_too_long_to_compare_differ_as_a_whole() -> None:
    long = "word " * 5_000
    left, right = diff_words(long, long + "x")
    assert left[0].differs and right[0].differs
    assert not diff_words(long, long)[0][0].differs


@given(st.text(max_size=80), st.text(max_size=80))
def test_likeness_lies_between_nothing_and_all_in_common(one: str, other: str) -> None:
    assert 0 <= get_similarity(one, other) <= 1
    assert get_similarity(one, one) == 1
    assert get_similarity(one, other) == get_similarity(other, one)
