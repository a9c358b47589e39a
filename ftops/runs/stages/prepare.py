"""The data is read, brought into the shape that the model wants, counted, and held to the limits.

Nothing is sent. The prepared files lie in the run's folder, whole or not at all.
"""

from dataclasses import dataclass
from pathlib import Path

from ftops.data.prepare import Recipe, prepare_file
from ftops.data.summary import DataSummary, count_overlap
from ftops.errors import DatasetError
from ftops.evaluation.estimate import check_evaluation
from ftops.providers.provider import Provider
from ftops.records import RowFormat, Stage
from ftops.runs.commands import format_run_command
from ftops.runs.context import StageContext, StageResult
from ftops.runs.estimate import Estimate, TokenCount, TokenCounter, assume_epochs, check_limits
from ftops.runs.preprocessing import choose_recipe
from ftops.spec.job_file import resolve_data
from ftops.spec.model import JobSpec
from ftops.stage_results import PreparedData, PreparedFile, Role


@dataclass(frozen=True, slots=True)
class PreparedFileResult:
    """What became of one data file; no summary for a file that lies at the provider."""

    file: PreparedFile
    summary: DataSummary | None = None


def prepare(stage: StageContext) -> StageResult:
    """Leave a `PreparedData` in the detail, with the classes where the completions are classes."""
    spec, provider = stage.spec, stage.provider
    recipe = choose_recipe(spec, Path(stage.run.job_file), provider)
    training = _prepare(stage, "train", spec.training_file, recipe)
    validation = (
        _prepare(stage, "validation", spec.validation_file, recipe)
        if spec.validation_file
        else None
    )
    check_rows(training, provider)
    tokens = stage.context.tokens
    if spec.limits.max_training_tokens is None:
        tokens = tokens.without_engine()  # asking it takes most of a second
    estimate = make_estimate(spec, training, provider, tokens)
    check_limits(spec.limits, estimate, spec.model)
    if estimate and (cut := estimate.say_long_rows()):
        stage.observer.on_note(cut)
    overlap_rows = _note_overlap(stage, training, validation) or None
    prepared = make_prepared(recipe, training, validation, estimate, overlap_rows)
    _check_same(stage, prepared)
    check_evaluation(spec, Path(stage.run.job_file), prepared, stage.folder.path, run_code=True)
    return StageResult(prepared.to_json())


def make_file(
    job_file: Path, role: Role, value: str, recipe: Recipe, folder: Path
) -> PreparedFileResult:
    """Prepare the data file that `value` means in the job file, into `folder`."""
    source = resolve_data(job_file, value)
    file = PreparedFile(role=role, source=value)
    if source is None:
        return PreparedFileResult(PreparedFile(role=role, source=value, file_id=value))
    summary = prepare_file(source, folder / file.filename, recipe)
    made = PreparedFile(
        role=role, source=value, sha256=summary.sha256, bytes=summary.bytes, rows=summary.rows
    )
    return PreparedFileResult(made, summary)


def make_prepared(
    recipe: Recipe,
    training: PreparedFileResult,
    validation: PreparedFileResult | None,
    estimate: Estimate | None,
    overlap_rows: int | None,
) -> PreparedData:
    """What the ledger knows of prepared files."""
    completes = recipe.format is RowFormat.COMPLETION
    return PreparedData(
        row_format=recipe.format,
        separator=recipe.separator if completes else "",
        stop=recipe.stop if completes else None,
        training=training.file,
        validation=validation.file if validation else None,
        tokens=estimate.tokens if estimate else None,
        n_epochs=estimate.n_epochs if estimate else None,
        cost_usd=estimate.cost_usd if estimate else None,
        overlap_rows=overlap_rows,
        plan=recipe.plan,
        classes=(training.summary.classes or {}) if training.summary else {},
    )


def make_estimate(
    spec: JobSpec, training: PreparedFileResult, provider: Provider, tokens: TokenCounter
) -> Estimate | None:
    """What training will take; None when the data lies at the provider.

    The prepared file must still be there.
    """
    if training.summary is None:
        return None
    rule = provider.capabilities.auto_epochs
    n_epochs, assumed = assume_epochs(spec.hyperparameters.n_epochs, training.summary.rows, rule)
    counted = tokens.count(training.summary, provider, spec.model)
    if n_epochs is None and spec.hyperparameters.batch_size == "auto":
        n_epochs = counted.n_epochs
    figures = provider.get_model_info(spec.model)
    return Estimate(
        tokens=counted.tokens,
        n_epochs=n_epochs,
        epochs_assumed=assumed,
        price_usd=figures.train_usd,
        method=counted.method,
        error=counted.error,
        price_advice=figures.price_advice,
        long_rows=counted.long_rows,
        row_limit=counted.row_limit,
        batch_size=_assume_batch(spec, training.summary.rows, provider, counted),
    )


def _assume_batch(spec: JobSpec, rows: int, provider: Provider, counted: TokenCount) -> int | None:
    if spec.hyperparameters.batch_size != "auto":
        return None
    rule = provider.capabilities.auto_batch
    return rule.estimate(rows) if rule else counted.batch_size


def check_rows(training: PreparedFileResult, provider: Provider) -> None:
    """DatasetError when the provider would refuse so few rows."""
    least = provider.capabilities.min_rows
    if training.summary is not None and training.file.rows < least:
        rows = "1 row" if training.file.rows == 1 else f"{training.file.rows} rows"
        raise DatasetError(
            f"{training.file.source} has {rows}, and {provider.name} takes {least} or more",
            hint="Add rows; nothing was sent.",
        )


def _prepare(stage: StageContext, role: Role, value: str, recipe: Recipe) -> PreparedFileResult:
    made = make_file(Path(stage.run.job_file), role, value, recipe, stage.folder.path)
    if made.summary:
        rows = made.summary.rows
        stage.observer.on_progress(Stage.PREPARE, rows, rows, "rows")
    return made


def _note_overlap(
    stage: StageContext, training: PreparedFileResult, validation: PreparedFileResult | None
) -> int:
    if training.summary is None or validation is None or validation.summary is None:
        return 0
    rows = count_overlap(training.summary, validation.summary)
    if rows:
        are = "1 row" if rows == 1 else f"{rows} rows"
        stage.observer.on_note(
            f"{are} of {validation.file.source} also in {training.file.source}:"
            " what is measured there says little about new text"
        )
    return rows


def _check_same(stage: StageContext, prepared: PreparedData) -> None:
    """A run that is prepared once more must come to the same bytes: it may have sent them."""
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
                hint=f"{format_run_command(stage.run)} makes a run of its own for the new data.",
            )
