"""The tables of transitions contain exactly the possible transitions."""

import pytest

from ftops.errors import (
    AuthFailed,
    DatasetError,
    FtopsError,
    JobCancelled,
    JobFailed,
    LimitExceeded,
    NotFound,
    PermissionRefused,
    Rejected,
    Unreachable,
)
from ftops.ledger.records import StateChange as LedgerMove
from ftops.records import RunStatus, Stage, StageStatus
from ftops.runs.open_run import cancel_run, drive, open_run
from ftops.runs.states import (
    ENDED,
    RUN_TRANSITIONS,
    STAGE_TRANSITIONS,
    find_ending,
    render_states,
)
from tests.runs.bench import Bench


def is_in_table(move: LedgerMove) -> bool:
    if move.before == "new":
        return move.after == "pending"
    pairs = {
        (str(before), str(row.after))
        for row in (STAGE_TRANSITIONS if move.stage else RUN_TRANSITIONS).values()
        for before in row.before
    }
    return (move.before, move.after) in pairs


def test_every_transition_of_these_runs_is_in_the_table(bench: Bench) -> None:
    job = bench.write_job()
    bench.provider.fail("upload_file", Unreachable("refused"))
    bench.provider.statuses = ("queued", "failed")
    for retry in (False, False, True):
        with pytest.raises(FtopsError):
            bench.run(job, retry=retry)
    bench.provider.statuses = ("queued", "succeeded")
    bench.run(job, retry=True)
    bench.run(bench.write_job(evaluate={"max_rows": 1}))
    other = drive(open_run(job, bench.context, new=True), bench.context, detach=True)
    cancel_run(other, bench.context)
    moves = [
        move for run in bench.ledger.list_runs() for move in bench.ledger.list_state_changes(run.id)
    ]
    assert len(moves) > 40
    assert [move for move in moves if not is_in_table(move)] == []


def test_an_invalid_transition_is_a_bug_and_not_recorded() -> None:
    assert RUN_TRANSITIONS["start"].check(RunStatus.PENDING) is RunStatus.RUNNING
    with pytest.raises(ValueError, match="no transition from succeeded"):
        RUN_TRANSITIONS["fail"].check(RunStatus.SUCCEEDED)
    with pytest.raises(ValueError, match="no transition from pending"):
        STAGE_TRANSITIONS["succeed"].check(StageStatus.PENDING)


def test_ended_runs_change_only_by_reopening() -> None:
    leaving = {name for name, move in RUN_TRANSITIONS.items() if move.before & ENDED}
    assert leaving == {"reopen"}


@pytest.mark.parametrize(
    ("stage", "error", "after"),
    [
        (Stage.CREATE, Rejected("no"), RunStatus.FAILED),
        (Stage.UPLOAD, NotFound("no"), RunStatus.FAILED),
        (Stage.FOLLOW, JobFailed("no"), RunStatus.FAILED),
        (Stage.FOLLOW, JobCancelled("no"), RunStatus.CANCELLED),
        (Stage.FOLLOW, Rejected("no"), None),
        (Stage.FOLLOW, PermissionRefused("no"), None),
        (Stage.FOLLOW, NotFound("no"), None),
        (Stage.CREATE, AuthFailed("no"), None),
        (Stage.CREATE, Unreachable("no"), None),
        (Stage.PREPARE, LimitExceeded("no"), None),
        (Stage.PREPARE, DatasetError("no"), None),
        (Stage.EVALUATE, NotFound("no"), None),
        (Stage.RESULTS, Rejected("no"), None),
    ],
)
def test_only_final_errors_of_the_job_end_a_run(
    stage: Stage, error: FtopsError, after: RunStatus | None
) -> None:
    ending = find_ending(stage, error)
    assert (ending.after if ending else None) == after


def test_the_rendered_tables_have_every_transition_and_status() -> None:
    text = render_states()
    assert all(f"| {name} |" in text for name in (*RUN_TRANSITIONS, *STAGE_TRANSITIONS))
    assert all(move.meaning in text for move in RUN_TRANSITIONS.values())
    assert all(move.meaning in text for move in STAGE_TRANSITIONS.values())
    assert all(f"`{status}`" in text for status in (*RunStatus, *StageStatus))
    assert "| follow | `JobFailed` |" in text
    assert text.endswith("\n")
