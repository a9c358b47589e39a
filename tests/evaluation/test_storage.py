"""An evaluation and its predictions are stored and read back without a loss."""

from pathlib import Path

from ftops.evaluation.storage import (
    make_slugs,
    parse_predictions,
    read_evaluation,
    read_predictions,
    write_evaluation,
)
from ftops.metrics.prediction import Prediction, Problem
from ftops.records import Message
from tests.evaluation.test_result import WHOLE

PREDICTIONS = [
    Prediction(
        line=1,
        prompt=(Message("user", "Wo ist die Fackel? \u2192"),),
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


def test_predictions_are_read_back_with_all_their_fields(tmp_path: Path) -> None:
    write_evaluation(tmp_path, WHOLE, {"tuned": PREDICTIONS})
    assert read_evaluation(tmp_path) == WHOLE
    assert read_predictions(tmp_path, ["tuned", "base"]) == {"tuned": PREDICTIONS}


def test_predictions_of_candidates_that_are_gone_are_deleted(tmp_path: Path) -> None:
    write_evaluation(tmp_path, WHOLE, {"tuned": PREDICTIONS, "base": PREDICTIONS})
    write_evaluation(tmp_path, WHOLE, {"tuned": PREDICTIONS})
    assert list(read_predictions(tmp_path, ["tuned", "base"])) == ["tuned"]


def test_a_line_that_a_kill_has_cut_is_skipped(tmp_path: Path) -> None:
    write_evaluation(tmp_path, WHOLE, {"tuned": PREDICTIONS})
    content = (tmp_path / "predictions" / "tuned.jsonl").read_bytes()
    assert parse_predictions(content[:-20]) == PREDICTIONS[:1]


def test_each_candidate_has_a_file_name_of_its_own() -> None:
    assert make_slugs(["few-shot: 5", "few shot 5", "…"]) == {
        "few-shot: 5": "few-shot-5",
        "few shot 5": "few-shot-5-2",
        "…": "candidate",
    }
