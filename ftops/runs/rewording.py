"""The words in which a job file's job was asked for, found again without a ledger."""

import tempfile
from pathlib import Path

from ftops.data.prepare import Recipe
from ftops.records import JobRequest
from ftops.runs.context import StageContext
from ftops.runs.keys import make_remote_name
from ftops.runs.preprocessing import choose_recipe
from ftops.runs.stages.create import build_request
from ftops.runs.stages.prepare import make_file
from ftops.spec.job_file import LoadedJob
from ftops.stage_results import Role


def find_request(job: LoadedJob, stage: StageContext) -> JobRequest | None:
    """What tells the job of this file at its provider.

    Where metadata is kept, that alone does. Elsewhere the data is prepared once more, in a folder
    that is gone afterwards, and its files are looked for by their names; None when they are not
    there, so that no job can have been created with them. DatasetError for data that is bad.
    """
    if stage.provider.capabilities.metadata:
        return JobRequest(job.spec.model, "")
    recipe = choose_recipe(job.spec, job.path, stage.provider)
    training = _find_file(job, stage, "train", job.spec.training_file, recipe)
    if training is None:
        return None
    validation = None
    if job.spec.validation_file:
        validation = _find_file(job, stage, "validation", job.spec.validation_file, recipe)
        if validation is None:
            return None
    return build_request(stage, training_file=training, validation_file=validation)


def _find_file(
    job: LoadedJob, stage: StageContext, role: Role, value: str, recipe: Recipe
) -> str | None:
    """The id of the file at the provider."""
    with tempfile.TemporaryDirectory(prefix="ftops-") as folder:
        made = make_file(job.path, role, value, recipe, Path(folder)).file
    if made.file_id is not None:
        return made.file_id
    there = stage.provider.find_file(make_remote_name(made.sha256, role), made.bytes)
    return there.id if there else None
