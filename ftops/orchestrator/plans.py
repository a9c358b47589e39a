"""The plan that a job file names for its data."""

from pathlib import Path

from ftops.dataset.fixes.catalogue import KNOWN_STEPS
from ftops.records import DataPlan
from ftops.spec.model import JobSpec
from ftops.spec.plan_file import read_plan


def find_plan(spec: JobSpec, job_file: Path) -> DataPlan | None:
    """The plan, read anew; None when the job file names none. SpecError with all its mistakes."""
    if spec.prepare.plan is None:
        return None
    return read_plan(job_file.absolute().parent / spec.prepare.plan, KNOWN_STEPS)
