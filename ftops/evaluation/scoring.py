"""Scores the predictions of all candidates: metrics, comparisons and notes."""

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from statistics import NormalDist

from ftops.errors import SpecError
from ftops.evaluation.requirements import check_requirements, find_candidate
from ftops.evaluation.result import (
    FREE_KINDS,
    CandidateKind,
    CandidateScore,
    Evaluation,
    Note,
    NoteKind,
    RequirementResult,
    SkippedCandidate,
)
from ftops.evaluation.text import format_interval
from ftops.evaluation.usage import list_savings, measure_requests
from ftops.inference.budget import Prices
from ftops.metrics.bootstrap import interval_of, resample
from ftops.metrics.classification import (
    count_classes,
    count_confusion,
    list_labels,
    place_in_matrix,
)
from ftops.metrics.comparison import (
    ALPHA,
    ComparisonSide,
    PendingComparison,
    compare,
    decide_verdicts,
)
from ftops.metrics.metric import Floats, Metric, MetricSample, create_metrics
from ftops.metrics.optional_imports import is_installed
from ftops.metrics.prediction import Prediction, Problem
from ftops.metrics.python_function import FunctionMetric
from ftops.metrics.registry import JUDGE, METRICS, MetricChoice
from ftops.metrics.requirement import Requirement
from ftops.metrics.result import Comparison, MetricResult
from ftops.metrics.row_worker import read_json
from ftops.records import render_refused
from ftops.spec.evaluate import EvaluateSpec
from ftops.spec.metrics import to_choice

SEED = 42
_CONSTANT_SHARE = 0.95  # of equal predictions, if at most half as many rows expect them
_FEW_ROWS = 30  # fewer rows give wide intervals
_MAX_LINES = 3  # line numbers in a note about rows with a problem


@dataclass(frozen=True, slots=True)
class CandidatePredictions:
    """The predictions of a candidate. Token counts are `estimated` if ftops counted them."""

    name: str
    kind: CandidateKind
    predictions: Sequence[Prediction]
    model: str | None = None
    provider: str | None = None
    prices: Prices | None = None
    estimated: bool = False
    refused_parameters: Mapping[str, str | None] = field(default_factory=dict)
    system_fingerprints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ScoringOptions:
    """Options of the scoring.

    `labels` are classes in addition to the expected ones. `primary_metric` defaults to the first
    metric. The rows on `overlap_lines` are training rows; None if these are not known. `slices` has
    the rows of each slice, as indexes into the predictions, by field and value.
    """

    file_sha256: str = ""
    labels: Sequence[str] = ()
    primary_metric: str | None = None
    training_usd: float | None = None
    requirements: Sequence[Requirement] = ()
    skipped: Sequence[SkippedCandidate] = ()
    overlap_lines: Collection[int] | None = None
    seed: int = SEED
    slices: Mapping[str, Mapping[str, Sequence[int]]] = field(default_factory=dict)


def score_candidate(
    candidate: CandidatePredictions,
    metrics: Sequence[Metric],
    *,
    labels: Sequence[str] = (),
    seed: int = SEED,
) -> tuple[CandidateScore, list[Note]]:
    """The results of one candidate, and the notes about them."""
    samples = [metric.measure(candidate.predictions) for metric in metrics]
    return _score(candidate, metrics, samples, _resample_alone(samples, seed), labels)


def _resample_alone(samples: Sequence[MetricSample], seed: int) -> list[Floats]:
    return [resample([sample], seed=seed)[0] for sample in samples]


