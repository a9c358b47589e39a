"""The stage that evaluates the fine-tuned model and compares it with others."""

from pathlib import Path

from ftops.errors import RunError
from ftops.evaluation.candidates import EvaluationContext, find_evaluated_model
from ftops.evaluation.evaluate import run_evaluation
from ftops.evaluation.inference import ModelClient, create_budget
from ftops.evaluation.prompt_format import PromptFormat
from ftops.evaluation.result import Evaluation, write_evaluation
from ftops.evaluation.rows import (
    EvaluationRows,
    hash_sources,
    load_extract,
    prepare_keep_rows,
    prepare_rows,
    read_evaluation_rows,
)
from ftops.evaluation.scoring import create_named_metrics
from ftops.inference.cache import ResponseCache
from ftops.records import Stage
from ftops.runs.context import StageContext, StageResult
from ftops.runs.deployments import deployed
from ftops.stage_results import EvaluateResult, PreparedData


def evaluate(stage: StageContext) -> StageResult:
    """Store the evaluation and all predictions; the result has the primary metric."""
    if reason := _reason_to_skip(stage):
        return StageResult(skipped=reason)
    context, spec = stage.context, stage.spec.evaluate
    context.provider.ensure_ready()
    prepared = stage.get_prepared()
    evaluated = find_evaluated_model(stage.run, context.ledger, context.home)
    if evaluated is None:
        raise RunError(f"{stage.run.id} has made no model")
    path, source = prepare_rows(stage.spec, stage.find_data, prepared, stage.folder.path)
    training = load_extract(evaluated.training, path)
    if training is not None:
        training.check_leak(source, spec)
    metrics = create_named_metrics(spec, Path(stage.run.job_file).parent, run_code=True)
    with deployed(stage):
        evaluation, predictions = run_evaluation(
            EvaluationContext(
                evaluated=evaluated,
                rows=read_evaluation_rows(
                    path, source, evaluated.prompt_format, spec.max_rows, spec.seed
                ),
                ledger=context.ledger,
                open_provider=lambda settings: (
                    context.provider
                    if settings == stage.run.provider
                    else context.open_provider(settings)
                ),
                seed=spec.seed,
                keep_rows=_read_keep_rows(stage, prepared, evaluated.prompt_format),
            ),
            spec,
            ModelClient(
                ResponseCache(context.home, context.clock),
                context.clock,
                context.tokens.counting,
                create_budget(spec),
                concurrency=spec.concurrency,
                sleep=stage.sleep,
                on_note=context.observer.on_note,
            ),
            metrics=metrics,
            training=training,
            on_progress=lambda done, total: context.observer.on_progress(
                Stage.EVALUATE, done, total, "rows"
            ),
        )
    write_evaluation(stage.folder.path, evaluation, predictions)
    return StageResult(_summarize(evaluation, hash_sources(spec, stage.find_data)).to_json())


def _read_keep_rows(
    stage: StageContext, prepared: PreparedData, prompt_format: PromptFormat
) -> EvaluationRows | None:
    spec = stage.spec.evaluate
    if spec.keep is None:
        return None
    path, source = prepare_keep_rows(
        stage.spec, spec.keep.file, stage.find_data, prepared, stage.folder.path
    )
    return read_evaluation_rows(path, source, prompt_format, spec.max_rows, spec.seed)


def _reason_to_skip(stage: StageContext) -> str | None:
    if stage.run.fine_tuned_model is None:
        return "the job named no model"
    provider, model = stage.provider, stage.spec.model
    if not provider.is_served(model, stage.spec.sections):
        return (
            f"the provider {provider.name!r} does not serve models that are fine-tuned from {model}"
        )
    named = stage.spec.evaluate.file or stage.spec.validation_file
    if named is None:
        return "no validation_file and no evaluate.file"
    if stage.find_data(named) is None:
        return f"{named} is a file at the provider; name a local file with evaluate.file"
    return None


def _summarize(evaluation: Evaluation, source_sha256: str | None) -> EvaluateResult:
    metric = evaluation.primary_metric
    tuned = evaluation.candidates[0].metrics
    primary, accuracy = tuned.get(metric), tuned.get("accuracy")
    return EvaluateResult(
        file=evaluation.file,
        rows=evaluation.rows,
        primary_metric=metric,
        value=primary.value if primary else None,
        low=primary.low if primary else None,
        high=primary.high if primary else None,
        unit=primary.unit.value if primary else None,
        accuracy=accuracy.value if accuracy else None,
        others={
            candidate.name: candidate.metrics[metric].value
            for candidate in evaluation.candidates[1:]
            if metric in candidate.metrics
        },
        skipped=tuple(candidate.name for candidate in evaluation.skipped),
        missed=tuple(
            requirement.text for requirement in evaluation.requirements if not requirement.met
        ),
        source_sha256=source_sha256,
    )
