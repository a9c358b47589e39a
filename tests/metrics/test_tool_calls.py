"""Metrics of tool calls."""

from collections.abc import Sequence

import pytest

from ftops.metrics.prediction import Prediction, Problem
from ftops.records import ToolCall
from tests.metrics.predictions import make_predictions, measure

LIGHT = ToolCall("light", '{"room": "hall", "on": true}')
SAME = ToolCall("light", '{"on":true,"room":"hall"}')
OTHER_VALUE = ToolCall("light", '{"room": "attic", "on": true}')
OTHER_KEY = ToolCall("light", '{"place": "hall", "on": true}')
MALFORMED = ToolCall("light", '{"room": "hall"')
OTHER_TOOL = ToolCall("door", "{}")


def predict(expected: Sequence[ToolCall], predicted: Sequence[ToolCall]) -> Prediction:
    return Prediction(
        1, "q", "", "", expected_calls=tuple(expected), predicted_calls=tuple(predicted)
    )


# expected and predicted calls -> exact, present, name, valid, key precision, key recall
CASES = [
    ([LIGHT], [SAME], [1, 1, 1, 1, 1, 1]),
    ([LIGHT, OTHER_TOOL], [OTHER_TOOL, SAME], [1, 1, 1, 1, 1, 1]),
    ([LIGHT], [OTHER_VALUE], [0, 1, 1, 1, 1, 1]),
    ([LIGHT], [OTHER_KEY], [0, 1, 1, 1, 0.5, 0.5]),
    ([LIGHT], [SAME, SAME], [0, 1, 0, 1, 0.5, 1]),
    ([LIGHT], [MALFORMED], [0, 1, 1, 0, None, 0]),
    ([LIGHT], [OTHER_TOOL], [0, 1, 0, 1, None, 0]),
    ([LIGHT], [], [0, 0, 0, None, None, 0]),
    ([], [LIGHT], [0, 0, 0, 1, 0, None]),
    ([], [], [1, 1, 1, None, None, None]),
]  # fmt: skip
NAMES = ("exact", "present", "name", "valid", "key_precision", "key_recall")


@pytest.mark.parametrize(("expected", "predicted", "scores"), CASES)
def test_each_metric_scores_one_property_of_the_calls(
    expected: list[ToolCall], predicted: list[ToolCall], scores: list[float | None]
) -> None:
    # an exact row gives each metric a value
    rows = [predict([LIGHT], [LIGHT]), predict(expected, predicted)]
    for name, score in zip(NAMES, scores, strict=True):
        sample = measure(f"tool_call_{name}", rows)
        assert sample.rows == (1 if score is None else 2), name
        assert sample.value == (1 if score is None else (1 + score) / 2), name


def test_malformed_calls_are_counted_separately() -> None:
    rows = [
        predict([LIGHT], calls) for calls in ([SAME], [MALFORMED], [OTHER_VALUE], [OTHER_TOOL], [])
    ]
    assert measure("tool_call_exact", rows).notes == (
        "of 5 predictions 1 without a call, 1 with a malformed call, 2 with a wrong call",
    )


def test_a_failed_prediction_has_no_exact_call() -> None:
    failed = Prediction(1, "q", "", "", problem=Problem.FAILED, expected_calls=(LIGHT,))
    assert measure("tool_call_exact", [failed]).value == 0
    assert measure("tool_call_name", [failed]).value == 0


def test_rows_without_tool_calls_have_no_exact_calls() -> None:
    sample = measure("tool_call_exact", make_predictions([("a", "a")]))
    assert sample.rows == 0
    assert sample.notes == ("no row has a tool call",)
