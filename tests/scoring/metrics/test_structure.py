"""Answers have the form that a program needs, or not."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ftops.errors import ScoringError
from ftops.scoring.choices import MetricChoice
from ftops.scoring.making import make_metrics
from tests.scoring.answered import answer, fail, measure


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ('{"a": 1}', 1),
        (" [1, 2] ", 1),
        ("null", 1),
        ("", 0),
        ("{'a': 1}", 0),
        ("NaN", 0),
        ("[" * 100_000, 0),
        ('{"a": 1} and more', 0),
    ],
)
def test_one_json_value_is_valid(text: str, valid: int) -> None:
    assert measure("json_valid", answer([("x", text)])).value == valid


def test_a_schema_allows_what_it_says(tmp_path: Path) -> None:
    schema = {"type": "object", "required": ["name"], "properties": {"age": {"type": "integer"}}}
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    texts = ['{"name": 1, "age": 3}', '{"name": 1, "age": "3"}', "{}", "no JSON"]
    metric = make_metrics([MetricChoice("json_schema", {"file": "schema.json"})], folder=tmp_path)
    assert metric[0].measure(answer([("x", text) for text in texts])).value == 0.25


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "cannot be read"), ("{", "not JSON"), ('{"type": 7}', "no JSON schema")],
)
def test_a_bad_schema_is_told_with_its_file(tmp_path: Path, content: str | None, told: str) -> None:
    if content is not None:
        (tmp_path / "s.json").write_text(content)
    with pytest.raises(ScoringError, match=told) as caught:
        make_metrics([MetricChoice("json_schema", {"file": "s.json"})], folder=tmp_path)
    assert "s.json" in caught.value.message


def test_a_pattern_is_searched_for_and_a_wrong_one_refused() -> None:
    answers = answer([("x", "abc"), ("x", "ABC")])
    assert measure("regex", answers, pattern="^[a-c]+$").value == 0.5
    with pytest.raises(ValueError, match="no regular expression"):
        measure("regex", answers, pattern="(")


def test_max_chars_and_stop_reached() -> None:
    answers = answer([("x", "four"), ("x", "seven+")])
    assert measure("max_chars", answers, most=4).value == 0.5
    cut = [answers[0], replace(answers[1], finish_reason="length")]
    assert measure("stop_reached", cut).value == 0.5
    assert measure("stop_reached", fail(answers, 1)).value == 0.5
    silent = [replace(one, finish_reason=None) for one in answers]
    assert not measure("stop_reached", silent).rows
