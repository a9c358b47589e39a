"""Answers have the form that a program needs, or not."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from ftops.errors import ScoringError
from ftops.metrics.metric import create_metrics
from ftops.metrics.registry import MetricChoice
from ftops.metrics.structure import FormMetric
from tests.metrics.predictions import answer, fail, measure


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
    metric = create_metrics([MetricChoice("json_schema", {"file": "schema.json"})], folder=tmp_path)
    assert metric[0].measure(answer([("x", text) for text in texts])).value == 0.25


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "cannot be read"), ("{", "not JSON"), ('{"type": 7}', "not a JSON Schema")],
)
def test_a_bad_schema_is_told_with_its_file(tmp_path: Path, content: str | None, told: str) -> None:
    if content is not None:
        (tmp_path / "s.json").write_text(content)
    with pytest.raises(ScoringError, match=told) as caught:
        create_metrics([MetricChoice("json_schema", {"file": "s.json"})], folder=tmp_path)
    assert "s.json" in caught.value.message


def test_a_schema_that_lies_elsewhere_is_not_fetched(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text('{"$ref": "http://127.0.0.1:9/other.json"}')
    metric = create_metrics([MetricChoice("json_schema", {"file": "s.json"})], folder=tmp_path)[0]
    with pytest.raises(ScoringError, match="which is not in this file"):
        metric.measure(answer([("x", "{}")]))


def test_a_pattern_is_searched_for_and_a_wrong_one_refused() -> None:
    answers = answer([("x", "abc"), ("x", "ABC")])
    assert measure("regex", answers, pattern="^[a-c]+$").value == 0.5
    for wrong in ("(", "a{99999999999999999999}", "(" * 2000 + ")" * 2000):
        with pytest.raises(ValueError, match="regular expression"):
            measure("regex", answers, pattern=wrong)


SLOW = {"pattern": "^(a+)+$"}


@pytest.mark.parametrize("thread", [False, True])
def test_a_pattern_that_backtracks_without_end_is_an_error_with_row_and_limit(
    thread: bool,
) -> None:
    (made,) = create_metrics([MetricChoice("regex", {**SLOW, "name": "letters"})])
    assert isinstance(made, FormMetric)
    metric = replace(made, limit_s=1)
    answers = answer([("x", "aaa"), ("x", "a" * 60 + "!")])
    with ThreadPoolExecutor(1) as pool, pytest.raises(ScoringError) as caught:
        if thread:
            pool.submit(metric.measure, answers).result(60)
        metric.measure(answers)
    assert "metric letters: row 2: it took more than 1 s" in caught.value.message


def test_answers_that_are_each_in_time_have_a_limit_together() -> None:
    (made,) = create_metrics([MetricChoice("regex", SLOW)])
    assert isinstance(made, FormMetric)
    answers = answer([("x", "a" * 24 + "!")] * 200)  # a second or so each
    with pytest.raises(ScoringError, match="took too long together with the rows before it"):
        replace(made, limit_s=60, total_s=2).measure(answers)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", **SLOW},
        {"patternProperties": {SLOW["pattern"]: {}}, "additionalProperties": {"type": "string"}},
        {
            "$ref": "#/$defs/0",
            "$defs": {
                **{str(at): {"allOf": [{"$ref": f"#/$defs/{at + 1}"}] * 2} for at in range(60)},
                "60": {},
            },
        },
    ],
    ids=["pattern", "names", "references"],
)
def test_a_schema_that_takes_without_end_is_an_error_with_row_and_limit(
    tmp_path: Path, schema: object
) -> None:
    (tmp_path / "s.json").write_text(json.dumps(schema))
    (made,) = create_metrics([MetricChoice("json_schema", {"file": "s.json"})], folder=tmp_path)
    assert isinstance(made, FormMetric)
    value = "a" * 60 + "!"
    text = json.dumps({value: 1} if "patternProperties" in str(schema) else value)
    with pytest.raises(ScoringError, match=r"metric json_schema: row 1: it took more than 1 s"):
        replace(made, limit_s=1).measure(answer([("x", text)]))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"$ref": "#"}', "refers to itself without end"),
        ('{"type": "string", "pattern": "("}', "not a JSON Schema"),
        ('{"type": "string", "pattern": "a{99999999999999999999}"}', "not a JSON Schema"),
    ],
)
def test_a_schema_that_cannot_judge_is_an_error_that_says_why(
    tmp_path: Path, content: str, reason: str
) -> None:
    (tmp_path / "s.json").write_text(content)
    with pytest.raises(ScoringError, match=reason):
        (made,) = create_metrics([MetricChoice("json_schema", {"file": "s.json"})], folder=tmp_path)
        made.measure(answer([("x", '"a"')]))


@pytest.mark.parametrize("content", ["[" * 200_000, " " * (5 << 20) + "{}"], ids=["deep", "large"])
def test_a_schema_that_is_too_large_or_too_deep_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "s.json").write_text(content)
    with pytest.raises(ScoringError, match=r"s\.json: the schema is "):
        create_metrics([MetricChoice("json_schema", {"file": "s.json"})], folder=tmp_path)


def test_max_chars_and_stop_reached() -> None:
    answers = answer([("x", "four"), ("x", "seven+")])
    assert measure("max_chars", answers, max=4).value == 0.5
    cut = [answers[0], replace(answers[1], finish_reason="length")]
    assert measure("stop_reached", cut).value == 0.5
    assert measure("stop_reached", fail(answers, 1)).value == 0.5
    silent = [replace(one, finish_reason=None) for one in answers]
    assert not measure("stop_reached", silent).rows


def test_fields_of_json_objects_are_compared_one_by_one() -> None:
    expected = '{"to": {"name": "Ann", "age": 3}, "tags": ["a", "b"]}'
    pairs = [
        ('{"tags": ["a", "b"], "to": {"age": 3, "name": "Ann"}}', 1.0),
        ('{"tags": ["b"], "to": {"age": 3, "name": "Ann"}}', 2 / 3),
        ('{"tags": ["a", "b"], "to": {"age": 3, "name": "Ann"}, "more": 1}', 3 / 4),
        ('{"to": "Ann"}', 0.0),
        ("{}", 0.0),
        ("[1]", 0.0),
        ('{"tags": ["a", "b"]', 0.0),
    ]
    for predicted, value in pairs:
        assert measure("json_fields", answer([(expected, predicted)])).value == value, predicted
    mixed = measure("json_fields", answer([("no JSON", "no JSON"), (expected, expected)]))
    assert (mixed.value, mixed.rows) == (1.0, 1)
