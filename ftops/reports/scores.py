"""What an evaluation found, in the words of a report."""

from collections.abc import Sequence
from dataclasses import dataclass

from ftops.evaluation.result import CandidateScore, Evaluation, RequestStats
from ftops.evaluation.text import (
    describe_comparison,
    describe_problems,
    describe_requirement,
    format_interval,
    format_value,
)
from ftops.metrics.result import Comparison, MetricResult, Verdict
from ftops.reports.words import say_count, say_rows, say_seconds, say_usd, show

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
            figures=[_format_cells(one.metrics.get(name)) for name in metrics],
            problems=show(describe_problems(one)),
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
    interval = format_interval(figure)
    within = f" (95% interval {interval})" if interval else ""
    value = format_value(figure.value, figure.unit)
    return f"{show(first.name)} reaches {metric} {value}{within} on {say_rows(figure.rows)}."


def list_verdicts(evaluation: Evaluation) -> list[Sentence]:
    """Each comparison in words, those by the headline metric first."""
    ordered = sorted(
        evaluation.comparisons, key=lambda one: one.metric != evaluation.primary_metric
    )
    return [Sentence(_mark(one), show(describe_comparison(one))) for one in ordered]


def list_requirements(evaluation: Evaluation) -> list[Sentence]:
    """Each requirement of the job file, and whether it is met."""
    return [
        Sentence(
            "good" if one.met else "bad",
            f"{'met' if one.met else 'missed'}: {show(describe_requirement(one))}",
        )
        for one in evaluation.requirements
    ]


def _format_cells(result: MetricResult | None) -> tuple[str, str]:
    if result is None:
        return ("", "")
    return (format_value(result.value, result.unit), format_interval(result))


def _describe(one: CandidateScore) -> str:
    """Who it is beyond its name."""
    asked = f"{one.model} at {one.provider}" if one.model and one.provider else one.model
    kind = one.kind.value
    return show(" · ".join(part for part in (kind, asked or "") if part and part != one.name))


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