def evaluate(
    file: str,
    candidates: Sequence[CandidatePredictions],
    metrics: Sequence[Metric],
    options: ScoringOptions | None = None,
) -> Evaluation:
    """Score all candidates, compare the first with all others, and check requirements.

    All candidates must have predictions for the same rows in the same order (else ValueError). The
    tuned model is first if there is one. The result is deterministic for a given seed.
    """
    options = options or ScoringOptions()
    if not candidates or not metrics:
        raise ValueError("an evaluation needs a candidate and a metric")
    primary = options.primary_metric or metrics[0].name
    _check_names(
        [candidate.name for candidate in candidates], [metric.name for metric in metrics], primary
    )
    check_rows([(candidate.name, candidate.predictions) for candidate in candidates])
    ordered = sorted(candidates, key=lambda candidate: candidate.kind is not CandidateKind.TUNED)
    whole = [item for item in options.requirements if item.field is None]
    measured = _measure(ordered, metrics, options, primary, whole)
    scores = measured.scores
    comparisons = decide_verdicts(measured.pending)
    first = ordered[0].predictions
    overlap_rows = None
    if options.overlap_lines is not None:
        overlap_rows = sum(row.line in options.overlap_lines for row in first)
    parts, slice_requirements = _evaluate_slices(file, ordered, metrics, options, primary)
    return Evaluation(
        file=file,
        rows=len(first),
        primary_metric=primary,
        candidates=tuple(scores),
        file_sha256=options.file_sha256,
        overlap_rows=overlap_rows,
        skipped=tuple(options.skipped),
        comparisons=comparisons,
        savings=list_savings(scores[0], scores[1:], training_usd=options.training_usd),
        requirements=(
            *check_requirements(whole, scores[0], scores[1:], comparisons),
            *slice_requirements,
        ),
        notes=(*_list_notes(ordered[0], options.overlap_lines, comparisons), *measured.notes),
        parts=parts,
    )


@dataclass(frozen=True, slots=True)
class _Measured:
    """The scores of all candidates on the same rows, and the comparisons without verdicts."""

    scores: Sequence[CandidateScore]
    notes: Sequence[Note]
    pending: Sequence[PendingComparison]


def _measure(
    candidates: Sequence[CandidatePredictions],
    metrics: Sequence[Metric],
    options: ScoringOptions,
    primary: str,
    requirements: Sequence[Requirement],
) -> _Measured:
    samples = [
        [metric.measure(candidate.predictions) for metric in metrics] for candidate in candidates
    ]
    # Each candidate is resampled separately, so its intervals do not depend on the others.
    scored = [
        _score(
            candidate, metrics, measured, _resample_alone(measured, options.seed), options.labels
        )
        for candidate, measured in zip(candidates, samples, strict=True)
    ]
    scores = [score for score, _ in scored]
    pairs = _choose_pairs(scores, primary, requirements)
    pending = _compare_pairs(scores, metrics, samples, pairs, options.seed)
    return _Measured(scores, [note for _, notes in scored for note in notes], pending)


def _evaluate_slices(
    file: str,
    candidates: Sequence[CandidatePredictions],
    metrics: Sequence[Metric],
    options: ScoringOptions,
    primary: str,
) -> tuple[tuple[Evaluation, ...], list[RequirementResult]]:
    """Each slice as a part, and the requirements on slices.

    The p-values of all slices are corrected together.
    """
    measured: list[tuple[str, str, list[CandidatePredictions], _Measured]] = []
    for name, slices in options.slices.items():
        required = [item for item in options.requirements if item.field == name]
        for value, rows in slices.items():
            sliced = [
                replace(candidate, predictions=[candidate.predictions[row] for row in rows])
                for candidate in candidates
            ]
            label = f"{name}={value}"
            result = _measure(sliced, metrics, options, primary, required)
            measured.append((name, label, sliced, result))
    decided = iter(decide_verdicts([item for *_, part in measured for item in part.pending]))
    parts, results = [], []
    for name, label, sliced, part in measured:
        comparisons = tuple(islice(decided, len(part.pending)))
        scores = [replace(score, classes=(), confusion=None) for score in part.scores]
        for requirement in options.requirements:
            if requirement.field == name:
                (checked,) = check_requirements([requirement], scores[0], scores[1:], comparisons)
                results.append(_describe_slice(checked, requirement, label, scores[0]))
        parts.append(
            Evaluation(
                file=file,
                rows=len(sliced[0].predictions),
                primary_metric=primary,
                candidates=tuple(scores),
                comparisons=comparisons,
                notes=tuple(_list_notes(sliced[0], None, comparisons)),
                name=label,
            )
        )
    return tuple(parts), results


