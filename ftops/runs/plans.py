"""The plan that a job file names for its data, and the keys that are left in the data after it."""

from pathlib import Path

from ftops.data.fixes.registry import FIX_PARAMS
from ftops.data.reading.options import options_from_plan
from ftops.data.secret_scan import check_for_secrets
from ftops.records import DataPlan
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
