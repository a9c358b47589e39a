"""What an evaluation found, in the words of a report."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ftops.evaluation.result import CandidateScore, Evaluation, RequestStats, Savings
from ftops.metrics.result import Comparison, MetricResult, Verdict
from ftops.reports.report.words import (
    say_count,
    say_difference,
    say_interval,
    say_p,
    say_rows,
    say_seconds,
    say_usd,
    say_value,
    show,
)

MOST_CLASSES = 60


@dataclass(frozen=True, slots=True)
class CandidateLine:
    """One row of the table of candidates; `figures` has a value and an interval a metric."""

    name: str
    about: str
    figures: Sequence[tuple[str, str]]
    problems: str
    requests: Sequence[str]  # tokens in, tokens out, price of a thousand, p50, p95
    first: bool


@dataclass(frozen=True, slots=True)
class Sentence:
    """A finding of the evaluation, and how it is marked: good, bad, or open."""

    mark: str
    text: str


def list_metrics(evaluation: Evaluation) -> list[str]:
    """All metrics that a candidate has a figure for, the headline first."""
    found = dict.fromkeys(name for one in evaluation.candidates for name in one.metrics)
    return sorted(found, key=lambda name: name != evaluation.primary_metric)


def list_candidates(evaluation: Evaluation) -> list[CandidateLine]:
    """The candidates as they are shown, in the order of the evaluation."""
    metrics = list_metrics(evaluation)
    return [
        CandidateLine(
            name=show(one.name),
            about=_describe(one),
            figures=[_say_figure(name, one.metrics.get(name)) for name in metrics],
            problems=_say_problems(one),
            requests=_say_requests(one.requests),
            first=index == 0,
        )
        for index, one in enumerate(evaluation.candidates)
    ]


def say_headline(evaluation: Evaluation) -> str:
    """How the first candidate did, in one sentence."""
    if not evaluation.candidates:
        return "No candidate was asked."
    first, metric = evaluation.candidates[0], evaluation.primary_metric
    figure = first.metrics.get(metric)
    if figure is None:
        return f"{show(first.name)} has no figure for {metric}."
    interval = say_interval(metric, figure.low, figure.high)
    within = f" (95% interval {interval})" if interval else ""
    value = say_value(metric, figure.value)
    return f"{show(first.name)} reaches {metric} {value}{within} on {say_rows(figure.rows)}."


def list_verdicts(evaluation: Evaluation) -> list[Sentence]:
    """Each comparison in words, those by the headline metric first."""
    ordered = sorted(
        evaluation.comparisons, key=lambda one: one.metric != evaluation.primary_metric
    )
    return [Sentence(_mark(one), say_comparison(one)) for one in ordered]


def say_comparison(one: Comparison) -> str:
    """What a comparison says, and how sure that is."""
    first, second, metric = show(one.first), show(one.second), one.metric
    difference = say_difference(metric, one.difference)
    low = say_difference(metric, one.low).removesuffix(" points")
    high = say_difference(metric, one.high).removesuffix(" points")
    evidence = f"{difference}, 95% interval {low} to {high}; {show(one.test)}, {say_p(one.p_value)}"
    if one.p_corrected is not None and say_p(one.p_corrected) != say_p(one.p_value):
        evidence += f", corrected {say_p(one.p_corrected)}"
    if one.verdict is Verdict.BETTER:
        return f"{first} is better than {second} by {metric} ({evidence})."
    if one.verdict is Verdict.WORSE:
        return f"{first} is worse than {second} by {metric} ({evidence})."
    if one.verdict is Verdict.NO_DIFFERENCE:
        return f"{first} and {second} do equally well by {metric} ({evidence})."
    needed = f" About {one.rows_needed:,} rows would be needed to tell." if one.rows_needed else ""
    return f"Too few rows to tell {first} from {second} by {metric} ({evidence}).{needed}"


def list_requirements(evaluation: Evaluation) -> list[Sentence]:
    """Each requirement of the job file, and whether it was met."""
    sentences = []
    for one in evaluation.requirements:
        value = "" if one.value is None else f": it is {one.value:.4g}"
        reason = f" ({show(one.reason)})" if one.reason else ""
        met = "met" if one.met else "missed"
        sentences.append(
            Sentence("good" if one.met else "bad", f"{show(one.text)} is {met}{value}{reason}.")
        )
    return sentences


def say_savings(one: Savings) -> str:
    """What a request saves, or costs more, against another candidate."""
    parts = [
        _say_less(one.tokens, lambda value: f"{value:,.0f} tokens a request"),
        _say_less(one.usd_per_1000, lambda value: f"{say_usd(value)} a thousand requests"),
        _say_less(one.p50_s, lambda value: f"{say_seconds(value)} of waiting (median)"),
    ]
    told = ", ".join(part for part in parts if part) or "nothing that is known"
    text = f"Against {show(one.against)}: {told}."
    if one.pays_after is not None:
        paid = f" of {say_usd(one.training_usd)}" if one.training_usd is not None else ""
        return f"{text} The training{paid} has paid for itself after {one.pays_after:,} requests."
    return f"{text} When the training pays for itself cannot be told, or it never does."


def _say_less(value: float | None, say: Callable[[float], str]) -> str:
    if value is None:
        return ""
    return f"saves {say(value)}" if value >= 0 else f"takes {say(-value)} more"


def _say_figure(metric: str, figure: MetricResult | None) -> tuple[str, str]:
    if figure is None:
        return ("", "")
    return (say_value(metric, figure.value), say_interval(metric, figure.low, figure.high))


def _describe(one: CandidateScore) -> str:
    """Who it is beyond its name."""
    asked = f"{one.model} at {one.provider}" if one.model and one.provider else one.model
    kind = one.kind.value
    return show(" · ".join(part for part in (kind, asked or "") if part and part != one.name))


def _say_problems(one: CandidateScore) -> str:
    told = [f"{count:,} {name}" for name, count in one.problems.items() if count]
    told += [f"{one.outside:,} outside the labels"] if one.outside else []
    return show(", ".join(told))


def _say_requests(one: RequestStats | None) -> list[str]:
    if one is None:
        return [""] * 5
    about = "≈" if one.estimated else ""
    tokens = [
        f"{about}{say_count(value)}" if value is not None else ""
        for value in (one.prompt_tokens, one.completion_tokens)
    ]
    return [*tokens, say_usd(one.usd_per_1000), say_seconds(one.p50_s), say_seconds(one.p95_s)]


def _mark(one: Comparison) -> str:
    return {Verdict.BETTER: "good", Verdict.WORSE: "bad"}.get(one.verdict, "open")
