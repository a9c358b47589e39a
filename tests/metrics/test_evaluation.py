"""An evaluation is kept whole."""

import pytest

from ftops.errors import LedgerError
from ftops.metrics.evaluation import (
    CandidateKind,
    CandidateScore,
    ClassFigures,
    Comparison,
    Confusion,
    Evaluation,
    MetricResult,
    Requests,
    Requirement,
    Savings,
    SkippedCandidate,
    Verdict,
)
from ftops.records import Json

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
            classes=(ClassFigures("a", 2, 2, 2), ClassFigures("b", 2, 1, 1)),
            confusion=Confusion(("a", "b"), ((2, 0, 0), (0, 1, 1))),
            requests=Requests(12.5, 1.0, False, None, 0.01, 0.02),
        ),
    ),
    skipped=(SkippedCandidate("base", "it was never trained"),),
    comparisons=(
        Comparison(
            "tuned", "majority", "accuracy", 0.25, -0.5, 0.75, 0.6, "McNemar", Verdict.TOO_FEW_ROWS
        ),
    ),
    savings=(Savings("few-shot", 100.0, None, None, 3.0, 17),),
    requirements=(Requirement("accuracy >= 0.85", 0.75, False),),
)


def test_an_evaluation_survives_its_file() -> None:
    assert Evaluation.from_json(WHOLE.to_json()) == WHOLE
    assert not WHOLE.passed


def test_a_class_that_nobody_gives_or_expects_has_no_figures() -> None:
    assert ClassFigures("a", 0, 0, 0).f1 is None
    assert ClassFigures("a", 0, 1, 0).recall is None
    assert ClassFigures("a", 1, 0, 0).precision is None
    assert ClassFigures("a", 2, 4, 2).f1 == pytest.approx(2 / 3)


@pytest.mark.parametrize("stored", [None, [], {}, {"version": 1}, {**WHOLE.to_json(), "rows": "x"}])
def test_a_damaged_evaluation_is_refused_with_what_to_do(stored: Json) -> None:
    with pytest.raises(LedgerError, match="damaged") as caught:
        Evaluation.from_json(stored)
    assert "evaluates again" in str(caught.value.hint)