def _describe_slice(
    checked: RequirementResult, requirement: Requirement, label: str, score: CandidateScore
) -> RequirementResult:
    """The result with the name of the slice, and whether its rows are too few to tell."""
    result, reason = score.metrics.get(requirement.name), checked.reason
    if (
        requirement.over is None
        and result is not None
        and result.low is not None
        and result.high is not None
        and result.low <= requirement.bound <= result.high
    ):
        reason = f"too few rows to tell: {result.rows:,}, 95 % interval {format_interval(result)}"
    return replace(checked, text=f"{checked.text} ({label})", reason=reason)


def check_rows(candidates: Sequence[tuple[str, Sequence[Prediction]]]) -> None:
    """Raise ValueError unless the predictions are for the same rows in the same order."""
    name, predictions = candidates[0]
    rows = [(row.line, row.expected) for row in predictions]
    for other, theirs in candidates[1:]:
        if rows != [(row.line, row.expected) for row in theirs]:
            raise ValueError(f"{other!r} and {name!r} did not answer the same rows")


def _check_names(candidates: Sequence[str], metrics: Sequence[str], primary: str) -> None:
    for names, kind in ((candidates, "candidates"), (metrics, "metrics")):
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"two {kind} are called {repeated[0]!r}")
    if primary not in metrics:
        raise ValueError(f"the primary metric {primary!r} is none of {', '.join(metrics)}")


def _score(
    candidate: CandidatePredictions,
    metrics: Sequence[Metric],
    samples: Sequence[MetricSample],
    draws: Sequence[Floats],
    labels: Sequence[str],
) -> tuple[CandidateScore, list[Note]]:
    predictions = candidate.predictions
    known, cells = place_in_matrix(predictions, labels)
    confusion = count_confusion(cells, known) if known else None
    problems = count_problems(predictions)
    outside = 0
    if confusion:  # the last column includes failed predictions
        outside = sum(line[-1] for line in confusion.counts) - problems.get(Problem.FAILED, 0)
    results: dict[str, MetricResult] = {}
    metric_notes: list[Note] = []
    for metric, sample, drawn in zip(metrics, samples, draws, strict=True):
        if sample.rows or candidate.kind not in FREE_KINDS:  # e.g. baselines have no probabilities
            metric_notes += [
                Note(NoteKind.METRIC, candidate.name, detail=f"{metric.name}: {text}")
                for text in sample.notes
            ]
        if sample.rows:
            low, high = interval_of(sample, drawn) or (None, None)
            unit = sample.unit or metric.unit
            results[metric.name] = MetricResult(sample.value, low, high, sample.rows, unit)
    score = CandidateScore(
        name=candidate.name,
        kind=candidate.kind,
        rows=len(predictions),
        metrics=results,
        model=candidate.model,
        provider=candidate.provider,
        problems=problems,
        outside=outside,
        classes=count_classes(confusion) if confusion else (),
        confusion=confusion,
        requests=measure_requests(predictions, candidate.prices, estimated=candidate.estimated),
        refused_parameters=candidate.refused_parameters,
        system_fingerprints=candidate.system_fingerprints,
    )
    return score, [*_list_candidate_notes(candidate, score), *metric_notes]


def count_problems(predictions: Sequence[Prediction]) -> dict[str, int]:
    """The number of predictions by problem; an empty one is a problem unless expected."""
    counts: Counter[str] = Counter()
    for row in predictions:
        if row.problem is not None:
            counts[row.problem.value] += 1
        elif not row.predicted.strip() and row.expected.strip():
            counts[Problem.EMPTY.value] += 1
    return {problem.value: counts[problem.value] for problem in Problem if counts[problem.value]}


