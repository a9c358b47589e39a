"""Prepares a job's data with its `prepare:` section, its plan, and its model's format."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ftops.data.fixes.registry import FIX_PARAMS
from ftops.data.prepare import Recipe, get_row_format, make_recipe, prepare_file
from ftops.data.reading.options import options_from_plan
from ftops.data.secret_scan import check_for_secrets
from ftops.data.summary import DataSummary, count_overlap
from ftops.errors import DatasetError
from ftops.evaluation.rows import FindData, TrainingIndex
from ftops.files import sha256_file
from ftops.providers.provider import Provider
from ftops.records import DataPlan, Method, RowFormat
from ftops.run_folder import RunFolder
from ftops.runs.estimate import Estimate, TokenCounter, estimate_training
from ftops.spec.job_file import LoadedJob, resolve_data
from ftops.spec.model import JobSpec
from ftops.spec.plan_file import read_plan
from ftops.stage_results import PreparedData, PreparedFile, Role
from ftops.text import format_count


def load_plan(spec: JobSpec, job_file: Path) -> DataPlan | None:
    """The data plan of the job file; None without one. SpecError lists all its mistakes."""
    if spec.prepare.plan is None:
        return None
    return read_plan(job_file.absolute().parent / spec.prepare.plan, FIX_PARAMS)


def check_data_for_keys(job: LoadedJob) -> None:
    """Raise DatasetError if the first rows of a file to upload contain keys or tokens."""
    spec = job.spec
    plan, options = load_plan(spec, job.path), options_from_plan(spec.prepare.reading)
    for value in (spec.training_file, spec.validation_file, *spec.evaluate.files.values()):
        path = job.find_data(value) if value else None
        if path is not None:
            check_for_secrets(path, options, plan)


@dataclass(frozen=True, slots=True)
class PreparedFileResult:
    """One prepared data file; a file at the provider has no summary."""

    file: PreparedFile
    summary: DataSummary | None = None


@dataclass(frozen=True, slots=True)
class PreparedJob:
    """All data of a job, prepared in one folder."""

    recipe: Recipe
    training: PreparedFileResult
    validation: PreparedFileResult | None

    @property
    def files(self) -> tuple[PreparedFileResult, ...]:
        """The training file and, if there is one, the validation file."""
        return (self.training, self.validation) if self.validation else (self.training,)

    def count_overlap(self) -> int:
        """The number of validation rows that are also training rows, if both files are local."""
        if not (self.training.summary and self.validation and self.validation.summary):
            return 0
        return count_overlap(self.training.summary, self.validation.summary)

    def estimate(self, spec: JobSpec, provider: Provider, tokens: TokenCounter) -> Estimate | None:
        """The estimate of training; None if the data is at the provider."""
        if self.training.summary is None:
            return None
        validation = self.validation.summary if self.validation else None
        path = validation.path if validation else None
        return estimate_training(spec, self.training.summary, provider, tokens, path)

    def to_result(self, estimate: Estimate | None, overlap_rows: int) -> PreparedData:
        """The result that the ledger stores."""
        has_separator = self.recipe.format is RowFormat.COMPLETION
        summary = self.training.summary
        return PreparedData(
            row_format=self.recipe.format,
            separator=self.recipe.separator if has_separator else "",
            stop=self.recipe.stop if has_separator else None,
            training=self.training.file,
            validation=self.validation.file if self.validation else None,
            tokens=estimate.tokens if estimate else None,
            n_epochs=estimate.n_epochs if estimate else None,
            cost_usd=estimate.cost_usd if estimate else None,
            overlap_rows=overlap_rows or None,
            plan=self.recipe.plan,
            classes=(summary.classes or {}) if summary else {},
        )


def create_index(spec: JobSpec, find_data: FindData) -> TrainingIndex | None:
    """An empty index of training rows; None if there are no local rows to evaluate on."""
    evaluated = spec.evaluate.file or spec.validation_file
    if evaluated is None or find_data(evaluated) is None:
        return None
    return TrainingIndex()


def prepare_job(
    spec: JobSpec,
    job_file: Path,
    folder: Path,
    provider: Provider,
    on_file: Callable[[PreparedFileResult], None] = lambda _result: None,
    index: TrainingIndex | None = None,
) -> PreparedJob:
    """Prepare the data files of the job file in `folder`; DatasetError if the data is bad.

    The training rows are added to `index`.
    """
    recipe = choose_recipe(spec, job_file, provider)

    def prepare(role: Role, value: str, index: TrainingIndex | None = None) -> PreparedFileResult:
        source = resolve_data(job_file, value, provider.capabilities.naming)
        result = prepare_data_file(source, role, value, recipe, folder, index)
        on_file(result)
        return result

    training = prepare("train", spec.training_file, index)
    named = spec.validation_file
    return PreparedJob(recipe, training, prepare("validation", named) if named else None)


def prepare_data_file(
    source: Path | None,
    role: Role,
    value: str,
    recipe: Recipe,
    folder: Path,
    index: TrainingIndex | None = None,
) -> PreparedFileResult:
    """Prepare the data file `value` of the job file in `folder`; no `source`: at the provider.

    Its rows are added to `index`.
    """
    file = PreparedFile(role=role, source=value)
    if source is None:
        return PreparedFileResult(replace(file, file_id=value))
    target = folder / file.filename
    summary = prepare_file(source, target, recipe, *([index.add] if index else []))
    file = replace(file, sha256=summary.sha256, bytes=summary.bytes, rows=summary.rows)
    return PreparedFileResult(file, summary)


@dataclass(frozen=True, slots=True)
class FileToUpload:
    """A prepared file in the provider's format.

    `record` has the hash, the size and thus the name of these bytes, `path` is where they are.
    """

    record: PreparedFile
    path: Path


def write_upload(
    file: PreparedFile, folder: RunFolder, provider: Provider, method: Method
) -> FileToUpload:
    """Write a prepared file of the folder in the format of the provider, if that has its own.

    A file at the provider is unchanged. DatasetError names the rows that the format cannot have.
    """
    path = folder.path / file.filename
    if file.file_id is not None:
        return FileToUpload(file, path)
    try:
        written = provider.write_training_file(path, folder.provider_rows, method)
    except DatasetError as error:
        raise DatasetError(f"{file.source}: {error.message}", hint=error.hint) from error
    if written == path:
        return FileToUpload(file, path)
    size = written.stat().st_size
    return FileToUpload(replace(file, sha256=sha256_file(written), bytes=size), written)


def check_rows(job: PreparedJob, provider: Provider) -> None:
    """Raise DatasetError for fewer training or more validation rows than the provider accepts."""
    training, validation, capabilities = job.training, job.validation, provider.capabilities
    if training.summary is not None and training.file.rows < capabilities.min_rows:
        rows, least = format_count(training.file.rows, "row"), capabilities.min_rows
        raise DatasetError(
            f"{training.file.source} has {rows}, and {provider.name} needs {least} or more",
            hint="Add rows; nothing was sent.",
        )
    most = capabilities.max_validation_rows
    if validation is not None and most is not None and validation.file.rows > most:
        rows = format_count(validation.file.rows, "row")
        raise DatasetError(
            f"{validation.file.source} has {rows}, and {provider.name} takes {most:,} or fewer for"
            " validation",
            hint="Take rows out (`ftops data sample` does); nothing was sent.",
        )


def choose_recipe(spec: JobSpec, job_file: Path, provider: Provider) -> Recipe:
    """The recipe for the job file's data, in the row format that the model needs.

    If the provider accepts any format, the data keeps its own; preferences have only one.
    NotFound for a model that the provider lacks for certain.
    """
    provider.check_model(spec.model)
    plan = load_plan(spec, job_file)
    recipe = make_recipe(spec.prepare, _choose_format(spec, job_file, provider, plan), plan)
    if provider.capabilities.trains_tools(spec.model):
        return recipe
    return replace(recipe, no_tools=f"{spec.model} at the provider {provider.name}")


def _choose_format(
    spec: JobSpec, job_file: Path, provider: Provider, plan: DataPlan | None
) -> RowFormat:
    if Method(spec.method) is Method.DPO:
        return RowFormat.PREFERENCE
    if spec.prepare.row_format:
        return spec.prepare.row_format
    training = resolve_data(job_file, spec.training_file, provider.capabilities.naming)
    if provider.capabilities.any_row_format and training is not None:
        return get_row_format(training, options_from_plan(spec.prepare.reading), plan)
    return provider.row_format(spec.model)
