"""What would end an evaluation, told before anything is sent: training would be for nothing."""

from pathlib import Path

from ftops.evaluation.rows import check_leak, prepare_rows
from ftops.spec.model import JobSpec
from ftops.stage_results import PreparedData


def check_evaluation(
    spec: JobSpec, job_file: Path, prepared: PreparedData, folder: Path, *, run_code: bool
) -> None:
    """Refuse metrics that cannot be made, and rows that leak; `folder` has the prepared rows.

    The job file's own functions are loaded only with `run_code`. Where the training data lies at
    the provider, a leak cannot be found.
    """
    if spec.evaluate.metrics:
        # Only here, since it takes its time to import.
        from ftops.evaluation.scores import make_named_metrics

        make_named_metrics(spec.evaluate, job_file.parent, run_code=run_code)
    if not spec.evaluate.refuses_overlap or prepared.training.file_id is not None:
        return
    if spec.evaluate.file is None and prepared.validation is None:
        return
    rows, source = prepare_rows(spec, job_file, prepared, folder)
    check_leak(folder / prepared.training.filename, rows, source, spec.evaluate)
