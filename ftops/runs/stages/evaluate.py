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
from ftops.runs.stage_context import StageContext, StageResult
from ftops.spec.load import resolve_data
from ftops.stage_results import PreparedData


def evaluate(work: StageContext) -> StageResult:
    """Write the evaluation and all answers; leave the headline in the detail."""
    if reason := _reason_to_skip(work):
        return StageResult(skipped=reason)
    desk, spec = work.desk, work.spec.evaluate
    desk.provider.ensure_ready()
    prepared = PreparedData.from_json(work.get_detail(Stage.PREPARE))
    subject = describe_run(work.run, desk.ledger, desk.home)
    if subject is None:
        raise RunError(f"{work.run.id} has made no model")
    path, source = prepare_rows(work.spec, Path(work.run.job_file), prepared, work.folder)
    leak = check_leak(subject.training, path, source, spec)
    field = Field(
        subject=subject,
        questions=read_questions(path, source, subject.way, spec.max_rows, spec.seed),
        ledger=desk.ledger,
        open_provider=lambda settings: (
            desk.provider if settings == work.run.provider else desk.reach(settings)
        ),
        seed=spec.seed,
    )
    named = make_named_metrics(spec, Path(work.run.job_file).parent, run_code=True)
    interviews = interview_all(
        field,
        spec,
        StoredInterview(
            ResponseCache(desk.home, desk.clock),
            desk.clock,
            desk.tokens.counting,
            make_budget(spec),
            at_once=spec.concurrency,
            sleep=work.sleep,
            on_note=desk.observer.on_note,
        ),
        lambda done, total: desk.observer.on_progress(Stage.EVALUATE, done, total, "rows"),
    )
    evaluation = score_interviews(
        field,
        spec,
        interviews,
        named=named,
        overlap_lines=leak.lines if leak else None,
    )
    write_evaluation(work.folder, evaluation, interviews.answers)
    return StageResult({**describe(evaluation), "source_sha256": _hash_source(work)})


def _reason_to_skip(work: StageContext) -> str | None:
    if work.run.fine_tuned_model is None:
        return "the job named no model"
    named = work.spec.evaluate.file or work.spec.validation_file
    if named is None:
        return "no validation_file and no evaluate.file"
    if resolve_data(Path(work.run.job_file), named) is None:
        return f"{named} lies at the provider; name a local file with evaluate.file"
    return None


def _hash_source(work: StageContext) -> str | None:
    """The content of `evaluate.file`, so that other rows under its name are asked anew."""
    named = work.spec.evaluate.file
    path = resolve_data(Path(work.run.job_file), named) if named else None
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
