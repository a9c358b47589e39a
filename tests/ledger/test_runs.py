"""Runs are recorded once, found by several names, and change only from their current status."""

import contextlib
import dataclasses
import sqlite3

import pytest

from ftops.errors import RunBusy, UnknownRun
from ftops.ledger.ledger import Ledger
from ftops.records import RunId, RunStatus, Stage, StageStatus
from tests.fakes import FakeClock
from tests.ledger.rows import make_model, make_run


def test_a_run_is_read_back_as_recorded(ledger: Ledger) -> None:
    run = make_run()
    assert ledger.add_run(run, if_absent=False) == run
    assert ledger.get_run(run.id) == run


def test_a_run_recorded_without_a_protocol_has_the_current_one(
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


def test_a_known_key_returns_the_known_run(ledger: Ledger) -> None:
    first = ledger.add_run(make_run(1), if_absent=True)
    assert ledger.add_run(make_run(2), if_absent=True) == first
    assert ledger.list_runs() == [first]


def test_another_run_of_the_same_key_can_be_added(ledger: Ledger) -> None:
    ledger.add_run(make_run(1), if_absent=True)
    second = ledger.add_run(make_run(2), if_absent=False)
    assert ledger.add_run(make_run(3), if_absent=True) == second  # the newest run of the key


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


def test_a_name_refers_to_its_newest_run(ledger: Ledger) -> None:
    ledger.add_run(make_run(1), if_absent=False)
    newest = ledger.add_run(make_run(3), if_absent=False)
    ledger.add_run(make_run(2), if_absent=False)
    assert ledger.get_run("news") == newest


def test_an_ambiguous_prefix_is_an_error_with_its_runs(ledger: Ledger) -> None:
    runs = [ledger.add_run(make_run(n, key=f"key-{n}"), if_absent=False) for n in range(5)]
    with pytest.raises(UnknownRun, match=r"several runs begin with 'run-20'.*and more") as caught:
        ledger.get_run("run-20")
    assert runs[4].id in caught.value.message


def test_unknown_and_too_short_names_are_refused(ledger: Ledger) -> None:
    ledger.add_run(make_run(), if_absent=False)
    for ref in ("run", "", "%", "run-9", "ftjob-1", "run-20261122-0001-abcd2"):
        with pytest.raises(UnknownRun, match="no run, job, model or job file"):
            ledger.get_run(ref)


def test_a_status_change_of_a_run_is_recorded(ledger: Ledger, clock: FakeClock) -> None:
    run = ledger.add_run(make_run(), if_absent=False)
    clock.advance(60)
    running = ledger.move_run(run, RunStatus.RUNNING)
    failed = ledger.move_run(running, RunStatus.FAILED, error="bad data")
    assert (running.status, running.finished_at) == (RunStatus.RUNNING, None)
    assert (failed.status, failed.error, failed.finished_at) == ("failed", "bad data", clock.now())
    changes = [
        (change.stage, change.before, change.after) for change in ledger.list_state_changes(run.id)
    ]
    assert changes == [
        (None, "new", "pending"),
        (None, "pending", "running"),
        (None, "running", "failed"),
    ]


def test_the_second_of_two_concurrent_status_changes_is_refused(ledger: Ledger) -> None:
    run = ledger.add_run(make_run(), if_absent=False)
    ledger.move_run(run, RunStatus.RUNNING)
    changes = ledger.list_state_changes(run.id)
    with pytest.raises(RunBusy, match="no longer pending"):
        ledger.move_run(run, RunStatus.CANCELLED)
    with pytest.raises(RunBusy):
        ledger.reopen_run(run, (Stage.CREATE,))
    assert ledger.get_run(run.id).status is RunStatus.RUNNING
    assert ledger.list_state_changes(run.id) == changes


def test_reopening_from_the_upload_forgets_the_job_and_keeps_the_prepared_data(
    ledger: Ledger,
) -> None:
    run = ledger.move_run(ledger.add_run(make_run(), if_absent=False), RunStatus.RUNNING)
    for stage in (Stage.PREPARE, Stage.UPLOAD, Stage.CREATE):
        record = ledger.get_stage(run.id, stage)
        record = ledger.move_stage(run.id, record, StageStatus.RUNNING)
        ledger.move_stage(run.id, record, StageStatus.SUCCEEDED, detail={"of": stage.value})
    ledger.record_job(ledger.record_intent(run.id, Stage.CREATE, "create_job", {}), "ftjob-1")
    ledger.ask_cancel(run.id)
    failed = ledger.move_run(ledger.get_run(run.id), RunStatus.FAILED, error="no")
    reopened = ledger.reopen_run(failed, list(Stage)[1:])
    assert (reopened.status, reopened.job_id, reopened.error, reopened.finished_at) == (
        RunStatus.RUNNING,
        None,
        None,
        None,
    )
    assert not ledger.is_cancel_asked(run.id)
    records = {stored.stage: stored for stored in ledger.list_stages(run.id)}
    assert dict(records[Stage.PREPARE].detail) == {"of": "prepare"}
    assert records[Stage.UPLOAD].status is StageStatus.PENDING
    assert (dict(records[Stage.UPLOAD].detail), records[Stage.UPLOAD].attempts) == ({}, 1)
    assert ledger.get_run("ftjob-1").id == run.id  # the first job is still a name of the run


def test_a_changed_job_file_replaces_the_spec(ledger: Ledger) -> None:
    run = ledger.add_run(make_run(), if_absent=False)
    changed = ledger.update_spec(run.id, {"limits": {"max_wait": "1h"}}, job_file="/moved.yaml")
    assert changed == dataclasses.replace(
        run,
        spec={"limits": {"max_wait": "1h"}},
        job_file="/moved.yaml",
        updated_at=changed.updated_at,
    )


def test_a_requested_cancellation_is_recorded(ledger: Ledger) -> None:
    run = ledger.add_run(make_run(), if_absent=False)
    assert not ledger.is_cancel_asked(run.id)
    ledger.ask_cancel(run.id)
    assert ledger.is_cancel_asked(run.id)


def test_changes_of_an_unknown_run_are_refused(ledger: Ledger) -> None:
    unknown = make_run()
    with pytest.raises(RunBusy):
        ledger.move_run(unknown, RunStatus.RUNNING)
    with pytest.raises(UnknownRun):
        ledger.update_spec(unknown.id, {}, job_file="")
    with pytest.raises(UnknownRun):
        ledger.get_stage(RunId("run-x"), Stage.CREATE)
    assert ledger.list_stages(RunId("run-x")) == []


def test_the_status_of_an_ended_job_is_kept_until_the_run_has_another_job(ledger: Ledger) -> None:
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
    reopened = ledger.reopen_run(failed, (Stage.CREATE, Stage.FOLLOW))
    assert (reopened.job_id, reopened.job_status) == (None, None)
