"""The template of JSON answers on prompts with known fields."""

import json

import pytest

from ftops.data.regex_template import RegexTemplate

NAMES = ("Ann Lee", "Bo Chan", "Cy Ruiz", "Di Park")


def make_rows(count: int) -> tuple[list[str], list[str]]:
    texts, answers = [], []
    for number in range(count):
        name, seats = NAMES[number % 4], number % 7 + 2
        texts.append(f"Book a table for {seats} people under {name}, please.")
        answers.append(json.dumps({"who": {"name": name}, "seats": seats, "kind": "dinner"}))
    return texts, answers


def test_a_field_is_extracted_by_the_words_around_it() -> None:
    template = RegexTemplate(*make_rows(40))
    (answer,) = template.predict(["Hello! Book a table for 31 people under Eve Olsen, please."])
    assert answer == '{"who": {"name": "Eve Olsen"}, "seats": 31, "kind": "dinner"}'


def test_a_field_without_a_match_gets_its_most_frequent_value() -> None:
    texts, answers = make_rows(40)
    answers = [
        answer.replace("dinner", "lunch", number < 10) for number, answer in enumerate(answers)
    ]
    (answer,) = RegexTemplate(texts, answers).predict(["Something else."])
    assert json.loads(answer) == {"who": {"name": "Ann Lee"}, "seats": 2, "kind": "dinner"}


def test_a_rule_needs_two_rows_and_half_of_its_matches() -> None:
    texts = ["the code is a1 now", "the code is b2 now", "the code is zz now", "the code is yy now"]
    values = ["a1", "x", "y", "z"]
    template = RegexTemplate(texts, [json.dumps({"code": value}) for value in values])
    assert template.predict(["the code is c3 now"]) == ['{"code": "a1"}']


def test_answers_have_the_separators_of_the_training_rows() -> None:
    assert RegexTemplate(["a"], ['{"a":"b","c":[1]}']).predict(["x"]) == ['{"a":"b","c":[1]}']


@pytest.mark.parametrize("answer", ["[1]", "yes", "{}"])
def test_answers_that_are_not_objects_have_no_template(answer: str) -> None:
    with pytest.raises(ValueError):
        RegexTemplate(["a"], [answer])
