"""Requirements are read strictly."""

import pytest

from ftops.metrics.requirement import make_slug, parse_requirement


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("accuracy", "0.85", "not a requirement"),
        ("accuracy", 0.85, "needs an operator and a number"),
        ("accuracy", "=> 0.85", "not a requirement"),
        ("accuracy", ">= high", "`high` in `>= high` is not a number"),
        ("accuracy", ">= nan", "not a finite number"),
        ("accuracy", "> 1 > 0", "not a requirement"),
        ("accuracy", "", "not a requirement"),
        ("accuracy_over_", "> 0", "needs a metric before"),
        ("", "> 0", "not the name of a metric"),
    ],
)
def test_an_invalid_requirement_is_an_error(name: str, text: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_requirement(name, text)


def test_a_slug_is_a_name_for_requirements_and_files() -> None:
    assert make_slug("few-shot: 5") == "few_shot_5"
    assert make_slug("model: gpt-6-luna") == "model_gpt_6_luna"
