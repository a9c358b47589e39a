"""Runs in the ledger: recorded once, found by many names, moved only from where they are."""

import contextlib
import dataclasses
import sqlite3

import pytest

from ftops.errors import RunBusy, UnknownRun
from ftops.ledger.ledger import Ledger
from ftops.records import RunId, RunStatus, Stage, StageStatus
from tests.fakes import FakeClock
from tests.ledger.rows import make_model, make_run


def test_a_run_comes_back_as_it_was_recorded(ledger: Ledger) -> None:
    run = make_run()
    assert ledger.add_run(run, if_absent=False) == run
    assert ledger.get_run(run.id) == run


def test_a_run_that_was_recorded_before_there_was_a_choice_of_protocol_has_the_current_one(
    ledger: Ledger,
) -> None:
    run = ledger.add_run(make_run(), if_absent=False)
    with contextlib.closing(sqlite3.connect(ledger.path)) as connection, connection:
        connection.execute(
            "UPDATE runs SET provider_json = json_remove(provider_json, '$.protocol')"
        )
        ((stored,),) = connection.execute("SELECT provider_json FROM runs")
    assert "protocol" not in stored
    assert ledger.get_run(run.id) == run


def test_a_known_key_gives_the_known_run_instead_of_a_second_one(ledger: Ledger) -> None:
    first = ledger.add_run(make_run(1), if_absent=True)
    assert ledger.add_run(make_run(2), if_absent=True) == first
    assert ledger.list_runs() == [first]


def test_another_run_of_the_same_key_can_be_asked_for(ledger: Ledger) -> None:
    ledger.add_run(make_run(1), if_absent=True)
    second = ledger.add_run(make_run(2), if_absent=False)
    assert ledger.add_run(make_run(3), if_absent=True) == second  # the newest of them


def test_runs_are_listed_newest_first_and_up_to_a_limit(ledger: Ledger) -> None:
    runs = [ledger.add_run(make_run(n, key=f"key-{n}"), if_absent=False) for n in (2, 3, 1)]
    assert ledger.list_runs() == [runs[1], runs[0], runs[2]]
    assert ledger.list_runs(limit=2) == [runs[1], runs[0]]
    assert ledger.list_runs(limit=0) == []


def test_a_run_is_found_by_id_prefix_job_model_and_name(ledger: Ledger) -> None:
    run = ledger.add_run(make_run(1, key="one", name="news"), if_absent=False)
    ledger.add_run(make_run(2000, key="two", name="faq"), if_absent=False)
    call = ledger.record_intent(run.id, Stage.CREATE, "create_job", {})
    ledger.record_job(call, "ftjob-77")
    ledger.add_model(make_model("ft:ada:acme::77", run))
    refs = (run.id, "run-20261122-0", "ftjob-77", "ft:ada:acme::77", "news")
    assert [ledger.get_run(ref).id for ref in refs] == [run.id] * 5


def test_a_name_means_its_newest_run(ledger: Ledger) -> None:
    ledger.add_run(make_run(1), if_absent=False)
    newest = ledger.add_run(make_run(3), if_absent=False)
    ledger.add_run(make_run(2), if_absent=False)
    assert ledger.get_run("news") == newest


def test_an_ambiguous_prefix_names_the_runs_that_it_may_mean(ledger: Ledger) -> None:
    runs = [ledger.add_run(make_run(n, key=f"key-{n}"), if_absent=False) for n in range(5)]
    with pytest.raises(UnknownRun, match=r"several runs begin with 'run-20'.*and more") as caught:
        ledger.get_run("run-20")
    assert runs[4].id in caught.value.message


def test_unknown_and_too_short_names_are_refused(ledger: Ledger) -> None:
    ledger.add_run(make_run(), if_absent=False)
    for ref in ("run", "", "%", "run-9", "ftjob-1", "run-20261122-0001-abcd2"):
        with pytest.raises(UnknownRun, match="no run, job, model or job file"):
            ledger.get_run(ref)


def test_a_run_moves_on_and_the_move_is_written_down(ledger: Ledger, clock: FakeClock) -> None:
    run = ledger.add_run(make_run(), if_absent=False)
    clock.advance(60)
    running = ledger.move_run(run, RunStatus.RUNNING)
    failed = ledger.move_run(running, RunStatus.FAILED, error="bad data")
    assert (running.status, running.finished_at) == (RunStatus.RUNNING, None)
    assert (failed.status, failed.error, failed.finished_at) == ("failed", "bad data", clock.now())
    moves = [(move.stage, move.before, move.after) for move in ledger.list_state_changes(run.id)]
    assert moves == [
        (None, "new", "pending"),
        (None, "pending", "running"),
        (None, "running", "failed"),
    ]


