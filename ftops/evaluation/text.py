"""Formats the results of an evaluation for the terminal, CI and reports."""

from collections.abc import Iterator, Mapping, Sequence

from ftops.evaluation.result import (
    FREE_KINDS,
    KEEP,
    CandidateScore,
    Evaluation,
    Note,
    NoteKind,
    RequirementResult,
    Savings,
)
from ftops.metrics.prediction import Problem
from ftops.metrics.result import Comparison, MetricResult, Unit, Verdict, format_value

_MIN_P = 0.001
_MAX_LINES = 3
_PROBLEMS: Mapping[str, str] = {
    Problem.EMPTY: "are empty",
    Problem.REFUSED: "are refusals",
    Problem.TRUNCATED: "are truncated at max_tokens",
    Problem.FAILED: "are missing and count as wrong",
}


def format_interval(result: MetricResult) -> str:
    """The 95 % interval, as 90.1 to 97.0%; "" if there is none."""
    if result.low is None or result.high is None:
        return ""
    return _format_bounds(result.low, result.high, result.unit, " to ")


def format_result(result: MetricResult) -> str:
    """The value with its interval: 94.4% (90.0–97.2)."""
    value = format_value(result.value, result.unit)
    if result.low is None or result.high is None:
        return value
    bounds = _format_bounds(result.low, result.high, result.unit, "–")
    return f"{value} ({bounds.removesuffix('%')})"


def _format_bounds(low: float, high: float, unit: Unit, between: str) -> str:
    if unit is Unit.SHARE:
        return f"{100 * low:.1f}{between}{100 * high:.1f}%"
    return f"{low:,.3g}{between}{high:,.3g}"


def format_difference(value: float, unit: Unit) -> str:
    """A difference without its sign: 3.1 points of a share, 0.02 of a score."""
    if unit is Unit.SHARE:
        points = f"{100 * abs(value):.1f}"
        return "1 point" if points == "1.0" else f"{points} points"
    return format_value(abs(value), unit)


def describe_part(part: Evaluation) -> str:
    """The title of a part of an evaluation: a slice, or the rows to keep."""
    name = "Before and after tuning" if part.name == KEEP else f"Slice {part.name}"
    return f"{name}: {part.file} ({_count(part.rows, 'row')})"


def list_part_comparisons(evaluation: Evaluation) -> Iterator[tuple[str, Comparison]]:
    """The comparisons of all parts as sentences that start with the part."""
    for part in evaluation.parts:
        for comparison in part.comparisons:
            yield f"{part.name}: {describe_comparison(comparison)}", comparison


def format_p_value(value: float) -> str:
    """The p-value, as p = 0.031 or p < 0.001."""
    return f"p < {_MIN_P}" if value < _MIN_P else f"p = {value:.2g}"


def describe_comparison(comparison: Comparison) -> str:
    """Whether the first candidate is better, by how much, and with what evidence."""
    first, second, metric = comparison.first, comparison.second, comparison.metric
    gap = f"{format_difference(comparison.difference, comparison.unit)} of {metric}"
    evidence = _describe_evidence(comparison)
    match comparison.verdict:
        case Verdict.BETTER:
            return f"{first} is better than {second} by {gap} ({evidence})"
        case Verdict.WORSE:
            return f"{first} is worse than {second} by {gap} ({evidence})"
        case Verdict.NO_DIFFERENCE:
            return f"no difference in {metric} between {first} and {second} ({evidence})"
    needed = comparison.rows_needed
    rows = f": about {needed:,} rows are needed" if needed else ""
    if not comparison.difference:
        return (
            f"{first} and {second} have the same {metric}, but there are too few rows to tell that"
            f" there is no difference{rows}"
        )
    place = "ahead of" if _is_ahead(comparison) else "behind"
    return (
        f"{first} is {place} {second} by {gap} ({evidence}), which may be chance; too few rows to"
        f" tell{rows}"
    )


def _describe_evidence(comparison: Comparison) -> str:
    """The interval of the difference, the corrected and uncorrected p-values, and the test."""
    low, high = comparison.low, comparison.high
    if comparison.difference < 0:
        low, high = -high, -low
    scale, form = (100, ".1f") if comparison.unit is Unit.SHARE else (1, ",.3g")
    bounds = " to ".join(f"{round(scale * bound, 6) + 0.0:{form}}" for bound in (low, high))
    bounds = bounds.replace("-0.0", "0.0") if form == ".1f" else bounds
    plain = format_p_value(comparison.p_value)
    p_value = plain
    if comparison.p_corrected is not None:
        p_value = format_p_value(comparison.p_corrected)
        if p_value != plain:
            p_value += f" (corrected for several comparisons; {plain} alone)"
    return f"95 % interval {bounds}, {p_value}, {comparison.test}"


def _is_ahead(comparison: Comparison) -> bool:
    """Whether the first candidate has the better value, significant or not."""
    is_higher = comparison.difference > 0
    return comparison.difference != 0 and is_higher == comparison.higher_is_better


