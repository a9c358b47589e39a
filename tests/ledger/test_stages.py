"""Stages in the ledger."""

import pytest

from ftops.errors import RunBusy
from ftops.ledger.ledger import Ledger
from ftops.records import Stage, StageStatus
from tests.fakes import FakeClock
from tests.ledger.rows import make_run


def test_a_new_run_has_its_stages_in_order(ledger: Ledger) -> None:
    run = ledger.add_run(make_run(), if_absent=False, deploys=True)
    records = ledger.list_stages(run.id)
    assert [record.stage for record in records] == list(Stage)
    other = ledger.add_run(make_run(2, key="other"), if_absent=False)
    stages = [record.stage for record in ledger.list_stages(other.id)]
    assert stages == [stage for stage in Stage if stage is not Stage.DEPLOY]
    assert {(record.status, record.attempts) for record in records} == {(StageStatus.PENDING, 0)}


def test_each_attempt_counts_and_has_its_own_duration(ledger: Ledger, clock: FakeClock) -> None:
    run = ledger.add_run(make_run(), if_absent=False)
    record = ledger.get_stage(run.id, Stage.UPLOAD)
    first = ledger.move_stage(run.id, record, StageStatus.RUNNING)
    clock.advance(100)
    failed = ledger.move_stage(run.id, first, StageStatus.FAILED, error="no answer")
    assert (failed.attempts, failed.seconds, failed.error) == (1, 100.0, "no answer")
    clock.advance(1000)
    second = ledger.move_stage(run.id, failed, StageStatus.RUNNING)
    assert (second.attempts, second.seconds, second.error) == (2, None, None)
    clock.advance(7)
    done = ledger.move_stage(run.id, second, StageStatus.SUCCEEDED, detail={"bytes": 3})
    assert (done.seconds, dict(done.detail), done.status) == (7.0, {"bytes": 3}, "succeeded")


def test_the_duration_of_an_interrupted_stage_counts_from_its_first_attempt(
    ledger: Ledger, clock: FakeClock
) -> None:
    run = ledger.add_run(make_run(), if_absent=False)
    record = ledger.get_stage(run.id, Stage.FOLLOW)
    first = ledger.move_stage(run.id, record, StageStatus.RUNNING)
    clock.advance(50)  # Ctrl-C: nothing is recorded
    second = ledger.move_stage(run.id, first, StageStatus.RUNNING)
    clock.advance(2)
    done = ledger.move_stage(run.id, second, StageStatus.SUCCEEDED)
    assert (done.attempts, done.seconds) == (2, 52.0)


def test_status_changes_of_stages_are_recorded_with_attempt_and_error(ledger: Ledger) -> None:
    run = ledger.add_run(make_run(), if_absent=False)
    record = ledger.get_stage(run.id, Stage.CREATE)
    running = ledger.move_stage(run.id, record, StageStatus.RUNNING)
    ledger.move_stage(run.id, running, StageStatus.FAILED, error="refused")
    last = ledger.list_state_changes(run.id)[-1]
    assert (last.stage, last.before, last.after) == (Stage.CREATE, "running", "failed")
    assert (last.attempt, last.error) == (1, "refused")


def test_an_attempt_cannot_end_twice(ledger: Ledger) -> None:
    run = ledger.add_run(make_run(), if_absent=False)
    record = ledger.get_stage(run.id, Stage.CREATE)
    running = ledger.move_stage(run.id, record, StageStatus.RUNNING)
    ledger.move_stage(run.id, running, StageStatus.SUCCEEDED)
    changes = len(ledger.list_state_changes(run.id))
    with pytest.raises(RunBusy, match="stage create of run-"):
        ledger.move_stage(run.id, running, StageStatus.FAILED, error="late")
    assert ledger.get_stage(run.id, Stage.CREATE).status is StageStatus.SUCCEEDED
    assert len(ledger.list_state_changes(run.id)) == changes


def test_an_earlier_attempt_cannot_end_after_a_later_one_has_started(ledger: Ledger) -> None:
    run = ledger.add_run(make_run(), if_absent=False)
    first = ledger.move_stage(run.id, ledger.get_stage(run.id, Stage.FOLLOW), StageStatus.RUNNING)
    ledger.move_stage(run.id, first, StageStatus.RUNNING)
    with pytest.raises(RunBusy, match=r"attempt 1\)"):
        ledger.move_stage(run.id, first, StageStatus.SUCCEEDED)
