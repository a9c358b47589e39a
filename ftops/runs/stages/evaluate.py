"""The stage that evaluates the fine-tuned model and compares it with others."""

from pathlib import Path

from ftops.errors import RunError
from ftops.evaluation.candidates import EvaluationContext, find_evaluated_model
from ftops.evaluation.evaluate import run_evaluation
from ftops.evaluation.inference import ModelClient, create_budget
from ftops.evaluation.result import Evaluation
from ftops.evaluation.rows import check_leak, prepare_rows, read_evaluation_rows
from ftops.evaluation.scoring import create_named_metrics
from ftops.evaluation.storage import write_evaluation
from ftops.files import measure_path
from ftops.inference.cache import ResponseCache
from ftops.providers.provider import deployed
from ftops.records import Json, Stage
from ftops.runs.context import StageContext, StageResult
from ftops.spec.job_file import resolve_data
from ftops.stage_results import PreparedData


def evaluate(stage: StageContext) -> StageResult:
    """Store the evaluation and all predictions; the primary metric goes into the detail."""
    if reason := _reason_to_skip(stage):
        return StageResult(skipped=reason)
    context, spec = stage.context, stage.spec.evaluate
    context.provider.ensure_ready()
    prepared = PreparedData.from_json(stage.get_detail(Stage.PREPARE))
    evaluated = find_evaluated_model(stage.run, context.ledger, context.home)
    if evaluated is None:
        raise RunError(f"{stage.run.id} has made no model")
    path, source = prepare_rows(stage.spec, Path(stage.run.job_file), prepared, stage.folder)
    leak = check_leak(evaluated.training, path, source, spec)
    metrics = create_named_metrics(spec, Path(stage.run.job_file).parent, run_code=True)
    with deployed(context.provider, evaluated.model):
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
            overlap_lines=leak.lines if leak else None,
            on_progress=lambda done, total: context.observer.on_progress(
                Stage.EVALUATE, done, total, "rows"
            ),
        )
    write_evaluation(stage.folder, evaluation, predictions)
    return StageResult({**describe(evaluation), "source_sha256": _hash_source(stage)})


def _reason_to_skip(stage: StageContext) -> str | None:
    if stage.run.fine_tuned_model is None:
        return "the job named no model"
    named = stage.spec.evaluate.file or stage.spec.validation_file
    if named is None:
        return "no validation_file and no evaluate.file"
    if resolve_data(Path(stage.run.job_file), named) is None:
        return f"{named} is a file at the provider; name a local file with evaluate.file"
    return None


def _hash_source(stage: StageContext) -> str | None:
    """The hash of `evaluate.file`, so that a changed file is evaluated again."""
    named = stage.spec.evaluate.file
    path = resolve_data(Path(stage.run.job_file), named) if named else None
    return None if path is None else measure_path(path)[1]


def describe(evaluation: Evaluation) -> dict[str, Json]:
    """The results that are kept in the ledger."""
    tuned = evaluation.candidates[0]
    figure, accuracy = (tuned.metrics.get(name) for name in (evaluation.primary_metric, "accuracy"))
    others: dict[str, Json] = {
        one.name: one.metrics[evaluation.primary_metric].value
        for one in evaluation.candidates[1:]
        if evaluation.primary_metric in one.metrics
    }
    missed: list[Json] = [one.text for one in evaluation.requirements if not one.met]
    return {
        "file": evaluation.file,
        "rows": evaluation.rows,
        "primary_metric": evaluation.primary_metric,
        "value": figure.value if figure else None,
        "low": figure.low if figure else None,
        "high": figure.high if figure else None,
        "unit": figure.unit.value if figure else None,
        "accuracy": accuracy.value if accuracy else None,
        "others": others,
        "skipped": [one.name for one in evaluation.skipped],
        "missed": missed,
    }
