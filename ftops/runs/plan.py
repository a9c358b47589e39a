"""Which stages are left. Pure: from the records of a run to an answer."""

from collections.abc import Sequence

from ftops.records import Stage, StageRecord
from ftops.runs.states import DONE

_ORDER = tuple(Stage)
# What reads the prepared files. The create stage and those after it live on what was uploaded.
_NEED_FILES = frozenset({Stage.UPLOAD, Stage.EVALUATE})


def plan(
    records: Sequence[StageRecord], *, has_prepared_files: bool, has_job: bool = False
) -> tuple[Stage, ...]:
    """The stages still to be done, in order.

    Preparing is done once more when its files are gone and a later stage needs them. A run that has
    its job uploads nothing, whatever its records say.
    """
    left = {record.stage for record in records if record.status not in DONE}
    if has_job:
        left.discard(Stage.UPLOAD)
    if left & _NEED_FILES and not has_prepared_files:
        left.add(Stage.PREPARE)
    return tuple(stage for stage in _ORDER if stage in left)


def plan_retry(records: Sequence[StageRecord]) -> tuple[Stage, ...]:
    """The stages that a failed or cancelled run has to do anew.

    All from the one that failed; but never later than the upload, whose files may be gone by now
    (those that are still there are used again).
    """
    undone = [record.stage for record in records if record.status not in DONE]
    first = min([Stage.UPLOAD, *undone], key=_ORDER.index)
    return _ORDER[_ORDER.index(first) :]
