"""Prepares the data: converts it to the model's format, counts tokens, and checks the limits.

Sends nothing. The prepared files are written atomically to the run's folder.
"""

from pathlib import Path

from ftops.errors import DatasetError
from ftops.evaluation.estimate import check_evaluation
from ftops.records import Stage
from ftops.runs.commands import format_run_command
from ftops.runs.context import StageContext, StageResult
from ftops.runs.cost_limits import check_month
from ftops.runs.estimate import Estimate, get_price_advice, list_broken_limits, raise_broken
from ftops.runs.preprocessing import (
    PreparedFileResult,
    PreparedJob,
    check_rows,
    create_index,
    prepare_job,
)
from ftops.stage_results import PreparedData
from ftops.text import format_count


def prepare(stage: StageContext) -> StageResult:
    """Write the prepared files to the run's folder; the result is a `PreparedData`."""
    spec, provider, job_file = stage.spec, stage.provider, Path(stage.run.job_file)

    def report(result: PreparedFileResult) -> None:
        if result.summary:
            rows = result.summary.rows
            stage.observer.on_progress(Stage.PREPARE, rows, rows, "rows")

    index = create_index(spec, stage.find_data)
    job = prepare_job(spec, job_file, stage.folder.path, provider, report, index)
    check_rows(job, provider)
    tokens = stage.context.tokens
    is_untrained = provider.capabilities.is_untrained(spec.model)
    if spec.limits.max_training_tokens is None and is_untrained:
        tokens = tokens.without_engine()  # the engine takes most of a second
    estimate = job.estimate(spec, provider, tokens)
    _check_limits(stage, estimate)
    if estimate and (warning := estimate.describe_long_rows()):
        stage.observer.on_note(warning)
    prepared = job.to_result(estimate, _note_overlap(stage, job))
    _check_unchanged(stage, prepared)
    check_evaluation(
        spec, job_file, stage.find_data, prepared, stage.folder.path, index, run_code=True
    )
    return StageResult(prepared.to_json())


def _check_limits(stage: StageContext, estimate: Estimate | None) -> None:
    """Raise LimitExceeded, with all limits that would be exceeded, if there are any."""
    spec, is_cost_later = stage.spec, stage.provider.capabilities.estimates_cost
    broken = list_broken_limits(spec.limits, estimate, spec.model, is_cost_later=is_cost_later)
    cost_usd = estimate.cost_usd if estimate else None
    broken += check_month(stage, cost_usd, is_cost_later=is_cost_later)
    raise_broken(broken, get_price_advice(spec.limits, estimate))


def _note_overlap(stage: StageContext, job: PreparedJob) -> int:
    rows = job.count_overlap()
    if rows and job.validation:
        stage.observer.on_note(
            f"{format_count(rows, 'row')} of {job.validation.file.source} also in"
            f" {job.training.file.source}: what is measured there says little about new text"
        )
    return rows


def _check_unchanged(stage: StageContext, prepared: PreparedData) -> None:
    """Check that a repeated preparation gives the same bytes, which may have been uploaded."""
    before = stage.read_results().prepare
    if before is None:
        return
    for known, file in (
        (before.training, prepared.training),
        (before.validation, prepared.validation),
    ):
        if known and file and known.sha256 != file.sha256:
            raise DatasetError(
                f"{file.source} has changed since {stage.run.id} was recorded",
                hint=f"{format_run_command(stage.run)} creates another run for the new data.",
            )
