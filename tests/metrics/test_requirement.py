"""Requirements are read strictly."""

import pytest

from ftops.metrics.requirement import make_slug, parse_requirement


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("accuracy", "0.85", "no requirement"),
        ("accuracy", 0.85, "needs an operator and a number"),
        ("accuracy", "=> 0.85", "no requirement"),
        ("accuracy", ">= high", "`high` in `>= high` is no number"),
        ("accuracy", ">= nan", "no number that a figure"),
        ("accuracy", "> 1 > 0", "no requirement"),
        ("accuracy", "", "no requirement"),
        ("accuracy_over_", "> 0", "needs a metric before"),
        ("", "> 0", "no name of a figure"),
    ],
)
def test_what_is_no_requirement_is_refused_in_plain_words(
    name: str, text: object, told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        parse_requirement(name, text)


def test_a_slug_is_how_names_are_written_in_requirements_and_files() -> None:
    assert make_slug("few-shot: 5") == "few_shot_5"
    assert make_slug("model: gpt-6-luna") == "model_gpt_6_luna"
