"""Runs an evaluation: candidates predict the same rows, judges and metrics score them."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from ftops.data.baselines import (
    NaiveBayes,
    NearestNeighbour,
    get_majority_label,
)
from ftops.data.profile import are_labels
from ftops.data.regex_template import RegexTemplate
from ftops.errors import AuthFailed, NotFound, PermissionRefused, Rejected
from ftops.evaluation.candidates import (
    Candidate,
    EvaluationContext,
    create_evaluated_candidate,
    list_candidates,
)
from ftops.evaluation.estimate import (
    check_cost,
    estimate_keep,
    estimate_requests,
    open_judge_provider,
)
from ftops.evaluation.inference import (
    ModelClient,
    create_sampling,
    list_fingerprints,
    list_refused_parameters,
    make_predictions,
)
from ftops.evaluation.judge import (
    JUDGE_SAMPLING,
    JudgeScores,
    SendPrompts,
    get_judge_format,
    list_judges,
    run_judge,
)
from ftops.evaluation.prompt_format import PromptFormat
from ftops.evaluation.requirements import check_drop
from ftops.evaluation.result import (
    KEEP,
    CandidateKind,
    Evaluation,
    Note,
    NoteKind,
    SkippedCandidate,
)
from ftops.evaluation.rows import EvaluationRows, TrainingExtract
from ftops.evaluation.scoring import CandidatePredictions, ScoringOptions, evaluate, select_metrics
from ftops.inference.budget import find_prices
from ftops.metrics.metric import Metric, create_metrics
from ftops.metrics.prediction import Prediction
from ftops.metrics.registry import MetricChoice
from ftops.metrics.requirement import parse_requirement
from ftops.providers.provider import Provider
from ftops.records import Prompt
from ftops.rows.tools import read_calls
from ftops.spec.evaluate import EvaluateSpec
from ftops.spec.metrics import JudgeMetric

# Errors that skip a candidate; any other error ends the evaluation, because it may be transient.
_SKIPPING = (AuthFailed, PermissionRefused, NotFound, Rejected)
ReportProgress = Callable[[int, int], None]  # responses so far, total


@dataclass(slots=True)
class _Collected:
    """The predictions of all candidates, the evaluated model first, and the notes."""

    candidates: list[CandidatePredictions] = field(default_factory=list)
    skipped: list[SkippedCandidate] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)


def run_evaluation(
    context: EvaluationContext,
    spec: EvaluateSpec,
    client: ModelClient,
    *,
    metrics: Sequence[Metric],
    training: TrainingExtract | None,
    on_progress: ReportProgress,
) -> tuple[Evaluation, dict[str, Sequence[Prediction]]]:
    """Evaluate all candidates; returns the evaluation and the predictions by candidate name.

    `metrics` come from `create_named_metrics`; `training` is None without training rows. An error
    of the evaluated model is raised; other candidates are skipped if their model cannot be used.
    """
    collected = _collect(context, spec, client, training, on_progress)
    judges = []
    for scores in _run_judges(context, spec, collected.candidates, client):
        judges.append(scores)
        collected.notes += scores.judgements.list_notes(scores.name)
    requirements = [
        parse_requirement(name, text, spec.slices) for name, text in spec.requirements.items()
    ]
    rows = context.rows
    evaluation = evaluate(
        rows.source,
        collected.candidates,
        select_metrics(spec, collected.candidates[0].predictions, metrics, judges, requirements),
        ScoringOptions(
            file_sha256=rows.sha256,
            training_usd=context.evaluated.training_usd,
            requirements=requirements,
            skipped=collected.skipped,
            overlap_lines=training.leak.lines if training else None,
            seed=spec.seed,
            slices={name: rows.group_by(name) for name in spec.slices},
        ),
    )
    sampled = []
    if len(rows.rows) < rows.total:
        sampled = [Note(NoteKind.SAMPLED, rows=len(rows.rows), total=rows.total)]
    notes = (*sampled, *collected.notes, *evaluation.notes)
    evaluation = replace(evaluation, notes=notes)
    predictions = {candidate.name: candidate.predictions for candidate in collected.candidates}
    if context.keep_rows is None or spec.keep is None:
        return evaluation, predictions
    part, kept = _evaluate_keep(context, context.keep_rows, spec, client, on_progress)
    requirement = check_drop(part, spec.keep.max_drop)
    return (
        replace(
            evaluation,
            requirements=(*evaluation.requirements, requirement),
            parts=(*evaluation.parts, part),
        ),
        predictions | {f"{KEEP} {name}": rows for name, rows in kept.items()},
    )


def _evaluate_keep(
    context: EvaluationContext,
    rows: EvaluationRows,
    spec: EvaluateSpec,
    client: ModelClient,
    on_progress: ReportProgress,
) -> tuple[Evaluation, dict[str, Sequence[Prediction]]]:
    """The rows of `evaluate.keep`, answered by the tuned model and by the model before tuning."""
    metric = spec.keep.metric if spec.keep is not None else None
    names = () if metric is None else (metric,)
    evaluation, predictions = run_evaluation(
        replace(context, rows=rows, keep_rows=None),
        EvaluateSpec(against=("base",), metrics=names, precision=spec.precision, seed=context.seed),
        client,
        metrics=create_metrics([MetricChoice(name) for name in names]),
        training=None,
        on_progress=on_progress,
    )
    return replace(evaluation, name=KEEP, savings=()), predictions


def _collect(
    context: EvaluationContext,
    spec: EvaluateSpec,
    client: ModelClient,
    training: TrainingExtract | None,
    on_progress: ReportProgress,
) -> _Collected:
    evaluated = create_evaluated_candidate(context)
    listed = list(list_candidates(context, spec.candidates))
    models = [evaluated, *(item for item in listed if isinstance(item, Candidate))]
    if spec.max_cost_usd is not None:
        requests = estimate_requests(context, spec, models, client.estimate)
        check_cost([*requests, *estimate_keep(context, spec, client.estimate)], spec.max_cost_usd)
    for _, judge in list_judges(spec):  # before predictions are paid for: a key may be missing
        open_judge_provider(context, judge).ensure_ready()
    collected = _Collected(skipped=[item for item in listed if isinstance(item, SkippedCandidate)])
    total = len(models) * len(context.rows.rows)
    on_progress(0, total)
    for number, candidate in enumerate(models):
        before = number * len(context.rows.rows)

        def report(count: int, before: int = before) -> None:
            on_progress(before + count, total)

        try:
            predicted, notes = _predict(context, spec, candidate, client, report)
        except _SKIPPING as error:
            if candidate is evaluated:
                raise
            reason = (
                f"{candidate.model} cannot be used at {candidate.provider.name}: {error.message}"
            )
            collected.skipped.append(SkippedCandidate(candidate.name, reason))
        else:
            collected.candidates.append(predicted)
            collected.notes += notes
    if any(entry.word == "baseline" for entry in spec.candidates):
        for baseline in predict_baselines(training, context.rows):
            if isinstance(baseline, SkippedCandidate):
                collected.skipped.append(baseline)
            else:
                collected.candidates.append(baseline)
    return collected


def _predict(
    context: EvaluationContext,
    spec: EvaluateSpec,
    candidate: Candidate,
    client: ModelClient,
    on_progress: Callable[[int], None],
) -> tuple[CandidatePredictions, list[Note]]:
    max_tokens = spec.max_tokens or context.rows.max_answer_tokens
    results = client.complete(
        candidate.provider,
        candidate.model,
        candidate.prompts,
        create_sampling(spec, candidate, max_tokens),
        on_progress=on_progress,
        newly_trained=candidate.kind is CandidateKind.TUNED,
    )
    predictions, notes = make_predictions(candidate, context.rows.rows, results)
    predicted = CandidatePredictions(
        name=candidate.name,
        kind=candidate.kind,
        predictions=predictions,
        model=candidate.model,
        provider=candidate.provider.name,
        prices=find_prices(candidate.provider.get_model_info(candidate.model)),
        refused_parameters=list_refused_parameters(results),
        system_fingerprints=list_fingerprints(results),
    )
    return predicted, notes


def predict_baselines(
    training: TrainingExtract | None, rows: EvaluationRows
) -> Iterator[CandidatePredictions | SkippedCandidate]:
    """The predictions of the baselines that suit the training rows; no requests."""
    if training is None:
        reason = "the training rows, which it learns from, are not on this machine"
        yield SkippedCandidate("baseline", reason)
        return
    separator, parse = rows.prompt_format.separator, rows.prompt_format.parse
    texts = [example.prompt.removesuffix(separator) for example in training.examples]
    labels = [parse(example.completion) for example in training.examples]
    calls = {
        parse(example.completion): read_calls(example.calling)
        for example in training.examples
        if example.calling
    }
    asked = [row.text for row in rows.rows]
    predicted: dict[CandidateKind, list[str]] = {}
    if are_labels(set(labels), len(labels)):
        predicted[CandidateKind.NAIVE_BAYES] = NaiveBayes(texts, labels).predict(asked)
    else:
        reason = "the training rows have too many different answers to be classes"
        yield SkippedCandidate(CandidateKind.NAIVE_BAYES.value, reason)
    predicted[CandidateKind.NEAREST] = NearestNeighbour(texts, labels).predict(asked)
    with contextlib.suppress(ValueError):  # the answers are not JSON objects
        predicted[CandidateKind.TEMPLATE] = RegexTemplate(texts, labels).predict(asked)
    predicted[CandidateKind.MAJORITY] = [get_majority_label(labels)] * len(asked)
    for kind, answers in predicted.items():
        predictions = [
            Prediction(
                row.line,
                row.prompt,
                row.expected,
                answer,
                expected_calls=row.tool_calls,
                predicted_calls=calls.get(answer, ()),
            )
            for row, answer in zip(rows.rows, answers, strict=True)
        ]
        yield CandidatePredictions(kind.value, kind, predictions)


def _run_judges(
    context: EvaluationContext,
    spec: EvaluateSpec,
    candidates: Sequence[CandidatePredictions],
    client: ModelClient,
) -> Iterator[JudgeScores]:
    predictions = {candidate.name: candidate.predictions for candidate in candidates}
    for name, judge in list_judges(spec):
        refused: dict[str, str | None] = {}
        send = _open_judge(open_judge_provider(context, judge), judge, client, refused)
        judgements = run_judge(judge, predictions, send)
        judgements.refused_parameters = refused
        yield JudgeScores(judgements, name)


def _open_judge(
    provider: Provider, judge: JudgeMetric, client: ModelClient, refused: dict[str, str | None]
) -> SendPrompts:
    """A function that sends prompts to the judge and adds refused parameters to `refused`."""
    prompt_format = get_judge_format(judge, provider)

    def send(prompts: Sequence[Prompt]) -> list[str | None]:
        converted = [prompt_format.convert(prompt, PromptFormat()) for prompt in prompts]
        results = client.complete(
            provider, judge.model, converted, JUDGE_SAMPLING, on_progress=lambda _: None
        )
        refused.update(list_refused_parameters(results))
        return [result.completion.text if result.completion else None for result in results]

    return send
