"""What must be reached: a run whose model does not reach it has succeeded, and yet is told so."""

import math
from collections.abc import Sequence
from pathlib import Path

from ftops.errors import RequirementMissed
from ftops.evaluation.result import CandidateScore, Evaluation, RequirementResult
from ftops.evaluation.storage import read_evaluation
from ftops.evaluation.text import describe_requirement
from ftops.metrics.requirement import DIGITS, OPERATORS, REQUEST_METRICS, Requirement, make_slug
from ftops.metrics.result import Comparison, Unit
from ftops.records import Run, RunStatus
from ftops.run_folder import get_run_folder


def raise_if_missed(evaluation: Evaluation) -> None:
    """RequirementMissed, which names each of them, when any is not met."""
    missed = [describe_requirement(one) for one in evaluation.requirements if not one.met]
    if missed:
        total = len(evaluation.requirements)
        word = "requirement is" if total == 1 else "requirements are"
        lines = "".join(f"\n  {text}" for text in missed)
        raise RequirementMissed(f"{len(missed)} of {total} {word} not met:{lines}")


def check_run_requirements(run: Run, home: Path) -> None:
    """The same for a run that has succeeded; nothing for one that has not, or was not evaluated."""
    if run.status is not RunStatus.SUCCEEDED:
        return
    evaluation = read_evaluation(get_run_folder(home, run.id))
    if evaluation is not None:
        raise_if_missed(evaluation)


def check_requirements(
    wanted: Sequence[Requirement],
    tuned: CandidateScore | None,
    others: Sequence[CandidateScore],
    comparisons: Sequence[Comparison] = (),
) -> tuple[RequirementResult, ...]:
    """Whether the tuned candidate meets each. A figure that is not there, or NaN, meets nothing.

    A difference is judged by its value; `reason` says where it may well be chance.
    """
    return tuple(_check(one, tuned, others, comparisons) for one in wanted)


def _check(
    wanted: Requirement,
    tuned: CandidateScore | None,
    others: Sequence[CandidateScore],
    comparisons: Sequence[Comparison],
) -> RequirementResult:
    if tuned is None:
        return RequirementResult(wanted.text, None, False, "no candidate was scored")
    value = find_value(tuned, wanted.name)
    if value is None:
        return RequirementResult(wanted.text, None, False, _missing(tuned, wanted.name))
    unit = _get_unit(tuned, wanted.name)
    if wanted.over is None:
        return _settle(wanted, value, unit, "")
    other = find_candidate(wanted.over, others)
    if other is None:
        named = ", ".join(make_slug(one.name) for one in others) or "none"
        reason = f"there is no candidate `{wanted.over}` to compare with; there are: {named}"
        return RequirementResult(wanted.text, None, False, reason)
    theirs = find_value(other, wanted.name)
    if theirs is None:
        return RequirementResult(wanted.text, None, False, _missing(other, wanted.name))
    reason = _explain(wanted.name, tuned.name, other.name, comparisons)
    return _settle(wanted, value - theirs, unit, reason)


def _settle(wanted: Requirement, value: float, unit: Unit, reason: str) -> RequirementResult:
    compared = OPERATORS[wanted.comparison](round(value, DIGITS), round(wanted.bound, DIGITS))
    return RequirementResult(wanted.text, value, compared, reason, unit)


def _get_unit(score: CandidateScore, name: str) -> Unit:
    """The unit of a metric of the candidate, or of a figure of its requests."""
    result = score.metrics.get(name)
    return result.unit if result is not None else REQUEST_METRICS[name]


def find_value(score: CandidateScore, name: str) -> float | None:
    """A candidate's figure of that name, of its metrics or its requests; None if there is none."""
    figure = score.metrics.get(name)
    if figure is not None:
        return figure.value if math.isfinite(figure.value) else None
    value = getattr(score.requests, name, None) if name in REQUEST_METRICS else None
    return value if value is not None and math.isfinite(value) else None


def find_candidate(slug: str, others: Sequence[CandidateScore]) -> CandidateScore | None:
    """The candidate of that slug, or the only one of that kind, or whose name begins like that."""
    wanted = make_slug(slug)
    exact = [one for one in others if make_slug(one.name) == wanted]
    of_kind = [one for one in others if make_slug(one.kind.value) == wanted]
    begins = [one for one in others if make_slug(one.name).startswith(f"{wanted}_")]
    return next((found[0] for found in (exact, of_kind, begins) if len(found) == 1), None)


def _missing(score: CandidateScore, name: str) -> str:
    if name in REQUEST_METRICS:
        return f"`{name}` of {score.name} is not known"
    return f"{score.name} has no figure `{name}`; it has: {', '.join(score.metrics) or 'none'}"


def _explain(metric: str, first: str, second: str, comparisons: Sequence[Comparison]) -> str:
    for one in comparisons:
        if (one.first, one.second, one.metric) == (first, second, metric):
            if one.low <= 0 <= one.high:
                return (
                    f"may be chance: the 95 % interval of the difference, {one.low:+.3f} to"
                    f" {one.high:+.3f}, holds 0"
                )
            return f"the 95 % interval of the difference is {one.low:+.3f} to {one.high:+.3f}"
    return ""
