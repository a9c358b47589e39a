"""The results file of the job is fetched and kept as it came.

Its last figures go to the ledger, and so do the checkpoints that can still be asked. Both are
optional: a server without them does not keep the run from its end.
"""

from collections.abc import Sequence

from ftops.errors import (
    BadAnswer,
    NotFound,
    PermissionRefused,
    ProviderError,
    Rejected,
    RunError,
    Unavailable,
)
from ftops.files import write_atomic
from ftops.records import Json
from ftops.reports.results import HEADERS, ResultRow, parse_results
from ftops.runs.context import StageContext, StageResult

FILENAME = "results.csv"
_PAUSES_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)  # the file may come a little after the success
_CUT_PAUSES_S = (1.0, 4.0)
# What a server answers that does not have the file, or the route.
_NOT_THERE = (NotFound, Rejected, PermissionRefused, BadAnswer, Unavailable)


def results(stage: StageContext) -> StageResult:
    """Leave the last figures of the training in the detail, with the file's id and size."""
    found = _fetch(stage)
    if not isinstance(found, tuple):
        reason = "the provider has no results file for this job"
        if found is not None:
            reason += f" ({found.message})"
        stage.observer.on_note(reason)
        return StageResult(skipped=reason)
    file_id, content = found
    write_atomic(stage.folder / FILENAME, content)
    file: Json = {"id": file_id, "bytes": len(content)}
    checkpoints = _list_checkpoints(stage)
    try:
        rows = parse_results(content)
    except BadAnswer as error:
        stage.observer.on_note(
            f"{stage.folder / FILENAME} is kept as it came, but cannot be read: {error.message}"
        )
        return StageResult({"unreadable": error.message, "file": file} | checkpoints)
    return StageResult({"rows": len(rows), **_last_figures(rows), "file": file} | checkpoints)


def _fetch(stage: StageContext) -> tuple[str, bytes] | ProviderError | None:
    """The file's id and content; the last refusal, or None, when there is no file."""
    job_id = stage.run.job_id
    refusal: ProviderError | None = None
    if job_id is None:
        raise RunError(f"{stage.run.id} has no job whose results could be fetched")
    for pause_s in (*_PAUSES_S, None):
        file_ids: tuple[str, ...] = ()
        try:
            file_ids = stage.provider.get_job(job_id).result_files[:1]
        except NotFound as error:  # some servers forget a job that has ended
            refusal = error
        try:
            for file_id in file_ids:
                return file_id, _read_whole(stage, file_id)
        except _NOT_THERE as error:
            refusal = error
        if pause_s is not None:
            stage.sleep(pause_s)
    return refusal


def _list_checkpoints(stage: StageContext) -> dict[str, Json]:
    """The job's checkpoints for the detail; a provider that knows no such thing has none."""
    try:
        found = stage.provider.list_checkpoints(stage.run.job_id or "")
    except _NOT_THERE:
        return {}
    listed: list[Json] = [
        {"id": one.id, "step": one.step, "model": one.model, "metrics": dict(one.metrics)}
        for one in found
    ]
    return {"checkpoints": listed} if listed else {}


def _read_whole(stage: StageContext, file_id: str) -> bytes:
    """The file's content. A table that was cut reads like one, so its size is looked at.

    A file that stays smaller than the provider says is taken as it is.
    """
    provider = stage.provider
    size, content = provider.get_file(file_id).bytes, provider.read_file(file_id)
    for pause_s in _CUT_PAUSES_S:
        if len(content) >= size:
            return content
        stage.sleep(pause_s)
        content = provider.read_file(file_id)
    if len(content) < size:
        stage.observer.on_note(f"{file_id} has {size} bytes, of which {len(content)} come")
    return content


def _last_figures(rows: Sequence[ResultRow]) -> dict[str, Json]:
    """The last step, and the last value of each column that has one."""
    figures: dict[str, Json] = {"step": rows[-1].step} if rows else {}
    for row in rows:
        named = {_name(field): getattr(row, field) for field in HEADERS} | dict(row.extra)
        figures.update({name: value for name, value in named.items() if value is not None})
    return figures


def _name(field: str) -> str:
    """How the detail calls a figure: the accuracies by short names, the others as the table."""
    return field if field.endswith(("train_accuracy", "valid_accuracy")) else HEADERS[field][0]