def _choose_pairs(
    scores: Sequence[CandidateScore], primary: str, requirements: Sequence[Requirement]
) -> list[tuple[str, str]]:
    """Candidate and metric of each comparison: the primary metric and required metrics."""
    others = scores[1:]
    pairs = [(score.name, primary) for score in others]
    for requirement in requirements:
        other = find_candidate(requirement.over, others) if requirement.over else None
        if other is not None and (other.name, requirement.name) not in pairs:
            pairs.append((other.name, requirement.name))
    return pairs


def _compare_pairs(
    scores: Sequence[CandidateScore],
    metrics: Sequence[Metric],
    samples: Sequence[Sequence[MetricSample]],
    pairs: Sequence[tuple[str, str]],
    seed: int,
) -> list[PendingComparison]:
    """Compare the first candidate with others by paired resamples of the same rows."""
    compared = {name for _, name in pairs}
    by_name = {metric.name: metric for metric in metrics if metric.name in compared}
    sides: dict[tuple[str, str], ComparisonSide] = {}
    for at, metric in enumerate(metrics):
        if metric.name in by_name:
            column = [measured[at] for measured in samples]
            drawn = resample(column, seed=seed)
            for score, sample, draws in zip(scores, column, drawn, strict=True):
                sides[score.name, metric.name] = ComparisonSide(score.name, sample, draws)
    first = scores[0].name
    pending = [
        compare(by_name[name], sides[first, name], sides[other, name])
        for other, name in pairs
        if name in by_name
    ]
    return [item for item in pending if item is not None]


def _list_notes(
    first: CandidatePredictions,
    overlap_lines: Collection[int] | None,
    comparisons: Sequence[Comparison],
) -> Iterator[Note]:
    predictions, lines = first.predictions, set(overlap_lines or ())
    total = len(predictions)
    overlap = sum(row.line in lines for row in predictions)
    if overlap:
        yield Note(NoteKind.LEAK, rows=overlap, total=total)
    shares = _compare_memorized(predictions, lines)
    if shares is not None:
        yield Note(NoteKind.MEMORIZED, first.name, rows=overlap, total=total, shares=shares)
    if total < _FEW_ROWS:
        yield Note(NoteKind.FEW_ROWS, rows=total)
    corrected = [
        f"{comparison.second} ({comparison.metric})"
        for comparison in comparisons
        if comparison.p_corrected is not None
        and comparison.p_value < ALPHA <= comparison.p_corrected
    ]
    if corrected:
        detail = ", ".join(corrected)
        yield Note(NoteKind.CORRECTED, total=len(comparisons), detail=detail)


def _compare_memorized(
    predictions: Sequence[Prediction], lines: Collection[int]
) -> tuple[float, float] | None:
    """The correct shares of training rows and of others, if the former is significantly higher."""
    known = [row.correct for row in predictions if row.line in lines]
    new = [row.correct for row in predictions if row.line not in lines]
    if not known or not new:
        return None
    shares = sum(known) / len(known), sum(new) / len(new)
    whole = (sum(known) + sum(new)) / len(predictions)
    error = math.sqrt(whole * (1 - whole) * (1 / len(known) + 1 / len(new)))
    if not error or (shares[0] - shares[1]) / error < NormalDist().inv_cdf(1 - ALPHA):
        return None
    return shares


def _list_candidate_notes(candidate: CandidatePredictions, score: CandidateScore) -> Iterator[Note]:
    name, predictions = candidate.name, candidate.predictions
    total = len(predictions)
    if candidate.kind is not CandidateKind.MAJORITY:
        yield from _note_constant(name, predictions)
    if candidate.system_fingerprints:
        yield Note(NoteKind.SERVED, name, detail=", ".join(candidate.system_fingerprints))
    if candidate.refused_parameters:
        yield Note(NoteKind.PARAMETERS, name, detail=render_refused(candidate.refused_parameters))
    for problem, rows in score.problems.items():
        affected = [row for row in predictions if row.problem and row.problem.value == problem]
        reason = next((row.note for row in affected if row.note), "")
        yield Note(
            NoteKind.PROBLEM,
            name,
            rows=rows,
            total=total,
            lines=tuple(row.line for row in affected[: _MAX_LINES + 1]),
            detail=reason,
            problem=problem,
        )
    if score.outside:
        yield Note(NoteKind.OUTSIDE, name, rows=score.outside, total=total)


