"""Metrics of form: the share of predictions that a program can use."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ftops.errors import ScoringError
from ftops.metrics.metric import MetricContext, MetricSample, RowMetric
from ftops.metrics.prediction import Prediction, Problem
from ftops.metrics.result import Unit
from ftops.metrics.row_process import load, score_rows
from ftops.metrics.row_worker import NOTHING, compile_pattern, read_json

ROW_LIMIT_S = 5.0
TOTAL_LIMIT_S = 300.0  # for all predictions of a candidate
SCHEMA_LIMIT_S = 30.0  # to read and check a schema
_COMPLETE = ("stop", "tool_calls", "function_call")  # the finish reasons of whole answers


def create_json_valid(name: str, _context: MetricContext) -> RowMetric:
    """The share of predictions that are a JSON value (RFC 8259: no NaN or Infinity)."""
    return RowMetric(name, lambda row: float(read_json(row.predicted) is not NOTHING))


def create_json_fields(name: str, _context: MetricContext) -> RowMetric:
    """The mean share of fields that are equal in the expected and the predicted JSON object."""
    return RowMetric(name, compare_fields)


def compare_fields(prediction: Prediction) -> float | None:
    """Equal fields by all fields of both objects; None if no JSON object is expected.

    Fields of nested objects count one by one, lists as a whole. 1 and 1.0 are different.
    """
    expected = read_json(prediction.expected)
    if not isinstance(expected, dict):
        return None
    predicted = read_json(prediction.predicted)
    if not isinstance(predicted, dict):
        return 0.0
    ours, theirs = _flatten(predicted), _flatten(expected)
    equal = sum(ours.get(path) == value for path, value in theirs.items())
    return equal / len(ours.keys() | theirs.keys())


def _flatten(value: object, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], str]:
    """The fields of an object as JSON, by their path; an empty object is a field."""
    if isinstance(value, dict) and value:
        fields: dict[tuple[str, ...], str] = {}
        for key, inner in value.items():
            fields |= _flatten(inner, (*path, key))
        return fields
    return {path: json.dumps(value, sort_keys=True)}


def create_max_chars(name: str, _context: MetricContext, max: int) -> RowMetric:
    """The share of predictions with at most `max` characters."""
    if max < 1:
        raise ValueError(f"`max` of `max_chars` must be 1 or more, not {max}")
    return RowMetric(name, lambda row: float(len(row.predicted) <= max))


@dataclass(frozen=True, slots=True)
class FormMetric:
    """The share of predictions that a regular expression or a JSON Schema accepts.

    Both can take unlimited time for one prediction, so each prediction has `limit_s`, and all
    together have `total_s`.
    """

    name: str
    task: Mapping[str, str]
    limit_s: float = ROW_LIMIT_S
    total_s: float = TOTAL_LIMIT_S
    unit: Unit = Unit.SHARE

    def measure(self, predictions: Sequence[Prediction]) -> MetricSample:
        """The share; a failed prediction is not accepted.

        ScoringError, with the line, if a prediction cannot be scored within the limit: a share of
        the other rows would be a different metric.
        """
        answered = [row for row in predictions if row.problem is not Problem.FAILED]
        outcomes = score_rows(
            self.task,
            [row.predicted for row in answered],
            limit_s=self.limit_s,
            max_late=1,
            total_s=self.total_s,
        )
        for row, outcome in zip(answered, outcomes, strict=True):
            if outcome.score is None:
                raise ScoringError(
                    f"metric {self.name}: row {row.line}: {outcome.fault}, on a prediction of"
                    f" {len(row.predicted):,} characters",
                    hint="Change the pattern or schema so that it cannot backtrack without end (as"
                    " `(a+)+` does), or remove the metric; predictions are kept.",
                )
        left = iter(outcomes)
        return MetricSample.of_scores(
            [0.0 if row.problem is Problem.FAILED else next(left).score for row in predictions]
        )


def create_json_schema(name: str, context: MetricContext, file: str) -> FormMetric:
    """The share of predictions that are JSON accepted by the schema in the file.

    ScoringError if there is no such schema, or if it cannot be checked in time.
    """
    task = {"kind": "json_schema", "path": str(context.folder / file)}
    load(task, limit_s=SCHEMA_LIMIT_S)
    return FormMetric(name, task)


def create_regex(name: str, _context: MetricContext, pattern: str) -> FormMetric:
    """The share of predictions that contain the pattern; ValueError if it is invalid."""
    compile_pattern(pattern)
    return FormMetric(name, {"kind": "regex", "pattern": pattern})


@dataclass(frozen=True, slots=True)
class StopReached:
    """The share of predictions that ended before `max_tokens`."""

    name: str
    unit: Unit = Unit.SHARE

    def measure(self, predictions: Sequence[Prediction]) -> MetricSample:
        """The share; no value if no finish reason is known. A failed row counts as not ended."""
        if all(row.finish_reason is None for row in predictions):
            return MetricSample.none("no finish reason is known")
        return MetricSample.of_scores(
            [
                float(row.problem is not Problem.FAILED and row.finish_reason in _COMPLETE)
                for row in predictions
            ]
        )


def create_stop_reached(name: str, _context: MetricContext) -> StopReached:
    """The share of predictions that ended before `max_tokens`."""
    return StopReached(name)
