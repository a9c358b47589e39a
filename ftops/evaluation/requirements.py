"""Checks the requirements that the tuned model must meet."""

import math
from collections.abc import Sequence
from pathlib import Path

from ftops.errors import RequirementMissed
from ftops.evaluation.result import CandidateScore, Evaluation, RequirementResult, read_evaluation
from ftops.evaluation.text import describe_requirement
from ftops.metrics.requirement import DIGITS, OPERATORS, REQUEST_METRICS, Requirement, make_slug
from ftops.metrics.result import Comparison, Unit
from ftops.records import Run, RunStatus
from ftops.run_folder import RunFolder


def raise_if_missed(evaluation: Evaluation) -> None:
    """Raise RequirementMissed, which names each missed requirement, if there is one."""
    missed = [
        describe_requirement(requirement)
        for requirement in evaluation.requirements
        if not requirement.met
    ]
    if missed:
        total = len(evaluation.requirements)
        verb = "requirement is" if total == 1 else "requirements are"
        lines = "".join(f"\n  {text}" for text in missed)
        raise RequirementMissed(f"{len(missed)} of {total} {verb} not met:{lines}")


def check_run_requirements(run: Run, home: Path) -> None:
    """Raise RequirementMissed for a run that succeeded and has an evaluation that missed one."""
    if run.status is not RunStatus.SUCCEEDED:
        return
    evaluation = read_evaluation(RunFolder.of(home, run.id).path)
    if evaluation is not None:
        raise_if_missed(evaluation)


def check_requirements(
    requirements: Sequence[Requirement],
    tuned: CandidateScore | None,
    others: Sequence[CandidateScore],
    comparisons: Sequence[Comparison] = (),
) -> tuple[RequirementResult, ...]:
    """Check each requirement for the tuned candidate; an unknown value or NaN does not meet it.

    A difference is compared by its value; `reason` says if it may be due to chance.
    """
    return tuple(_check(requirement, tuned, others, comparisons) for requirement in requirements)


def _check(
    requirement: Requirement,
    tuned: CandidateScore | None,
    others: Sequence[CandidateScore],
    comparisons: Sequence[Comparison],
) -> RequirementResult:
    if tuned is None:
        return RequirementResult(requirement.text, None, False, "no candidate was scored")
    value = find_value(tuned, requirement.name)
    if value is None:
        return RequirementResult(requirement.text, None, False, _missing(tuned, requirement.name))
    unit = _get_unit(tuned, requirement.name)
    if requirement.over is None:
        return _settle(requirement, value, unit, "")
    other = find_candidate(requirement.over, others)
    if other is None:
        names = ", ".join(make_slug(score.name) for score in others) or "none"
        reason = f"there is no candidate `{requirement.over}` to compare with; there are: {names}"
        return RequirementResult(requirement.text, None, False, reason)
    theirs = find_value(other, requirement.name)
    if theirs is None:
        return RequirementResult(requirement.text, None, False, _missing(other, requirement.name))
    reason = _explain(requirement.name, tuned.name, other.name, comparisons)
    return _settle(requirement, value - theirs, unit, reason)


def check_drop(part: Evaluation, max_drop: float) -> RequirementResult:
    """Whether the primary metric is at most `max_drop` worse than before tuning.

    The drop is compared by its value; `reason` has its interval, and says if rows are too few.
    """
    metric = part.primary_metric
    text = f"{part.name}: {metric} drops by at most {max_drop:g}"
    if not part.comparisons:
        reason = "; ".join(f"{skipped.name}: {skipped.reason}" for skipped in part.skipped)
        return RequirementResult(text, None, False, reason or f"`{metric}` has no value")
    (comparison,) = part.comparisons
    sign = -1 if comparison.higher_is_better else 1
    drop = sign * comparison.difference
    low, high = sorted((sign * comparison.low, sign * comparison.high))
    reason = f"the 95 % interval of the drop is {low:+.3f} to {high:+.3f}"
    if low <= max_drop < high:
        reason += ", too few rows to tell"
    is_met = round(drop, DIGITS) <= round(max_drop, DIGITS)
    return RequirementResult(text, drop, is_met, reason, comparison.unit)


def _settle(requirement: Requirement, value: float, unit: Unit, reason: str) -> RequirementResult:
    is_met = OPERATORS[requirement.comparison](
        round(value, DIGITS), round(requirement.bound, DIGITS)
    )
    return RequirementResult(requirement.text, value, is_met, reason, unit)


def _get_unit(score: CandidateScore, name: str) -> Unit:
    result = score.metrics.get(name)
    return result.unit if result is not None else REQUEST_METRICS[name]


def find_value(score: CandidateScore, name: str) -> float | None:
    """The candidate's metric or request figure with this name; None if there is none."""
    result = score.metrics.get(name)
    if result is not None:
        return result.value if math.isfinite(result.value) else None
    value = getattr(score.requests, name, None) if name in REQUEST_METRICS else None
    return value if value is not None and math.isfinite(value) else None


def find_candidate(slug: str, others: Sequence[CandidateScore]) -> CandidateScore | None:
    """The candidate with this slug, or the only one of this kind or with this name prefix."""
    target = make_slug(slug)
    exact = [score for score in others if make_slug(score.name) == target]
    of_kind = [score for score in others if make_slug(score.kind.value) == target]
    begins = [score for score in others if make_slug(score.name).startswith(f"{target}_")]
    return next((matches[0] for matches in (exact, of_kind, begins) if len(matches) == 1), None)


def _missing(score: CandidateScore, name: str) -> str:
    if name in REQUEST_METRICS:
        return f"`{name}` of {score.name} is not known"
    return f"{score.name} has no metric `{name}`; it has: {', '.join(score.metrics) or 'none'}"


def _explain(metric: str, first: str, second: str, comparisons: Sequence[Comparison]) -> str:
    for comparison in comparisons:
        if (comparison.first, comparison.second, comparison.metric) == (first, second, metric):
            bounds = f"{comparison.low:+.3f} to {comparison.high:+.3f}"
            if comparison.low <= 0 <= comparison.high:
                return f"may be chance: the 95 % interval of the difference, {bounds}, contains 0"
            return f"the 95 % interval of the difference is {bounds}"
    return ""
