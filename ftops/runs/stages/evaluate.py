"""The model that the job made, and others, answer rows whose answers are known."""

from pathlib import Path

from ftops.errors import RunError
from ftops.evaluation.asking_models import StoredInterview, make_budget
from ftops.evaluation.candidates import Field
from ftops.evaluation.evaluating import interview_all
from ftops.evaluation.questions import read_questions
from ftops.evaluation.result import Evaluation
from ftops.evaluation.rows import check_leak, prepare_rows
from ftops.evaluation.scores import make_named_metrics, score_interviews
from ftops.evaluation.storage import write_evaluation
from ftops.evaluation.subject import describe_run
from ftops.files import measure_path
from ftops.inference.cache import ResponseCache
from ftops.records import Json, Stage
from ftops.runs.context import StageContext, StageResult
from ftops.spec.job_file import resolve_data
from ftops.stage_results import PreparedData


def evaluate(stage: StageContext) -> StageResult:
    """Write the evaluation and all answers; leave the headline in the detail."""
    if reason := _reason_to_skip(stage):
        return StageResult(skipped=reason)
    context, spec = stage.context, stage.spec.evaluate
    context.provider.ensure_ready()
    prepared = PreparedData.from_json(stage.get_detail(Stage.PREPARE))
    subject = describe_run(stage.run, context.ledger, context.home)
    if subject is None:
        raise RunError(f"{stage.run.id} has made no model")
    path, source = prepare_rows(stage.spec, Path(stage.run.job_file), prepared, stage.folder)
    leak = check_leak(subject.training, path, source, spec)
    field = Field(
        subject=subject,
        questions=read_questions(path, source, subject.way, spec.max_rows, spec.seed),
        ledger=context.ledger,
        open_provider=lambda settings: (
            context.provider if settings == stage.run.provider else context.open_provider(settings)
        ),
        seed=spec.seed,
    )
    named = make_named_metrics(spec, Path(stage.run.job_file).parent, run_code=True)
    interviews = interview_all(
        field,
        spec,
        StoredInterview(
            ResponseCache(context.home, context.clock),
            context.clock,
            context.tokens.counting,
            make_budget(spec),
            concurrency=spec.concurrency,
            sleep=stage.sleep,
            on_note=context.observer.on_note,
        ),
        lambda done, total: context.observer.on_progress(Stage.EVALUATE, done, total, "rows"),
    )
    evaluation = score_interviews(
        field,
        spec,
        interviews,
        named=named,
        overlap_lines=leak.lines if leak else None,
    )
    write_evaluation(stage.folder, evaluation, interviews.answers)
    return StageResult({**describe(evaluation), "source_sha256": _hash_source(stage)})


def _reason_to_skip(stage: StageContext) -> str | None:
    if stage.run.fine_tuned_model is None:
        return "the job named no model"
    named = stage.spec.evaluate.file or stage.spec.validation_file
    if named is None:
        return "no validation_file and no evaluate.file"
    if resolve_data(Path(stage.run.job_file), named) is None:
        return f"{named} lies at the provider; name a local file with evaluate.file"
    return None


def _hash_source(stage: StageContext) -> str | None:
    """The content of `evaluate.file`, so that other rows under its name are asked anew."""
    named = stage.spec.evaluate.file
    path = resolve_data(Path(stage.run.job_file), named) if named else None
    return None if path is None else measure_path(path)[1]


def describe(evaluation: Evaluation) -> dict[str, Json]:
    """The figures of an evaluation that stand in the ledger."""
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
        "accuracy": accuracy.value if accuracy else None,
        "others": others,
        "skipped": [one.name for one in evaluation.skipped],
        "missed": missed,
    }