def test_who_comes_second_with_a_move_has_lost_and_changed_nothing(ledger: Ledger) -> None:
    seen = ledger.add_run(make_run(), if_absent=False)
    ledger.move_run(seen, RunStatus.RUNNING)
    moves = ledger.list_state_changes(seen.id)
    with pytest.raises(RunBusy, match="no longer pending"):
        ledger.move_run(seen, RunStatus.CANCELLED)
    with pytest.raises(RunBusy):
        ledger.reopen_run(seen, (Stage.CREATE,))
    assert ledger.get_run(seen.id).status is RunStatus.RUNNING
    assert ledger.list_state_changes(seen.id) == moves


def test_reopening_from_the_upload_on_forgets_the_job_and_keeps_what_was_prepared(
    ledger: Ledger,
) -> None:
    run = ledger.move_run(ledger.add_run(make_run(), if_absent=False), RunStatus.RUNNING)
    for stage in (Stage.PREPARE, Stage.UPLOAD, Stage.CREATE):
        seen = ledger.get_stage(run.id, stage)
        seen = ledger.move_stage(run.id, seen, StageStatus.RUNNING)
        ledger.move_stage(run.id, seen, StageStatus.SUCCEEDED, detail={"of": stage.value})
    ledger.record_job(ledger.record_intent(run.id, Stage.CREATE, "create_job", {}), "ftjob-1")
    ledger.ask_cancel(run.id)
    failed = ledger.move_run(ledger.get_run(run.id), RunStatus.FAILED, error="no")
    again = ledger.reopen_run(failed, list(Stage)[1:])
    assert (again.status, again.job_id, again.error, again.finished_at) == (
        RunStatus.RUNNING,
        None,
        None,
        None,
    )
    assert not ledger.is_cancel_asked(run.id)
    records = {record.stage: record for record in ledger.list_stages(run.id)}
    assert dict(records[Stage.PREPARE].detail) == {"of": "prepare"}
    assert records[Stage.UPLOAD].status is StageStatus.PENDING
    assert (dict(records[Stage.UPLOAD].detail), records[Stage.UPLOAD].attempts) == ({}, 1)
    assert ledger.get_run("ftjob-1").id == run.id  # the first job is still a name of the run


def test_a_changed_job_file_is_taken_over(ledger: Ledger) -> None:
    run = ledger.add_run(make_run(), if_absent=False)
    changed = ledger.update_spec(run.id, {"limits": {"max_wait": "1h"}}, job_file="/moved.yaml")
    assert changed == dataclasses.replace(
        run,
        spec={"limits": {"max_wait": "1h"}},
        job_file="/moved.yaml",
        updated_at=changed.updated_at,
    )


def test_a_cancel_that_was_asked_for_is_remembered(ledger: Ledger) -> None:
    run = ledger.add_run(make_run(), if_absent=False)
    assert not ledger.is_cancel_asked(run.id)
    ledger.ask_cancel(run.id)
    assert ledger.is_cancel_asked(run.id)


def test_changes_of_a_run_that_is_not_there_are_refused(ledger: Ledger) -> None:
    nowhere = make_run()
    with pytest.raises(RunBusy):
        ledger.move_run(nowhere, RunStatus.RUNNING)
    with pytest.raises(UnknownRun):
        ledger.update_spec(nowhere.id, {}, job_file="")
    with pytest.raises(UnknownRun):
        ledger.get_stage(RunId("run-x"), Stage.CREATE)
    assert ledger.list_stages(RunId("run-x")) == []


def test_the_end_of_a_job_is_known_until_the_run_has_another(ledger: Ledger) -> None:
    run = ledger.add_run(make_run(), if_absent=False)
    call = ledger.record_intent(run.id, Stage.CREATE, "create_job", {})
    ledger.record_job(call, "ftjob-1")
    ledger.record_job_end(run.id, "ftjob-0", "succeeded")
    assert ledger.get_run(run.id).job_status is None
    ledger.record_job_end(run.id, "ftjob-1", "failed")
    running = ledger.move_run(ledger.get_run(run.id), RunStatus.RUNNING)
    failed = ledger.move_run(running, RunStatus.FAILED, error="no")
    assert (failed.job_status, failed.ended_before_job) == ("failed", False)
    kept = ledger.reopen_run(failed, (Stage.FOLLOW,))
    assert (kept.job_id, kept.job_status) == ("ftjob-1", "failed")
    failed = ledger.move_run(kept, RunStatus.FAILED, error="no")
    again = ledger.reopen_run(failed, (Stage.CREATE, Stage.FOLLOW))
    assert (again.job_id, again.job_status) == (None, None)
