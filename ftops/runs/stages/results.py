"""Downloads the results file of the job, or else its metrics, and stores them unchanged.

The ledger records its last values and the available checkpoints. Both are optional: a run succeeds
without them.
"""

from collections.abc import Sequence
from dataclasses import replace

from ftops.errors import (
    InvalidResponse,
    NotFound,
    PermissionRefused,
    ProviderError,
    Rejected,
    RunError,
    Unavailable,
)
from ftops.files import write_atomic
from ftops.records import Checkpoint
from ftops.reports.results import HEADERS, ResultRow, parse_results
from ftops.runs.context import StageContext, StageResult
from ftops.runs.poll import schedule_polls
from ftops.stage_results import TrainingSummary

_PAUSES_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)  # the file may appear shortly after the success
_CUT_PAUSES_S = (1.0, 4.0)
# Errors of a server without the file or the endpoint.
_NOT_THERE = (NotFound, Rejected, PermissionRefused, InvalidResponse, Unavailable)


def results(stage: StageContext) -> StageResult:
    """Store the results file; the result is a `TrainingSummary`."""
    fetched = _fetch(stage)
    if not isinstance(fetched, tuple):
        reason = "the provider has no results file for this job"
        if fetched is not None:
            reason += f" ({fetched.message})"
        stage.observer.on_note(reason)
        return StageResult(skipped=reason)
    file_id, content = fetched
    path = stage.folder.results
    write_atomic(path, content)
    result = TrainingSummary(file_id, len(content), checkpoints=_list_checkpoints(stage))
    try:
        rows = parse_results(content)
    except InvalidResponse as error:
        stage.observer.on_note(f"{path} is kept unchanged, but cannot be read: {error.message}")
        return StageResult(replace(result, error=error.message).to_json())
    step = rows[-1].step if rows else None
    result = replace(result, rows=len(rows), step=step, metrics=_list_last_values(rows))
    return StageResult(result.to_json())


def _fetch(stage: StageContext) -> tuple[str, bytes] | ProviderError | None:
    """The file's id and content; the last error, or None, if there is no file.

    Metrics that the provider has in no file have no id.
    """
    job_id = stage.run.job_id
    refusal: ProviderError | None = None
    if job_id is None:
        raise RunError(f"{stage.run.id} has no job whose results could be fetched")
    for _ in schedule_polls(stage.clock, _PAUSES_S, sleep=stage.sleep):
        try:
            job = stage.provider.get_job(job_id)
        except NotFound as error:  # some servers delete a job that has ended
            refusal = error
            continue
        try:
            for file_id in job.result_files[:1]:
                return file_id, _read_whole(stage, file_id)
            if content := stage.provider.read_training_metrics(job):
                return "", content
        except _NOT_THERE as error:
            refusal = error
    return refusal


def _list_checkpoints(stage: StageContext) -> tuple[Checkpoint, ...]:
    """The job's checkpoints; none for a provider without this endpoint."""
    try:
        return tuple(stage.provider.list_checkpoints(stage.run.job_id or ""))
    except _NOT_THERE:
        return ()


def _read_whole(stage: StageContext, file_id: str) -> bytes:
    """The file's content, whose size is checked because a truncated table is still valid CSV.

    A file that stays smaller than the provider reports is accepted.
    """
    provider = stage.provider
    size, content = provider.get_file(file_id).bytes, b""
    for _ in schedule_polls(stage.clock, _CUT_PAUSES_S, sleep=stage.sleep):
        content = provider.read_file(file_id)
        if len(content) >= size:
            return content
    stage.observer.on_note(f"{file_id} has {size} bytes, of which {len(content)} were received")
    return content


def _list_last_values(rows: Sequence[ResultRow]) -> dict[str, float]:
    last: dict[str, float] = {}
    for row in rows:
        values = {_get_name(field): getattr(row, field) for field in HEADERS} | dict(row.extra)
        last.update({name: value for name, value in values.items() if value is not None})
    return last


def _get_name(field: str) -> str:
    """The name of a column in the result: a short name for accuracies, else the column's."""
    return field if field.endswith(("train_accuracy", "valid_accuracy")) else HEADERS[field][0]
