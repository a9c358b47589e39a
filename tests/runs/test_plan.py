"""Which stages are left: a pure function."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftops.records import Stage, StageRecord, StageStatus
from ftops.runs.states import DONE, plan, plan_retry

S, R, F, P, K = "succeeded", "running", "failed", "pending", "skipped"


def records(*statuses: str) -> list[StageRecord]:
    """The six stages with these statuses; the last one given holds for the rest."""
    given = [*statuses, *[statuses[-1]] * (len(Stage) - len(statuses))]
    return [
        StageRecord(stage, StageStatus(status)) for stage, status in zip(Stage, given, strict=True)
    ]


@pytest.mark.parametrize(
    ("statuses", "left"),
    [
        ((P,), "prepare upload create follow results evaluate"),
        ((S, S, R, P), "create follow results evaluate"),
        ((S, F, P), "upload create follow results evaluate"),
        ((S, S, S, S, K, P), "evaluate"),
        ((S, S, S, S, K, S), ""),
    ],
)
def test_what_is_not_done_is_left_in_order(statuses: tuple[str, ...], left: str) -> None:
    assert " ".join(plan(records(*statuses), has_prepared_files=True)) == left


@pytest.mark.parametrize(
    ("statuses", "left"),
    [
        ((S, P), "prepare upload create follow results evaluate"),
        ((S, S, S, P), "prepare follow results evaluate"),
        ((S, S, S, S, S, S), ""),
        ((S, S, S, S, F, S), "results"),
    ],
)
def test_lost_files_are_prepared_again_only_where_they_are_needed(
    statuses: tuple[str, ...], left: str
) -> None:
    assert " ".join(plan(records(*statuses), has_prepared_files=False)) == left


@pytest.mark.parametrize(
    ("statuses", "first"),
    [
        ((F, P), Stage.PREPARE),
        ((S, F, P), Stage.UPLOAD),
        ((S, S, F, P), Stage.UPLOAD),
        ((S, S, S, F, P), Stage.UPLOAD),
        ((S, S, S, P), Stage.UPLOAD),
    ],
)
def test_a_retry_begins_where_it_failed_but_no_later_than_the_upload(
    statuses: tuple[str, ...], first: Stage
) -> None:
    left = plan_retry(records(*statuses))
    assert left[0] is first
    assert left[-1] is Stage.EVALUATE


@given(st.lists(st.sampled_from(list(StageStatus)), min_size=6, max_size=6), st.booleans())
def test_a_plan_holds_all_that_is_undone_and_never_a_done_stage_but_prepare(
    statuses: list[StageStatus], has_files: bool
) -> None:
    rows = records(*statuses)
    left = plan(rows, has_prepared_files=has_files)
    undone = {record.stage for record in rows if record.status not in DONE}
    assert undone <= set(left)
    assert set(left) - undone <= {Stage.PREPARE}
    assert list(left) == [stage for stage in Stage if stage in left]
