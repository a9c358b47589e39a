"""The remaining stages: a pure function."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftops.records import Stage, StageRecord, StageStatus
from ftops.runs.states import DONE, plan, plan_retry

S, R, F, P, K = "succeeded", "running", "failed", "pending", "skipped"


def records(*statuses: str) -> list[StageRecord]:
    """Records of the seven stages with these statuses; the last status applies to the rest."""
    padded = [*statuses, *[statuses[-1]] * (len(Stage) - len(statuses))]
    return [
        StageRecord(stage, StageStatus(status)) for stage, status in zip(Stage, padded, strict=True)
    ]


@pytest.mark.parametrize(
    ("statuses", "remaining"),
    [
        ((P,), "prepare upload create follow results deploy evaluate"),
        ((S, S, R, P), "create follow results deploy evaluate"),
        ((S, F, P), "upload create follow results deploy evaluate"),
        ((S, S, S, S, K, K, P), "evaluate"),
        ((S, S, S, S, K, S, S), ""),
    ],
)
def test_unfinished_stages_remain_in_order(statuses: tuple[str, ...], remaining: str) -> None:
    assert " ".join(plan(records(*statuses), has_prepared_files=True)) == remaining


@pytest.mark.parametrize(
    ("statuses", "remaining"),
    [
        ((S, P), "prepare upload create follow results deploy evaluate"),
        ((S, S, S, P), "prepare follow results deploy evaluate"),
        ((S, S, S, S, S, S), ""),
        ((S, S, S, S, F, S), "results"),
    ],
)
def test_lost_files_are_prepared_again_only_where_they_are_needed(
    statuses: tuple[str, ...], remaining: str
) -> None:
    assert " ".join(plan(records(*statuses), has_prepared_files=False)) == remaining


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
def test_a_retry_starts_at_the_failed_stage_or_at_the_upload(
    statuses: tuple[str, ...], first: Stage
) -> None:
    remaining = plan_retry(records(*statuses))
    assert remaining[0] is first
    assert remaining[-1] is Stage.EVALUATE


@given(st.lists(st.sampled_from(list(StageStatus)), min_size=6, max_size=6), st.booleans())
def test_a_plan_has_all_unfinished_stages_and_of_the_finished_only_prepare(
    statuses: list[StageStatus], has_files: bool
) -> None:
    rows = records(*statuses)
    remaining = plan(rows, has_prepared_files=has_files)
    unfinished = {record.stage for record in rows if record.status not in DONE}
    assert unfinished <= set(remaining)
    assert set(remaining) - unfinished <= {Stage.PREPARE}
    assert list(remaining) == [stage for stage in Stage if stage in remaining]
