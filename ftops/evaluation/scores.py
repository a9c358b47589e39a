"""From all answers to the document: which metrics, which requirements, one evaluation."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from ftops.errors import SpecError
from ftops.evaluation.candidates import Field
from ftops.evaluation.evaluating import Interviews
from ftops.evaluation.judging import NAME as JUDGE
from ftops.evaluation.result import Evaluation
from ftops.evaluation.scoring import Candidate, choose_default_metrics, evaluate
from ftops.metrics.metric import Metric, create_metrics
from ftops.metrics.prediction import Prediction
from ftops.metrics.python_function import FunctionMetric
from ftops.metrics.registry import METRICS, MetricChoice
from ftops.metrics.requirement import Requirement, parse_requirement
from ftops.spec.evaluate import EvaluateSpec
from ftops.spec.metrics import to_choice


def score_interviews(
    field: Field,
    spec: EvaluateSpec,
    interviews: Interviews,
    *,
    named: Sequence[Metric],
    overlap_lines: Collection[int] | None,
) -> Evaluation:
    """The evaluation; `named` are the metrics of `make_named_metrics`."""
    wanted = read_requirements(spec)
    ours = interviews.answered[0].answers
    metrics = find_metrics(spec, ours, interviews.judges, wanted, named)
    found = evaluate(
        field.questions.source,
        [
            Candidate(
                one.name,
                one.kind,
                one.answers,
                one.model,
                one.provider,
                one.prices,
                refused_parameters=one.refused_parameters,
            )
            for one in interviews.answered
        ],
        metrics,
        file_sha256=field.questions.sha256,
        training_usd=field.subject.training_usd,
        requirements=wanted,
        skipped=interviews.skipped,
        overlap_lines=overlap_lines,
        seed=spec.seed,
    )
    return replace(found, notes=(*field.questions.notes, *interviews.notes, *found.notes))


def read_requirements(spec: EvaluateSpec) -> list[Requirement]:
    """What must be reached; the job file's check has read each before."""
    return [parse_requirement(name, text) for name, text in spec.requirements.items()]


def make_named_metrics(spec: EvaluateSpec, folder: Path, *, run_code: bool) -> list[Metric]:
    """The metrics that are named, but for judges; files that they name lie below `folder`.

    SpecError or ScoringError for what cannot be measured: call it before a model is asked. The
    user's functions are looked up in their source; with `run_code` their files are loaded too.
    """
    named = [one for one in spec.metric_entries if one.word != JUDGE]
    try:
        metrics = create_metrics([to_choice(one) for one in named], folder=folder)
    except ValueError as error:
        raise SpecError(f"evaluate.metrics: {error}") from error
    for metric in metrics:
        if run_code and isinstance(metric, FunctionMetric):
            metric.load()
    return metrics


def find_metrics(
    spec: EvaluateSpec,
    answers: Sequence[Prediction],
    judges: Sequence[Metric],
    wanted: Sequence[Requirement],
    named: Sequence[Metric],
) -> list[Metric]:
    """The metrics that are named, in their order, else those that suit the answers.

    What is required is measured, too.
    """
    measures = spec.metric_entries
    found = list(named)
    places = [place for place, one in enumerate(measures) if one.word == JUDGE]
    for place, judge in zip(places, judges, strict=False):
        found.insert(place, judge)
    if not measures:
        found = choose_default_metrics(answers)
    names = {one.name for one in found}
    lacking = [one.metric for one in wanted if one.metric in METRICS and one.metric not in names]
    for name in dict.fromkeys(lacking):
        if not METRICS[name].needs_settings:
            found += create_metrics([MetricChoice(name)])
    return found
