"""From the answers of all candidates to one evaluation."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from ftops.evaluation.notes import (
    SIMPLE,
    collect,
    note_comparison,
    note_constant,
    note_corrected,
    note_few_rows,
    note_memorised,
    note_overlap,
    note_problems,
)
from ftops.evaluation.requirements import check_requirements, find_candidate
from ftops.evaluation.result import CandidateKind, CandidateScore, Evaluation, SkippedCandidate
from ftops.evaluation.usage import Prices, find_savings, measure_requests
from ftops.metrics.bootstrap import interval_of, resample
from ftops.metrics.classification import (
    count_classes,
    count_confusion,
    find_labels,
    place_in_matrix,
)
from ftops.metrics.comparison import ComparisonSide, compare, decide_verdicts
from ftops.metrics.metric import Floats, Metric, MetricSample, create_metrics
from ftops.metrics.optional_imports import is_installed
from ftops.metrics.prediction import Prediction, Problem
from ftops.metrics.registry import MetricChoice
from ftops.metrics.requirement import Requirement
from ftops.metrics.result import Comparison, MetricResult
from ftops.records import render_refused

SEED = 42


@dataclass(frozen=True, slots=True)
class Candidate:
    """Who answered, and what. Token counts are `estimated` where ftops counted them itself."""

    name: str
    kind: CandidateKind
    answers: Sequence[Prediction]
    model: str | None = None
    provider: str | None = None
    prices: Prices | None = None
    estimated: bool = False
    refused_parameters: Mapping[str, str | None] = field(default_factory=dict)


def score_candidate(
    candidate: Candidate,
    metrics: Sequence[Metric],
    *,
    labels: Sequence[str] = (),
    seed: int = SEED,
) -> CandidateScore:
    """The figures of one candidate alone. `labels` are classes, beside those that rows expect."""
    samples = [metric.measure(candidate.answers) for metric in metrics]
    return _score(candidate, metrics, samples, _resample_alone(samples, seed), labels)


def _resample_alone(samples: Sequence[MetricSample], seed: int) -> list[Floats]:
    return [resample([sample], seed=seed)[0] for sample in samples]


def evaluate(
    file: str,
    candidates: Sequence[Candidate],
    metrics: Sequence[Metric],
    *,
    file_sha256: str = "",
    labels: Sequence[str] = (),
    primary_metric: str | None = None,
    training_usd: float | None = None,
    requirements: Sequence[Requirement] = (),
    skipped: Sequence[SkippedCandidate] = (),
    overlap_lines: Collection[int] | None = None,
    seed: int = SEED,
) -> Evaluation:
    """Score all candidates, compare the first with each other one, and judge requirements.

    All have answered the same rows in the same order (else ValueError), of which those on
    `overlap_lines` are training rows (None: nobody looked). The first candidate is the tuned one
    where there is one. `primary_metric` is a metric's name, the first one's unless said. The same
    answers and seed give the same figures.
    """
    if not candidates or not metrics:
        raise ValueError("an evaluation needs a candidate and a metric")
    primary_metric = primary_metric or metrics[0].name
    _check_names([one.name for one in candidates], [one.name for one in metrics], primary_metric)
    check_rows([(one.name, one.answers) for one in candidates])
    ordered = sorted(candidates, key=lambda one: one.kind is not CandidateKind.TUNED)
    samples = [[metric.measure(one.answers) for metric in metrics] for one in ordered]
    # Each candidate has resamples of its own: its intervals do not depend on the others.
    scores = [
        _score(one, metrics, measured, _resample_alone(measured, seed), labels)
        for one, measured in zip(ordered, samples, strict=True)
    ]
    pairs = _choose_pairs(scores, primary_metric, requirements)
    sides: dict[tuple[str, str], ComparisonSide] = {}
    for at, metric in enumerate(metrics):
        if any(metric.name == compared for _, compared in pairs):
            column = [measured[at] for measured in samples]
            drawn = resample(column, seed=seed)  # of the same rows, so that differences are paired
            for score, sample, resampled in zip(scores, column, drawn, strict=True):
                sides[score.name, metric.name] = ComparisonSide(score.name, sample, resampled)
    comparisons = _compare(scores[0].name, pairs, metrics, sides)
    rows = len(ordered[0].answers)
    return Evaluation(
        file=file,
        rows=rows,
        primary_metric=primary_metric,
        candidates=tuple(scores),
        file_sha256=file_sha256,
        overlap_rows=_count_overlap(ordered[0].answers, overlap_lines),
        skipped=tuple(skipped),
        comparisons=comparisons,
        savings=find_savings(scores[0], scores[1:], training_usd=training_usd),
        requirements=check_requirements(requirements, scores[0], scores[1:], comparisons),
        notes=_note(ordered, scores, comparisons, primary_metric, overlap_lines),
    )


def _check_names(candidates: Sequence[str], metrics: Sequence[str], primary_metric: str) -> None:
    for names, what in ((candidates, "candidates"), (metrics, "metrics")):
        twice = sorted({one for one in names if names.count(one) > 1})
        if twice:
            raise ValueError(f"two {what} are called {twice[0]!r}")
    if primary_metric not in metrics:
        raise ValueError(f"the primary_metric {primary_metric!r} is none of {', '.join(metrics)}")


def _score(
    candidate: Candidate,
    metrics: Sequence[Metric],
    samples: Sequence[MetricSample],
    draws: Sequence[Floats],
    labels: Sequence[str],
) -> CandidateScore:
    answers = candidate.answers
    known, cells = place_in_matrix(answers, labels)
    confusion = count_confusion(cells, known) if known else None
    problems = count_problems(answers)
    outside = sum(line[-1] for line in confusion.counts) if confusion else 0
    outside -= problems.get(Problem.FAILED, 0) if confusion else 0  # these gave no answer
    figures: dict[str, MetricResult] = {}
    notes: list[str] = []
    for metric, sample, drawn in zip(metrics, samples, draws, strict=True):
        if sample.rows or candidate.kind not in SIMPLE:  # a look-up tells no chances, say
            notes += [f"{metric.name}: {note}" for note in sample.notes]
        if sample.rows:
            low, high = interval_of(sample, drawn) or (None, None)
            figures[metric.name] = MetricResult(
                sample.value, low, high, sample.rows, sample.unit or metric.unit
            )
    return CandidateScore(
        name=candidate.name,
        kind=candidate.kind,
        rows=len(answers),
        metrics=figures,
        model=candidate.model,
        provider=candidate.provider,
        problems=problems,
        outside=outside,
        classes=count_classes(confusion) if confusion else (),
        confusion=confusion,
        requests=measure_requests(answers, candidate.prices, estimated=candidate.estimated),
        refused_parameters=candidate.refused_parameters,
        notes=tuple(
            collect(
                None if candidate.kind is CandidateKind.MAJORITY else note_constant(answers),
                render_refused(candidate.refused_parameters) or None,
                *note_problems(problems, outside, answers),
                *notes,
            )
        ),
    )


def _choose_pairs(
    scores: Sequence[CandidateScore], primary_metric: str, requirements: Sequence[Requirement]
) -> list[tuple[str, str]]:
    """The candidate and the metric of each comparison: the primary_metric, and what is required."""
    others = scores[1:]
    pairs = [(one.name, primary_metric) for one in others]
    for wanted in requirements:
        found = find_candidate(wanted.over, others) if wanted.over else None
        if found is not None and (found.name, wanted.name) not in pairs:
            pairs.append((found.name, wanted.name))
    return pairs


def _compare(
    first: str,
    pairs: Sequence[tuple[str, str]],
    metrics: Sequence[Metric],
    sides: Mapping[tuple[str, str], ComparisonSide],
) -> tuple[Comparison, ...]:
    by_name = {metric.name: metric for metric in metrics}
    pending = [
        compare(by_name[name], sides[first, name], sides[other, name])
        for other, name in pairs
        if (first, name) in sides
    ]
    return decide_verdicts([item for item in pending if item is not None])


def check_rows(candidates: Sequence[tuple[str, Sequence[Prediction]]]) -> None:
    """ValueError if they are not predictions for the same rows in the same order."""
    name, predictions = candidates[0]
    rows = [(row.line, row.expected) for row in predictions]
    for other, theirs in candidates[1:]:
        if rows != [(row.line, row.expected) for row in theirs]:
            raise ValueError(f"{other!r} and {name!r} did not answer the same rows")


def count_problems(predictions: Sequence[Prediction]) -> dict[str, int]:
    """How many predictions have each problem; an empty one is a problem unless expected."""
    counts: Counter[str] = Counter()
    for row in predictions:
        if row.problem is not None:
            counts[row.problem.value] += 1
        elif not row.predicted.strip() and row.expected.strip():
            counts[Problem.EMPTY.value] += 1
    return {problem.value: counts[problem.value] for problem in Problem if counts[problem.value]}


def _count_overlap(answers: Sequence[Prediction], lines: Collection[int] | None) -> int | None:
    return None if lines is None else sum(one.line in lines for one in answers)


def _note(
    candidates: Sequence[Candidate],
    scores: Sequence[CandidateScore],
    comparisons: Sequence[Comparison],
    primary_metric: str,
    overlap: Collection[int] | None,
) -> tuple[str, ...]:
    rows = len(candidates[0].answers)
    by_name = {one.name: one for one in scores}
    memorised = note_memorised(candidates[0].answers, set(overlap or ()))
    return tuple(
        collect(
            note_overlap(_count_overlap(candidates[0].answers, overlap), rows),
            f"{scores[0].name}: {memorised}" if memorised else None,
            note_few_rows(rows),
            *(
                note_comparison(one, by_name[one.second], primary_metric=primary_metric, rows=rows)
                for one in comparisons
            ),
            note_corrected(comparisons),
            *(f"{score.name}: {note}" for score in scores for note in score.notes),
        )
    )


def choose_default_metrics(
    predictions: Sequence[Prediction], *, labels: Sequence[str] = ()
) -> list[Metric]:
    """Metrics that suit the expected answers, the primary metric first.

    For classes accuracy and F1, with AUROC and calibration error where probabilities are known; for
    texts exact match, F1 of words, and ROUGE-L if its library is installed.
    """
    if labels or find_labels(predictions):
        names = ["accuracy", "f1"]
        if any(row.probabilities for row in predictions):
            names += ["auroc"] if is_installed("sklearn") else []
            names.append("calibration_error")
    else:
        names = ["exact_match", "token_f1", *(["rouge_l"] if is_installed("rapidfuzz") else [])]
    return create_metrics([MetricChoice(name) for name in names], labels=labels)
