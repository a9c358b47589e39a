"""A job that was created with another ledger, or with one that is gone, is found again."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from ftops.errors import UnknownRun
from ftops.ledger.ledger import Ledger
from ftops.records import JobRequest, RunId, RunStatus, Stage
from ftops.runs.open_run import cancel_job_file, cancel_run
from tests.runs.bench import Bench, write_job
from tests.runs.fake_provider import FakeProvider


def lose_ledger(bench: Bench) -> None:
    """The home is deleted; the provider knows what it knew."""
    bench.ledger.close()
    shutil.rmtree(bench.home)
    bench.ledger = Ledger(bench.home / "ledger.db", bench.clock)


def start(bench: Bench, *, statuses: tuple[str, ...] = ("queued", "running", "succeeded")) -> None:
    """A run whose job was created, and whose command was then killed."""

    def die() -> None:
        raise KeyboardInterrupt

    bench.provider.statuses = statuses
    bench.provider.before("list_events", die)
    with pytest.raises(KeyboardInterrupt):
        bench.run(bench.write_job())
    bench.provider.before("list_events", lambda: None)


@pytest.mark.parametrize("metadata", [True, False], ids=["by its mark", "by its words"])
def test_a_job_is_found_again_after_the_ledger_was_deleted(bench: Bench, metadata: bool) -> None:
    bench.provider.capabilities = replace(bench.provider.capabilities, metadata=metadata)
    start(bench)
    lose_ledger(bench)
    run = bench.run(bench.write_job())
    assert (run.status, run.job_id) == (RunStatus.SUCCEEDED, "ftjob-1")
    assert bench.provider.count("create_job") == 1
    assert bench.provider.count("upload_file") == 2
    assert bench.detail(run, Stage.CREATE)["adopted"] is True
    (note,) = [note for note in bench.seen.notes if "ftjob-1" in note]
    assert "which an earlier command had created" in note
    assert "--new makes another one" in note


def test_a_job_that_succeeded_long_ago_is_found_again_too(bench: Bench) -> None:
    bench.run(bench.write_job())
    lose_ledger(bench)
    bench.clock.advance(7 * 86_400)
    assert bench.run(bench.write_job()).job_id == "ftjob-1"
    assert bench.provider.count("create_job") == 1


def test_a_job_is_cancelled_by_its_file_after_the_ledger_was_deleted(bench: Bench) -> None:
    start(bench)
    lose_ledger(bench)
    run = cancel_job_file(bench.write_job(), bench.context)
    assert (run.status, run.job_id) == (RunStatus.CANCELLED, "ftjob-1")
    assert [job.status for job in bench.provider.jobs()] == ["cancelled"]
    assert bench.provider.count("create_job") == 1


def take_up_and_die(bench: Bench, where: str = "find_file") -> None:
    """A command with a fresh ledger, which dies before it has asked for an earlier job."""

    def die() -> None:
        raise KeyboardInterrupt

    bench.provider.before(where, die)
    with pytest.raises(KeyboardInterrupt):
        bench.run(bench.write_job())
    bench.provider.before(where, lambda: None)


@pytest.mark.parametrize("where", ["find_file", "find_job"])
def test_a_cancel_ends_the_job_of_a_deleted_ledger_that_no_run_has_taken_over_yet(
    bench: Bench, where: str
) -> None:
    start(bench)
    lose_ledger(bench)
    take_up_and_die(bench, where)
    (run,) = bench.ledger.list_runs()
    assert run.job_id is None
    run = cancel_run(run, bench.context)
    assert (run.status, run.job_id) == (RunStatus.CANCELLED, "ftjob-1")
    assert [job.status for job in bench.provider.jobs()] == ["cancelled"]


def test_a_cancel_that_finds_such_a_job_ended_leaves_its_results_to_the_next_command(
    bench: Bench,
) -> None:
    start(bench)
    while not bench.provider.get_job("ftjob-1").ended:
        pass
    lose_ledger(bench)
    take_up_and_die(bench)
    bench.ledger.ask_cancel(bench.ledger.list_runs()[0].id)  # by a command that died at once
    run = bench.run(bench.write_job())
    assert (run.status, run.job_id) == (RunStatus.SUCCEEDED, "ftjob-1")
    assert bench.provider.count("create_job") == 1


def test_cancelling_a_job_file_that_was_never_run_makes_nothing(bench: Bench) -> None:
    with pytest.raises(UnknownRun, match="neither the ledger nor the provider"):
        cancel_job_file(bench.write_job(), bench.context)
    assert bench.ledger.list_runs() == []
    assert bench.provider.count("upload_file") == 0


def test_two_machines_with_one_account_have_one_job(bench: Bench) -> None:
    start(bench)
    other = Bench(bench.folder / "other", clock=bench.clock)
    other.provider = FakeProvider(bench.folder / "provider", bench.clock)
    run = other.run(write_job(bench.folder))
    other.ledger.close()
    assert (run.status, run.job_id) == (RunStatus.SUCCEEDED, "ftjob-1")
    assert bench.run(bench.write_job()).status is RunStatus.SUCCEEDED
    assert bench.provider.count("create_job") == 1


def test_a_listing_that_lags_is_waited_for_when_the_upload_was_there_already(bench: Bench) -> None:
    bench.provider.listing_lag_s = 25.0
    start(bench)
    lose_ledger(bench)
    assert bench.run(bench.write_job()).job_id == "ftjob-1"
    assert bench.provider.count("create_job") == 1


def test_a_first_run_on_an_account_waits_for_no_listing(bench: Bench) -> None:
    created_s: list[float] = []
    bench.provider.before("create_job", lambda: created_s.append(bench.clock.monotonic_s()))
    bench.run(bench.write_job())
    assert created_s == [0.0]


@pytest.mark.parametrize("ending", ["failed", "cancelled"])
def test_a_job_that_ended_badly_is_left_and_another_is_made(bench: Bench, ending: str) -> None:
    start(bench, statuses=("queued", ending))
    lose_ledger(bench)
    bench.provider.statuses = ("queued", "succeeded")
    assert bench.run(bench.write_job()).job_id == "ftjob-2"


def test_a_run_that_wants_a_job_of_its_own_takes_over_none_also_when_it_is_resumed(
    bench: Bench,
) -> None:
    start(bench)
    lose_ledger(bench)

    def die() -> None:
        raise KeyboardInterrupt

    bench.provider.before("create_job", die)
    with pytest.raises(KeyboardInterrupt):
        bench.run(bench.write_job(), new=True)
    bench.provider.before("create_job", lambda: None)
    assert bench.run(bench.write_job()).job_id == "ftjob-2"
    assert bench.provider.count("create_job") == 2


def test_a_retry_makes_a_job_though_an_earlier_one_of_the_key_is_there(bench: Bench) -> None:
    bench.provider.statuses = ("queued", "failed")
    with pytest.raises(Exception, match="failed"):
        bench.run(bench.write_job())
    bench.provider.statuses = ("queued", "succeeded")
    assert bench.run(bench.write_job(), retry=True).job_id == "ftjob-2"


def test_a_job_that_another_run_of_this_ledger_is_about_to_record_is_not_taken(
    bench: Bench,
) -> None:
    bench.provider.loses_answer_to = {"create_job"}
    bench.provider.listing_lag_s = 3600.0
    job = bench.write_job()
    with pytest.raises(Exception, match="may or may not exist"):
        bench.run(job, new=True)
    (mine,) = bench.ledger.list_runs()
    bench.clock.advance(3600)
    fresh = replace(
        mine, id=RunId(mine.id + "x"), force_new_job=False, created_at=bench.clock.now()
    )
    bench.ledger.add_run(fresh, if_absent=False)
    assert bench.run(job).job_id == "ftjob-2"


def test_without_metadata_a_job_on_the_users_own_file_is_not_taken(
    bench: Bench, tmp_path: Path
) -> None:
    bench.provider.capabilities = replace(bench.provider.capabilities, metadata=False)
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "a", "completion": "b"}\n')
    there = bench.provider.upload_file(
        rows, filename="rows.jsonl", on_bytes=lambda _sent, _total: None
    )
    bench.provider.create_job(JobRequest("ada", there.id))
    run = bench.run(bench.write_job(training_file=there.id, validation_file=None))
    assert run.job_id == "ftjob-2"


def test_an_intent_of_another_ledgers_clock_is_waited_for_in_real_time(bench: Bench) -> None:
    bench.provider.loses_answer_to = {"create_job"}
    bench.provider.listing_lag_s = 100.0
    with pytest.raises(Exception, match="may or may not exist"):
        bench.run(bench.write_job())
    # Somebody has set the clock by a minute: the listing needs its time all the same.
    bench.clock.advance(60)
    assert bench.run(bench.write_job()).job_id == "ftjob-1"
    assert bench.provider.count("create_job") == 1
