"""Metrics of tool calls: what a model calls instead of an answer in text.

The expected calls are those of the last message of a row. Calls are compared as a multiset, because
parallel calls have no order. A call whose arguments are not a JSON object is malformed: it equals
no expected call and has no keys, and `tool_call_valid` counts it apart from calls that are wrong.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ftops.metrics.metric import MetricContext, MetricSample, RowMetric
from ftops.metrics.prediction import Prediction
from ftops.metrics.result import Unit
from ftops.metrics.row_worker import read_json
from ftops.records import ToolCall


@dataclass(frozen=True, slots=True)
class ExactToolCalls:
    """The share of predictions with the expected calls; the notes say what the others are."""

    name: str
    unit: Unit = Unit.SHARE

    def measure(self, predictions: Sequence[Prediction]) -> MetricSample:
        """The share; no value if no tool call is expected or predicted."""
        if not any(row.expected_calls or row.predicted_calls for row in predictions):
            return MetricSample.none("no row has a tool call")
        kinds = Counter(_classify(row) for row in predictions)
        notes = [f"{kinds[kind]:,} {kind}" for kind in _WRONG if kinds[kind]]
        return MetricSample.of_scores(
            [float(_classify(row) == "exact") for row in predictions],
            notes=(f"of {len(predictions):,} predictions {', '.join(notes)}",) if notes else (),
        )


_WRONG = ("without a call", "with an unexpected call", "with a malformed call", "with a wrong call")


def _classify(row: Prediction) -> str:
    """`exact`, or one of `_WRONG`."""
    expected, predicted = row.expected_calls, row.predicted_calls
    if not predicted:
        return "without a call" if expected else "exact"
    if not all(map(_is_valid, predicted)):
        return "with a malformed call"
    if not expected:
        return "with an unexpected call"
    same = Counter(map(_normalize, expected)) == Counter(map(_normalize, predicted))
    return "exact" if same else "with a wrong call"


def _normalize(call: ToolCall) -> str:
    return json.dumps([call.name, _read_arguments(call)], sort_keys=True)


def _read_arguments(call: ToolCall) -> dict[str, object] | None:
    value = read_json(call.arguments)
    return value if isinstance(value, dict) else None


def _is_valid(call: ToolCall) -> bool:
    return bool(call.name) and _read_arguments(call) is not None


def create_exact(name: str, _context: MetricContext) -> ExactToolCalls:
    """The share of predictions with the expected calls."""
    return ExactToolCalls(name)


def create_present(name: str, _context: MetricContext) -> RowMetric:
    """The share of predictions that call a tool exactly if a call is expected."""
    return RowMetric(name, lambda row: float(bool(row.predicted_calls) == bool(row.expected_calls)))


def create_name(name: str, _context: MetricContext) -> RowMetric:
    """The share of predictions that call the expected functions."""

    def score(row: Prediction) -> float:
        expected = Counter(call.name for call in row.expected_calls)
        return float(expected == Counter(call.name for call in row.predicted_calls))

    return RowMetric(name, score)


def create_valid(name: str, _context: MetricContext) -> RowMetric:
    """The share of predictions with calls that have no malformed one."""

    def score(row: Prediction) -> float | None:
        calls = row.predicted_calls
        return float(all(map(_is_valid, calls))) if calls else None

    return RowMetric(name, score)


def create_key_precision(name: str, _context: MetricContext) -> RowMetric:
    """The mean share of predicted argument keys that are expected."""
    return RowMetric(name, lambda row: _share_keys(row.predicted_calls, row.expected_calls))


def create_key_recall(name: str, _context: MetricContext) -> RowMetric:
    """The mean share of expected argument keys that are predicted."""
    return RowMetric(name, lambda row: _share_keys(row.expected_calls, row.predicted_calls))


def _share_keys(calls: Sequence[ToolCall], others: Sequence[ToolCall]) -> float | None:
    """The share of the keys of `calls` that `others` have in calls of the same functions."""
    keys, other_keys = _count_keys(calls), _count_keys(others)
    return (keys & other_keys).total() / keys.total() if keys else None


def _count_keys(calls: Sequence[ToolCall]) -> Counter[tuple[str, str]]:
    return Counter((call.name, key) for call in calls for key in _read_arguments(call) or ())
