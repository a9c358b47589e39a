"""Selection of example rows."""

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


def predict(line: int, expected: str, given: str, **more: object) -> Prediction:
    return Prediction(line, f"row {line}", expected, given, **more)  # type: ignore[arg-type]


def test_correct_predictions_are_never_among_the_worst_rows() -> None:
    assert list_worst([predict(1, "a", "a "), predict(2, "b", "b")]) == []


def test_confident_mistakes_precede_hesitant_ones() -> None:
    answers = [
        predict(1, "a", "b", probabilities={"b": 0.5}),
        predict(2, "a", "b", probabilities={"b": 0.99}),
    ]
    worst = list_worst(answers)
    assert [row.line for row in worst] == [2, 1]
    assert worst[0].remark == "probability 99%"


def test_without_probabilities_the_least_similar_prediction_is_first() -> None:
    answers = [
        predict(1, "in the top drawer", "in the top box"),
        predict(2, "in the top drawer", "no"),
    ]
    assert [row.line for row in list_worst(answers)] == [2, 1]


def test_a_refused_row_has_a_remark() -> None:
    answers = [predict(5, "a", "", problem=Problem.REFUSED, note="I cannot")]
    assert list_worst(answers)[0].remark == "the model refused; I cannot"


def test_the_number_of_rows_is_limited() -> None:
    assert len(list_worst([predict(line, "a", "b") for line in range(90)], most=7)) == 7


def test_examples_alternate_between_rows_won_and_rows_lost() -> None:
    tuned = [predict(line, "a", "a" if line % 2 else "b") for line in range(1, 21)]
    other = [predict(line, "a", "b" if line % 2 else "a") for line in range(1, 21)]
    rows = select_examples({"tuned": tuned, "base": other}, most=4)
    assert [row.line for row in rows] == [1, 2, 3, 4]
    assert [[correct for _, _, correct in row.answers] for row in rows[:2]] == [
        [True, False],
        [False, True],
    ]


def test_a_single_candidate_has_no_examples() -> None:
    assert select_examples({"tuned": [predict(1, "a", "a")], "base": []}) == []


def test_only_rows_of_all_candidates_are_compared() -> None:
    answers = {
        "tuned": [predict(1, "a", "a"), predict(2, "a", "a")],
        "base": [predict(2, "a", "b")],
    }
    assert [row.line for row in select_examples(answers)] == [2]


def test_a_chat_is_shown_turn_by_turn() -> None:
    assert format_prompt(Chat((Message("system", "Be brief."), Message("user", "Hi")))) == (
        "system: Be brief.\nuser: Hi"
    )


def test_a_prompt_is_shown_without_its_separator() -> None:
    answers = [Prediction(1, "What is it? ->\n\n###\n\n", "a", "b")]
    assert list_worst(answers, separator="\n\n###\n\n")[0].prompt == "What is it? ->"
    examples = select_examples({"x": answers, "y": answers}, separator="\n\n###\n\n")
    assert examples[0].prompt == "What is it? ->"
    assert format_prompt("### inside\n\n###\n\n", " ->") == "### inside\n\n###"


@given(st.text(max_size=200), st.text(max_size=200))
def test_joined_parts_are_the_texts(expected: str, answer: str) -> None:
    left, right = diff_words(expected, answer)
    assert "".join(part.text for part in left) == expected
    assert "".join(part.text for part in right) == answer
    assert all(not part.differs for part in left) == (expected == answer or not expected)


def test_only_the_words_that_differ_are_marked() -> None:
    left, right = diff_words("in the top drawer", "in the lower drawer")
    assert [part.text for part in left if part.differs] == ["top"]
    assert [part.text for part in right if part.differs] == ["lower"]


def test_texts_too_long_to_compare_differ_as_a_whole() -> None:
    long = "word " * 5_000
    left, right = diff_words(long, long + "x")
    assert left[0].differs and right[0].differs
    assert not diff_words(long, long)[0][0].differs


@given(st.text(max_size=80), st.text(max_size=80))
def test_similarity_is_between_zero_and_one_and_symmetric(first: str, second: str) -> None:
    assert 0 <= get_similarity(first, second) <= 1
    assert get_similarity(first, first) == 1
    assert get_similarity(first, second) == get_similarity(second, first)
