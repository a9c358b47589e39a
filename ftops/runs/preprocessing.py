"""How a job's data is made ready: by its `prepare:`, its plan, and what its model wants."""

from dataclasses import replace
from pathlib import Path

from ftops.data.prepare import Recipe, find_row_format, make_recipe
from ftops.data.reading.options import options_from_plan
from ftops.providers.provider import Provider
from ftops.records import DataPlan, Method, RowFormat
from ftops.runs.plans import draft_plan
from ftops.spec.job_file import resolve_data
from ftops.spec.model import JobSpec


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
