"""Storing and loading evaluations and predictions."""

from pathlib import Path

import pytest

from ftops.errors import LedgerError
from ftops.evaluation.result import (
    CandidateKind,
    CandidateScore,
    Evaluation,
    RequestStats,
    RequirementResult,
    Savings,
    SkippedCandidate,
    make_slugs,
    parse_predictions,
    read_evaluation,
    read_predictions,
    write_evaluation,
)
from ftops.metrics.prediction import Prediction, Problem
from ftops.metrics.result import ClassResult, Comparison, Confusion, MetricResult, Verdict
from ftops.records import Chat, Json, Message

WHOLE = Evaluation(
    file="test.jsonl",
    rows=4,
    primary_metric="accuracy",
    candidates=(
        CandidateScore(
            "tuned",
            CandidateKind.TUNED,
            4,
            {"accuracy": MetricResult(0.75, 0.25, 1.0, 4)},
            model="ft:ada:x",
            problems={"empty": 1},
            outside=1,
            classes=(ClassResult("a", 2, 2, 2), ClassResult("b", 2, 1, 1)),
            confusion=Confusion(("a", "b"), ((2, 0, 0), (0, 1, 1))),
            requests=RequestStats(12.5, 1.0, False, None, 0.01, 0.02),
        ),
    ),
    skipped=(SkippedCandidate("base", "it was never trained"),),
    comparisons=(
        Comparison(
            "tuned", "majority", "accuracy", 0.25, -0.5, 0.75, 0.6, "McNemar", Verdict.TOO_FEW_ROWS
        ),
    ),
    savings=(Savings("few-shot", 100.0, None, None, 3.0, 17),),
    requirements=(RequirementResult("accuracy >= 0.85", 0.75, False),),
)
PREDICTIONS = [
    Prediction(
        line=1,
        prompt=Chat((Message("user", "Wo ist die Fackel? \u2192"),)),
        expected="drawer",
        predicted="dra",
        finish_reason="length",
        prompt_tokens=12,
        completion_tokens=1,
        seconds=0.25,
        probabilities={"drawer": 0.75, "box": 0.125},
        problem=Problem.TRUNCATED,
        note="cut off",
    ),
    Prediction(2, "a text", "x", "x"),
]


def test_an_evaluation_is_read_back_unchanged() -> None:
    assert Evaluation.from_json(WHOLE.to_json()) == WHOLE
    assert not WHOLE.passed


def test_a_class_without_rows_has_no_metrics() -> None:
    assert ClassResult("a", 0, 0, 0).f1 is None
    assert ClassResult("a", 0, 1, 0).recall is None
    assert ClassResult("a", 1, 0, 0).precision is None
    assert ClassResult("a", 2, 4, 2).f1 == pytest.approx(2 / 3)


@pytest.mark.parametrize("stored", [None, [], {}, {"version": 1}, {**WHOLE.to_json(), "rows": "x"}])
def test_a_damaged_evaluation_is_an_error_with_a_hint(stored: Json) -> None:
    with pytest.raises(LedgerError, match="damaged") as caught:
        Evaluation.from_json(stored)
    assert "repeats the evaluation" in str(caught.value.hint)


def test_predictions_are_read_back_with_all_their_fields(tmp_path: Path) -> None:
    write_evaluation(tmp_path, WHOLE, {"tuned": PREDICTIONS})
    assert read_evaluation(tmp_path) == WHOLE
    assert read_predictions(tmp_path, ["tuned", "base"]) == {"tuned": PREDICTIONS}


def test_predictions_of_removed_candidates_are_deleted(tmp_path: Path) -> None:
    write_evaluation(tmp_path, WHOLE, {"tuned": PREDICTIONS, "base": PREDICTIONS})
    write_evaluation(tmp_path, WHOLE, {"tuned": PREDICTIONS})
    assert list(read_predictions(tmp_path, ["tuned", "base"])) == ["tuned"]


def test_a_truncated_line_is_skipped(tmp_path: Path) -> None:
    write_evaluation(tmp_path, WHOLE, {"tuned": PREDICTIONS})
    content = (tmp_path / "predictions" / "tuned.jsonl").read_bytes()
    assert parse_predictions(content[:-20]) == PREDICTIONS[:1]


def test_each_candidate_has_its_own_file_name() -> None:
    assert make_slugs(["few-shot: 5", "few shot 5", "…"]) == {
        "few-shot: 5": "few-shot-5",
        "few shot 5": "few-shot-5-2",
        "…": "candidate",
    }
