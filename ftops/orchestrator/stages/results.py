"""The results file of the job is fetched and kept as it came; its last figures go to the ledger."""

from collections.abc import Sequence

from ftops.errors import BadAnswer, NotFound, RunError
from ftops.files import write_atomic
from ftops.orchestrator.work import Outcome, Work
from ftops.records import Json
from ftops.reporting.results import ResultRow, parse_results

FILENAME = "results.csv"
_PAUSES_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)  # the file may come a little after the success


def results(work: Work) -> Outcome:
    """Leave the last figures of the training in the detail, with the file's id and size."""
    found = _fetch(work)
    if found is None:
        reason = "the provider has no results file for this job"
        work.desk.observer.noted(reason)
        return Outcome(skipped=reason)
    file_id, content = found
    write_atomic(work.folder / FILENAME, content)
    file: Json = {"id": file_id, "bytes": len(content)}
    try:
        rows = parse_results(content)
    except BadAnswer as error:
        work.desk.observer.noted(
            f"{work.folder / FILENAME} is kept as it came, but cannot be read: {error.message}"
        )
        return Outcome({"unreadable": error.message, "file": file})
    return Outcome({"rows": len(rows), **_last_figures(rows), "file": file})


def _fetch(work: Work) -> tuple[str, bytes] | None:
    job_id = work.run.job_id
    if job_id is None:
        raise RunError(f"{work.run.id} has no job whose results could be fetched")
    for pause_s in (*_PAUSES_S, None):
        job = work.desk.provider.get_job(job_id)
        if job.result_files:
            try:
                return job.result_files[0], work.desk.provider.read_file(job.result_files[0])
            except NotFound:
                pass
        if pause_s is not None:
            work.sleep(pause_s)
    return None


def _last_figures(rows: Sequence[ResultRow]) -> dict[str, Json]:
    """The last step, and the last value of each column that has one."""
    figures: dict[str, Json] = {"step": rows[-1].step} if rows else {}
    for row in rows:
        named = {
            "train_loss": row.train_loss,
            "train_accuracy": row.train_accuracy,
            "valid_loss": row.valid_loss,
            "valid_accuracy": row.valid_accuracy,
            **row.extra,
        }
        figures.update({name: value for name, value in named.items() if value is not None})
    return figures
