"""`/v1/fine_tuning/jobs/{job_id}/checkpoints`: the models at the ends of a job's last epochs."""

from typing import Annotated

from fastapi import APIRouter, Query

from ftops.engine.api.engine import TheEngine
from ftops.engine.api.jobs import get_job
from ftops.engine.api.paging import split_page, unknown_after
from ftops.engine.api.wire import CheckpointMetrics, CheckpointObject, FilePage
from ftops.engine.ids import checkpoint_id
from ftops.engine.store import ModelRow

router = APIRouter(prefix="/v1/fine_tuning/jobs", tags=["fine-tuning"])


@router.get("/{job_id}/checkpoints")
def list_checkpoints(
    job_id: str,
    engine: TheEngine,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 10,
) -> FilePage[CheckpointObject]:
    """The checkpoints of a job that has ended, latest first; each can be used as a model.

    A job that failed or was cancelled keeps those that it had come to.
    """
    get_job(job_id, engine)
    rows = engine.store.models.checkpoints(job_id)
    if after is not None:
        places = [place for place, row in enumerate(rows) if _id(row) == after]
        if not places:
            raise unknown_after(after)
        rows = rows[places[0] + 1 :]
    data, has_more = split_page(rows, limit, _checkpoint_object)
    ends = (data[0].id, data[-1].id) if data else (None, None)
    return FilePage(data=data, has_more=has_more, first_id=ends[0], last_id=ends[1])


def _id(row: ModelRow) -> str:
    return checkpoint_id(row.job_id, row.step or 0)


def _checkpoint_object(row: ModelRow) -> CheckpointObject:
    return CheckpointObject(
        id=_id(row),
        created_at=row.created_at,
        fine_tuned_model_checkpoint=row.name,
        fine_tuning_job_id=row.job_id,
        metrics=CheckpointMetrics(step=row.step or 0, **row.metrics),
        step_number=row.step or 0,
    )
