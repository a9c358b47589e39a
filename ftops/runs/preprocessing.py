"""How a job's data is prepared: by its `prepare:` section, its plan, and its model's format."""

from dataclasses import replace
from pathlib import Path

from ftops.data.fixes.registry import FIX_PARAMS
from ftops.data.prepare import Recipe, find_row_format, make_recipe
from ftops.data.reading.options import options_from_plan
from ftops.data.secret_scan import check_for_secrets
from ftops.providers.provider import Provider
from ftops.records import DataPlan, Method, RowFormat
from ftops.spec.job_file import LoadedJob, resolve_data
from ftops.spec.model import JobSpec
from ftops.spec.plan_file import read_plan


def draft_plan(spec: JobSpec, job_file: Path) -> DataPlan | None:
    """The plan, read anew; None when the job file names none. SpecError with all its mistakes."""
    if spec.prepare.plan is None:
        return None
    return read_plan(job_file.absolute().parent / spec.prepare.plan, FIX_PARAMS)


def check_data_for_keys(job: LoadedJob) -> None:
    """DatasetError when the first rows of a file that the job sends hold keys or tokens."""
    spec = job.spec
    plan, options = draft_plan(spec, job.path), options_from_plan(spec.prepare.reading)
    for value in (spec.training_file, spec.validation_file, spec.evaluate.file):
        path = resolve_data(job.path, value) if value else None
        if path is not None:
            check_for_secrets(path, options, plan)


def choose_recipe(spec: JobSpec, job_file: Path, provider: Provider) -> Recipe:
    """What the job file's `prepare:` says, for the rows that the model wants.

    A provider that takes either shape gets the data in its own; preferences have only one.
    """
    plan = draft_plan(spec, job_file)
    recipe = make_recipe(spec.prepare, _choose_format(spec, job_file, provider, plan), plan)
    if provider.capabilities.tools:
        return recipe
    return replace(recipe, no_tools=f"the provider {provider.name}")


def _choose_format(
    spec: JobSpec, job_file: Path, provider: Provider, plan: DataPlan | None
) -> RowFormat:
    if Method(spec.method) is Method.DPO:
        return RowFormat.PREFERENCE
    if spec.prepare.row_format:
        return spec.prepare.row_format
    training = resolve_data(job_file, spec.training_file)
    if provider.capabilities.any_row_format and training is not None:
        return find_row_format(training, options_from_plan(spec.prepare.reading), plan)
    return provider.row_format(spec.model)
