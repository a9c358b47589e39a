"""What an evaluation found, in sentences: the same words at the terminal, in CI and in reports."""

from collections.abc import Iterator

from ftops.evaluation.result import (
    CandidateKind,
    CandidateScore,
    Evaluation,
    RequirementResult,
    Savings,
)
from ftops.metrics.result import Comparison, MetricResult, Verdict

_FREE = frozenset({CandidateKind.NEAREST, CandidateKind.NAIVE_BAYES, CandidateKind.MAJORITY})
_LEAST_P = 0.001


def show_value(value: float) -> str:
    """A figure for people: a share in percent, anything else as it is."""
    return f"{value:.1%}" if 0 <= value <= 1 else f"{value:,.3g}"


def show_figure(figure: MetricResult) -> str:
    """A figure with its interval: 94.4% (90.0–97.2)."""
    if figure.low is None or figure.high is None:
        return show_value(figure.value)
    shares = all(0 <= one <= 1 for one in (figure.value, figure.low, figure.high))
    if not shares:
        return f"{figure.value:,.3g} ({figure.low:,.3g}–{figure.high:,.3g})"
    return f"{figure.value:.1%} ({figure.low * 100:.1f}–{figure.high * 100:.1f})"


def show_p(value: float) -> str:
    """The probability of so large a difference by chance."""
    return f"p < {_LEAST_P}" if value < _LEAST_P else f"p = {value:.2g}"


def say_comparison(found: Comparison) -> str:
    """Whether the first candidate is better, by how much, and how sure that is."""
    low, high = (found.low, found.high) if found.difference >= 0 else (-found.high, -found.low)
    if found.span <= 1:
        gap = f"{_points(abs(found.difference) * 100)} of {found.metric}"
        bounds = [f"{round(bound * 100, 1) + 0.0:.1f}" for bound in (low, high)]
    else:
        gap = f"{abs(found.difference):,.3g} of {found.metric}"
        bounds = [f"{bound + 0.0:,.3g}" for bound in (low, high)]
    p_value = found.p_value if found.p_corrected is None else found.p_corrected
    span = f"({' to '.join(bounds)}), {show_p(p_value)}, {found.test}"
    if found.verdict is Verdict.BETTER:
        return f"{found.first} is better than {found.second} by {gap} {span}"
    if found.verdict is Verdict.WORSE:
        return f"{found.first} is worse than {found.second} by {gap} {span}"
    if found.verdict is Verdict.NO_DIFFERENCE:
        both = f"{found.first} and {found.second}"
        return f"no difference of {found.metric} between {both} {span}"
    needed = f": about {found.rows_needed:,} would be needed" if found.rows_needed else ""
    ahead = "is ahead of" if _is_ahead(found) else "is behind"
    if not found.difference:
        return (
            f"{found.first} and {found.second} have the same {found.metric}, but the rows are too"
            f" few to tell that there is no difference{needed}"
        )
    return (
        f"{found.first} {ahead} {found.second} by {gap} {span}, but that may be chance; too few"
        f" rows to tell{needed}"
    )


def _is_ahead(found: Comparison) -> bool:
    """Whether the first one's figure is the better one, be that chance or not."""
    return found.difference != 0 and (found.difference > 0) == found.higher_is_better


def _points(points: float) -> str:
    return "1 point" if f"{points:.1f}" == "1.0" else f"{points:.1f} points"


def say_outcome(evaluation: Evaluation) -> str:
    """One sentence: was it worth it, by the headline metric alone."""
    first = evaluation.candidates[0] if evaluation.candidates else None
    headline = [
        one
        for one in evaluation.comparisons
        if first and one.first == first.name and one.metric == evaluation.primary_metric
    ]
    if first is None or not headline:
        return ""
    worse = [one for one in headline if one.verdict is Verdict.WORSE]
    better = [one for one in headline if one.verdict is Verdict.BETTER]
    if worse:
        free = [one.second for one in worse if _is_free(evaluation, one.second)]
        names = _join([one.second for one in worse])
        advice = f" {_begin(_join(free))} would cost nothing." if free else ""
        return f"{_begin(first.name)} loses to {names}.{advice}"
    if len(better) == len(headline):
        return f"{_begin(first.name)} is better than {_join([one.second for one in better])}."
    open_ones = [one.second for one in headline if one.verdict is not Verdict.BETTER]
    free_ones = [one for one in headline if _is_free(evaluation, one.second)]
    equal = [one.second for one in free_ones if one.verdict is Verdict.NO_DIFFERENCE]
    ahead = [
        one.second
        for one in free_ones
        if one.difference and not _is_ahead(one) and one.second not in equal
    ]
    advice = f" {_begin(_join(ahead))}, at no cost, did better on these rows." if ahead else ""
    advice += f" {_begin(_join(equal))}, at no cost, did as well." if equal else ""
    return f"{_begin(first.name)} is not shown to be better than {_join(open_ones)}.{advice}"


def _begin(name: str) -> str:
    return "The tuned model" if name == "tuned" else name[:1].upper() + name[1:]


def _is_free(evaluation: Evaluation, name: str) -> bool:
    candidate = evaluation.find(name)
    return candidate is not None and candidate.kind in _FREE


def _join(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def say_requirement(found: RequirementResult) -> str:
    """A requirement, and what was reached."""
    reached = "no figure" if found.value is None else show_value(found.value)
    reason = f": {found.reason}" if found.reason else ""
    return f"{found.text} ({reached}{reason})"


def find_remarks(evaluation: Evaluation) -> list[str]:
    """The notes that do not say once more what the sentences about comparisons say."""
    said = [
        phrase
        for one in evaluation.comparisons
        for phrase in (
            f"{one.first} is worse than {one.second} (",
            f"no difference between {one.first} and {one.second} (",
            f" too few to tell {one.first} from {one.second} (",
        )
    ]
    return [note for note in evaluation.notes if not any(phrase in note for phrase in said)]


def say_problems(candidate: CandidateScore) -> str:
    """How many answers were none, or not whole, by name; empty where all are."""
    parts = [f"{count:,} {name}" for name, count in candidate.problems.items() if count]
    if candidate.outside:
        parts.append(f"{candidate.outside:,} outside the classes")
    return ", ".join(parts)


def say_savings(found: Savings) -> Iterator[str]:
    """What a request to the tuned model saves against another candidate."""
    if found.tokens is not None and found.tokens:
        verb = "fewer" if found.tokens > 0 else "more"
        yield f"{abs(found.tokens):,.1f} tokens {verb} a request than {found.against}"
    if found.usd_per_1000 is not None and found.usd_per_1000:
        verb = "less" if found.usd_per_1000 > 0 else "more"
        yield f"${abs(found.usd_per_1000):,.4g} {verb} a thousand requests than {found.against}"
    if found.p50_s is not None and abs(found.p50_s) >= 0.001:
        verb = "faster" if found.p50_s > 0 else "slower"
        yield f"{abs(found.p50_s):.3g} s {verb} than {found.against} (median)"
    if found.pays_after is not None and found.training_usd:
        yield f"the training has paid for itself after {found.pays_after:,} requests"