def describe_outcome(evaluation: Evaluation) -> str:
    """One sentence: whether the model is better than the others by the primary metric."""
    first = evaluation.candidates[0] if evaluation.candidates else None
    comparisons = [
        comparison
        for comparison in evaluation.comparisons
        if first
        and comparison.first == first.name
        and comparison.metric == evaluation.primary_metric
    ]
    if first is None or not comparisons:
        return ""
    free = {candidate.name for candidate in evaluation.candidates if candidate.kind in FREE_KINDS}
    name = _start(first.name)
    worse = [comparison.second for comparison in comparisons if comparison.verdict is Verdict.WORSE]
    if worse:
        cheaper = [other for other in worse if other in free]
        advice = f" {_start(_join(cheaper))} would cost nothing." if cheaper else ""
        return f"{name} loses to {_join(worse)}.{advice}"
    not_better = [
        comparison.second for comparison in comparisons if comparison.verdict is not Verdict.BETTER
    ]
    if not not_better:
        return f"{name} is better than {_join([comparison.second for comparison in comparisons])}."
    baselines = [comparison for comparison in comparisons if comparison.second in free]
    equal = [
        comparison.second for comparison in baselines if comparison.verdict is Verdict.NO_DIFFERENCE
    ]
    ahead = [
        comparison.second
        for comparison in baselines
        if comparison.difference and not _is_ahead(comparison) and comparison.second not in equal
    ]
    advice = f" {_start(_join(ahead))} scored higher on these rows, at no cost." if ahead else ""
    advice += f" {_start(_join(equal))} scored the same, at no cost." if equal else ""
    return f"{name} is not significantly better than {_join(not_better, 'or')}.{advice}"


def _start(name: str) -> str:
    return "The tuned model" if name == "tuned" else name[:1].upper() + name[1:]


def _join(names: Sequence[str], last: str = "and") -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {last} {names[-1]}"


def describe_requirement(requirement: RequirementResult) -> str:
    """A requirement with the measured value."""
    if requirement.value is None:
        reached = "no value"
    else:
        reached = format_value(requirement.value, requirement.unit)
    reason = f": {requirement.reason}" if requirement.reason else ""
    return f"{requirement.text} ({reached}{reason})"


def list_notes(evaluation: Evaluation) -> list[str]:
    """The texts of the notes of the evaluation."""
    return [format_note(note) for note in evaluation.notes]


def format_note(note: Note) -> str:
    """The text of the note, after its candidate or judge."""
    text = _word_note(note)
    return f"{note.subject}: {text}" if note.subject else text


def _word_note(note: Note) -> str:
    rows, total = note.rows or 0, note.total or 0
    match note.kind:
        case NoteKind.LEAK:
            return (
                f"leak: {rows:,} of {total:,} rows are training rows, exactly or nearly; results"
                " are better than they would be on new rows"
            )
        case NoteKind.MEMORIZED:
            known, new = note.shares or (0.0, 0.0)
            return (
                f"memorized: {known:.1%} of the {rows:,} rows that are training rows are correct,"
                f" but {new:.1%} of the {total - rows:,} others"
            )
        case NoteKind.FEW_ROWS:
            return f"{_count(rows, 'row')}: with so few, intervals are wide"
        case NoteKind.SAMPLED:
            return f"{rows:,} of {total:,} rows were evaluated, a random sample (max_rows)"
        case NoteKind.DIFFERENT_ROWS:
            return (
                f"the runs were evaluated on different rows ({note.detail}); compared on the"
                f" {rows:,} that are common to all"
            )
        case NoteKind.CORRECTED:
            return f"not significant after Holm's correction for {total} comparisons: {note.detail}"
        case NoteKind.CONSTANT:
            share = "every prediction is"
            if rows != total:
                share = f"{rows:,} of {total:,} predictions are"
            expected = _count(note.expected or 0, "row")
            return f"constant prediction: {share} {_quote(note.detail)}, expected in {expected}"
        case NoteKind.PROBLEM:
            what = _PROBLEMS[note.problem]
            return f"{rows:,} of {total:,} predictions {what}{_format_lines(note)}"
        case NoteKind.OUTSIDE:
            return f"{rows:,} of {total:,} predictions are none of the classes, thus wrong"
        case NoteKind.SERVED:
            return f"answered by {note.detail}"
        case NoteKind.PROBABILITIES:
            return f"probabilities of labels are not known: {note.detail}"
        case NoteKind.JUDGE_DISAGREES:
            return f"the two orders disagree on {rows:,} of {total:,} pairs, which count as ties"
        case NoteKind.JUDGE_UNREADABLE:
            return (
                f"{_count(rows, 'response')} without a readable verdict, left out of the results"
                f"{_format_lines(note)}"
            )
    return note.detail


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _format_lines(note: Note) -> str:
    """The lines of the first rows, and the reason for the first."""
    if not note.lines:
        return ""
    lines = ", ".join(map(str, note.lines[:_MAX_LINES]))
    lines += ", …" if len(note.lines) > _MAX_LINES else ""
    reason = f": {_quote(note.detail)}" if note.detail else ""
    return f" (line{'s' if len(note.lines) > 1 else ''} {lines}{reason})"


def _quote(text: str, limit: int = 60) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= limit else f"{line[: limit - 1]}…")


def describe_problems(score: CandidateScore) -> str:
    """The number of missing or incomplete predictions by problem; "" if there are none."""
    parts = [f"{count:,} {problem}" for problem, count in score.problems.items() if count]
    if score.outside:
        parts.append(f"{score.outside:,} outside the classes")
    return ", ".join(parts)


def describe_savings(savings: Savings) -> Iterator[str]:
    """The savings of a request to the tuned model compared with another candidate."""
    if savings.tokens is not None and savings.tokens:
        change = "fewer" if savings.tokens > 0 else "more"
        yield f"{abs(savings.tokens):,.1f} tokens {change} a request than {savings.against}"
    if savings.usd_per_1000 is not None and savings.usd_per_1000:
        change = "less" if savings.usd_per_1000 > 0 else "more"
        amount = format_value(abs(savings.usd_per_1000), Unit.USD)
        yield f"{amount} {change} per 1,000 requests than {savings.against}"
    if savings.p50_s is not None and abs(savings.p50_s) >= 0.001:
        change = "faster" if savings.p50_s > 0 else "slower"
        yield f"{abs(savings.p50_s):.3g} s {change} than {savings.against} (median)"
    if savings.pays_after is not None and savings.training_usd:
        yield f"training pays off after {savings.pays_after:,} requests"
