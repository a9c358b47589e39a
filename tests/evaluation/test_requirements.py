"""A requirement is met by its value; an unknown value meets nothing."""

import math

import pytest

from ftops.evaluation.requirements import check_requirements
from ftops.evaluation.result import CandidateKind, CandidateScore, RequestStats, RequirementResult
from ftops.metrics.requirement import parse_requirement
from ftops.metrics.result import Comparison, MetricResult, Verdict


def _score(name: str, kind: CandidateKind, accuracy: float, **more: float) -> CandidateScore:
    figures = {"accuracy": accuracy, **more}
    return CandidateScore(
        name,
        kind,
        100,
        {metric: MetricResult(value, None, None, 100) for metric, value in figures.items()},
        requests=RequestStats(10, 1, False, 0.5, 0.2, None),
    )


_TUNED = _score("tuned", CandidateKind.TUNED, 0.88, broken=math.nan)
_OTHERS = (
    _score("few-shot: 5", CandidateKind.FEW_SHOT, 0.85),
    _score("naive Bayes", CandidateKind.NAIVE_BAYES, 0.90),
)


def _check(name: str, text: str, *comparisons: Comparison) -> RequirementResult:
    requirement = parse_requirement(name, text)
    return check_requirements([requirement], _TUNED, _OTHERS, comparisons)[0]


@pytest.mark.parametrize(
    ("name", "text", "met"),
    [
        ("accuracy", ">= 0.88", True),
        ("accuracy", "> 0.88", False),
        ("accuracy", "== .88", True),
        ("accuracy", ">=88%", True),
        ("accuracy", "< 88.5 %", True),
        ("accuracy_over_few_shot", ">= 0.03", True),
        ("accuracy_over_few_shot", "> 0.03", False),  # 0.88 - 0.85 is more only by rounding
        ("accuracy_over_few_shot_5", "> 2 %", True),
        ("accuracy_over_naive_bayes", "> 0", False),
        ("usd_per_1000", "<= 0.5", True),
        ("p50_s", "< 0.1", False),
    ],
)
def test_a_value_is_compared_with_its_bound(name: str, text: str, met: bool) -> None:
    assert _check(name, text).met is met


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("p95_s", "`p95_s` of tuned is not known"),
        ("f1", "tuned has no metric `f1`; it has: accuracy, broken"),
        ("broken", "tuned has no metric `broken`"),
        ("accuracy_over_base", "no candidate `base` to compare with; there are: few_shot_5"),
        ("broken_over_few_shot", "tuned has no metric"),
    ],
)
def test_an_unknown_value_meets_nothing(name: str, reason: str) -> None:
    for text in (">= 0", "< 1", "> -1000"):
        result = _check(name, text)
        assert not result.met
        assert result.value is None
        assert reason in result.reason


def test_without_a_candidate_nothing_is_met() -> None:
    result = check_requirements([parse_requirement("accuracy", ">= 0")], None, ())
    assert not result[0].met


def test_an_insignificant_difference_meets_a_requirement_with_a_note() -> None:
    comparison = Comparison(
        *("tuned", "few-shot: 5", "accuracy", 0.03, -0.02, 0.08, 0.3, "McNemar's exact test"),
        verdict=Verdict.TOO_FEW_ROWS,
    )
    result = _check("accuracy_over_few_shot", "> 0.01", comparison)
    assert result.met
    assert "may be chance" in result.reason
    assert "-0.020 to +0.080" in result.reason


def test_two_candidates_of_one_kind_need_their_full_names() -> None:
    others = [*_OTHERS, _score("few-shot: 10", CandidateKind.FEW_SHOT, 0.8)]
    for slug, met in (("few_shot", False), ("few_shot_10", True)):
        requirement = parse_requirement(f"accuracy_over_{slug}", "> 0.01")
        assert check_requirements([requirement], _TUNED, others)[0].met is met
