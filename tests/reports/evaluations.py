"""Evaluations to render."""

from dataclasses import replace

from ftops.evaluation.result import (
    CandidateKind,
    CandidateScore,
    Evaluation,
    Note,
    NoteKind,
    RequirementResult,
    Savings,
    SkippedCandidate,
)
from ftops.metrics.result import Comparison, MetricResult, Unit, Verdict

HOSTILE = '<script>alert("x")</script> | **bold** [link](http://x) `code`\n# head \x1b[2J\u202e'


def make_comparison(second: str, difference: float, verdict: Verdict) -> Comparison:
    return Comparison(
        "tuned", second, "accuracy", difference, difference - 0.02, difference + 0.02, 0.004,
        "McNemar's exact test", verdict,
        unit=Unit.SHARE, rows_needed=900 if verdict is Verdict.TOO_FEW_ROWS else None,
    )  # fmt: skip


def make_evaluation(*comparisons: Comparison, name: str = "naive Bayes") -> Evaluation:
    tuned = CandidateScore(
        "tuned",
        CandidateKind.TUNED,
        100,
        {"accuracy": MetricResult(0.9, 0.85, 0.95, 100, Unit.SHARE)},
    )
    other = CandidateScore(
        name,
        CandidateKind.NAIVE_BAYES,
        100,
        {"accuracy": MetricResult(0.8, 0.7, 0.9, 100, Unit.SHARE)},
    )
    return Evaluation(
        file="test.jsonl",
        rows=100,
        primary_metric="accuracy",
        candidates=(tuned, other),
        comparisons=comparisons,
        requirements=(
            RequirementResult("accuracy >= 0.85", 0.9, True, unit=Unit.SHARE),
            RequirementResult(
                "accuracy_over_naive_bayes > 0.2", 0.1, False, "may be chance", Unit.SHARE
            ),
        ),
        skipped=(SkippedCandidate("base", "it knows nothing"),),
        savings=(Savings("base", 12.0, 0.5, 0.25, 3.0, 6000),),
        notes=(Note(NoteKind.METRIC, detail="one note"),),
    )


def make_hostile() -> Evaluation:
    """An evaluation with hostile text in every value of data, job files and providers."""
    evaluation = make_evaluation(make_comparison(HOSTILE, 0.1, Verdict.BETTER), name=HOSTILE)
    return replace(
        evaluation,
        file=HOSTILE,
        requirements=(RequirementResult(HOSTILE, None, False, HOSTILE),),
        skipped=(SkippedCandidate(HOSTILE, HOSTILE),),
        notes=(Note(NoteKind.METRIC, detail=HOSTILE),),
        parts=(replace(evaluation, name=HOSTILE, file=HOSTILE),),
    )