def _note_constant(name: str, predictions: Sequence[Prediction]) -> Iterator[Note]:
    """Note a class collapse: nearly all predictions are the same, but the answers are not."""
    counts = Counter(
        row.predicted_label for row in predictions if row.problem is not Problem.FAILED
    )
    if not counts or len(predictions) < 2:
        return
    label, rows = counts.most_common(1)[0]
    expected = sum(row.expected_label == label for row in predictions)
    if rows >= _CONSTANT_SHARE * counts.total() and expected <= rows / 2:
        yield Note(
            NoteKind.CONSTANT,
            name,
            rows=rows,
            total=counts.total(),
            detail=label,
            expected=expected,
        )


def create_named_metrics(spec: EvaluateSpec, folder: Path, *, run_code: bool) -> list[Metric]:
    """The metrics of the section except judges; their file names are relative to `folder`.

    Raises SpecError or ScoringError for an invalid metric, so call this before anything is sent.
    The files of the user's functions are parsed, and with `run_code` also executed.
    """
    named = [entry for entry in spec.metric_entries if entry.word != JUDGE.name]
    try:
        metrics = create_metrics([to_choice(entry) for entry in named], folder=folder)
    except ValueError as error:
        raise SpecError(f"evaluate.metrics: {error}") from error
    for metric in metrics:
        if run_code and isinstance(metric, FunctionMetric):
            metric.load()
    return metrics


def select_metrics(
    spec: EvaluateSpec,
    predictions: Sequence[Prediction],
    named: Sequence[Metric],
    judges: Sequence[Metric] = (),
    requirements: Sequence[Requirement] = (),
) -> list[Metric]:
    """The metrics of the section in order, or metrics that suit the predictions.

    Required metrics are added.
    """
    metrics = list(named)
    places = [at for at, entry in enumerate(spec.metric_entries) if entry.word == JUDGE.name]
    for at, judge in zip(places, judges, strict=False):
        metrics.insert(at, judge)
    if not spec.metric_entries:
        metrics = choose_default_metrics(predictions)
    names = {metric.name for metric in metrics}
    for name in dict.fromkeys(requirement.name for requirement in requirements):
        if name in METRICS and name not in names and not METRICS[name].needs_settings:
            metrics += create_metrics([MetricChoice(name)])
    return metrics


def choose_default_metrics(
    predictions: Sequence[Prediction], *, labels: Sequence[str] = ()
) -> list[Metric]:
    """Metrics that suit the expected answers, the primary metric first.

    For classes: accuracy and F1, with AUROC and calibration error if probabilities are known. For
    tool calls: exact calls, names and well-formed arguments. For JSON objects: equal fields, exact
    match and valid JSON. For texts: exact match, F1 of words, and ROUGE-L if its library is
    installed.
    """
    if any(row.expected_calls for row in predictions):
        names = ["tool_call_exact", "tool_call_name", "tool_call_valid"]
    elif labels or list_labels(predictions):
        names = ["accuracy", "f1"]
        if any(row.probabilities for row in predictions):
            names += ["auroc"] if is_installed("sklearn") else []
            names.append("calibration_error")
    elif predictions and all(isinstance(read_json(row.expected), dict) for row in predictions):
        names = ["json_fields", "exact_match", "json_valid"]
    else:
        names = ["exact_match", "token_f1", *(["rouge_l"] if is_installed("rapidfuzz") else [])]
    return create_metrics([MetricChoice(name) for name in names], labels=labels)
