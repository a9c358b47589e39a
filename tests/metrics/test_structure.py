"""Metrics of the form of a completion: JSON, schemas, patterns and length."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from ftops.errors import ScoringError
from ftops.metrics.metric import create_metrics
from ftops.metrics.registry import MetricChoice
from ftops.metrics.structure import FormMetric
from tests.metrics.predictions import fail, make_predictions, measure


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
    assert measure("json_valid", make_predictions([("x", text)])).value == valid


def test_a_schema_is_applied(tmp_path: Path) -> None:
    schema = {"type": "object", "required": ["name"], "properties": {"age": {"type": "integer"}}}
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    texts = ['{"name": 1, "age": 3}', '{"name": 1, "age": "3"}', "{}", "no JSON"]
    metric = create_metrics([MetricChoice("json_schema", {"file": "schema.json"})], folder=tmp_path)
    assert metric[0].measure(make_predictions([("x", text) for text in texts])).value == 0.25


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot be read"), ("{", "not JSON"), ('{"type": 7}', "not a JSON Schema")],
)
def test_an_invalid_schema_is_an_error_with_its_file(
    tmp_path: Path, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "s.json").write_text(content)
    with pytest.raises(ScoringError, match=message) as caught:
        create_metrics([MetricChoice("json_schema", {"file": "s.json"})], folder=tmp_path)
    assert "s.json" in caught.value.message


def test_a_remote_schema_is_not_fetched(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text('{"$ref": "http://127.0.0.1:9/other.json"}')
    metric = create_metrics([MetricChoice("json_schema", {"file": "s.json"})], folder=tmp_path)[0]
    with pytest.raises(ScoringError, match="which is not in this file"):
        metric.measure(make_predictions([("x", "{}")]))


def test_a_pattern_is_searched_and_an_invalid_one_is_refused() -> None:
    predictions = make_predictions([("x", "abc"), ("x", "ABC")])
    assert measure("regex", predictions, pattern="^[a-c]+$").value == 0.5
    for invalid in ("(", "a{99999999999999999999}", "(" * 2000 + ")" * 2000):
        with pytest.raises(ValueError, match="regular expression"):
            measure("regex", predictions, pattern=invalid)


SLOW = {"pattern": "^(a+)+$"}


@pytest.mark.parametrize("thread", [False, True])
def test_endless_backtracking_of_a_pattern_is_an_error_with_row_and_limit(
    thread: bool,
) -> None:
    (created,) = create_metrics([MetricChoice("regex", {**SLOW, "name": "letters"})])
    assert isinstance(created, FormMetric)
    metric = replace(created, limit_s=1)
    predictions = make_predictions([("x", "aaa"), ("x", "a" * 60 + "!")])
    with ThreadPoolExecutor(1) as pool, pytest.raises(ScoringError) as caught:
        if thread:
            pool.submit(metric.measure, predictions).result(60)
        metric.measure(predictions)
    assert "metric letters: row 2: it took more than 1 s" in caught.value.message


def test_all_rows_together_have_a_time_limit() -> None:
    (created,) = create_metrics([MetricChoice("regex", SLOW)])
    assert isinstance(created, FormMetric)
    predictions = make_predictions([("x", "a" * 24 + "!")] * 200)  # about a second each
    with pytest.raises(ScoringError, match="took too long together with the rows before it"):
        replace(created, limit_s=60, total_s=2).measure(predictions)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", **SLOW},
        {"patternProperties": {SLOW["pattern"]: {}}, "additionalProperties": {"type": "string"}},
        {
            "$ref": "#/$defs/0",
            "$defs": {
                **{
                    str(number): {"allOf": [{"$ref": f"#/$defs/{number + 1}"}] * 2}
                    for number in range(60)
                },
                "60": {},
            },
        },
    ],
    ids=["pattern", "names", "references"],
)
def test_a_schema_that_never_ends_is_an_error_with_row_and_limit(
    tmp_path: Path, schema: object
) -> None:
    (tmp_path / "s.json").write_text(json.dumps(schema))
    (created,) = create_metrics([MetricChoice("json_schema", {"file": "s.json"})], folder=tmp_path)
    assert isinstance(created, FormMetric)
    value = "a" * 60 + "!"
    text = json.dumps({value: 1} if "patternProperties" in str(schema) else value)
    with pytest.raises(ScoringError, match=r"metric json_schema: row 1: it took more than 1 s"):
        replace(created, limit_s=1).measure(make_predictions([("x", text)]))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"$ref": "#"}', "refers to itself without end"),
        ('{"type": "string", "pattern": "("}', "not a JSON Schema"),
        ('{"type": "string", "pattern": "a{99999999999999999999}"}', "not a JSON Schema"),
    ],
)
def test_a_schema_that_cannot_be_applied_is_an_error_with_its_reason(
    tmp_path: Path, content: str, reason: str
) -> None:
    (tmp_path / "s.json").write_text(content)
    with pytest.raises(ScoringError, match=reason):
        (created,) = create_metrics(
            [MetricChoice("json_schema", {"file": "s.json"})], folder=tmp_path
        )
        created.measure(make_predictions([("x", '"a"')]))


@pytest.mark.parametrize("content", ["[" * 200_000, " " * (5 << 20) + "{}"], ids=["deep", "large"])
def test_a_schema_that_is_too_large_or_too_deep_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "s.json").write_text(content)
    with pytest.raises(ScoringError, match=r"s\.json: the schema is "):
        create_metrics([MetricChoice("json_schema", {"file": "s.json"})], folder=tmp_path)


def test_max_chars_and_stop_reached() -> None:
    predictions = make_predictions([("x", "four"), ("x", "seven+")])
    assert measure("max_chars", predictions, max=4).value == 0.5
    truncated = [predictions[0], replace(predictions[1], finish_reason="length")]
    assert measure("stop_reached", truncated).value == 0.5
    assert measure("stop_reached", fail(predictions, 1)).value == 0.5
    unfinished = [replace(item, finish_reason=None) for item in predictions]
    assert not measure("stop_reached", unfinished).rows


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
        assert measure("json_fields", make_predictions([(expected, predicted)])).value == value, (
            predicted
        )
    mixed = measure("json_fields", make_predictions([("no JSON", "no JSON"), (expected, expected)]))
    assert (mixed.value, mixed.rows) == (1.0, 1)
