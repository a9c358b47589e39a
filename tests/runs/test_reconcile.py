"""Jobs created with another or a deleted ledger are found again."""

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
    """Delete the home; the provider keeps its state."""
    bench.ledger.close()
    shutil.rmtree(bench.home)
    bench.ledger = Ledger(bench.home / "ledger.db", bench.clock)


def start(bench: Bench, *, statuses: tuple[str, ...] = ("queued", "running", "succeeded")) -> None:
    """A run whose command was killed after it created the job."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    bench.provider.statuses = statuses
    bench.provider.before("list_events", interrupt)
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
    (note,) = [note for note in bench.recorder.notes if "ftjob-1" in note]
    assert "which an earlier command had created" in note
    assert "--new makes another one" in note


def test_an_ended_job_is_found_again(bench: Bench) -> None:
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


def start_and_interrupt(bench: Bench, method: str = "find_file") -> None:
    """A command with a new ledger that is killed before it searches for an earlier job."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    bench.provider.before(method, interrupt)
    with pytest.raises(KeyboardInterrupt):
        bench.run(bench.write_job())
    bench.provider.before(method, lambda: None)


@pytest.mark.parametrize("method", ["find_file", "find_job"])
def test_cancelling_ends_a_job_of_a_deleted_ledger_without_a_run(bench: Bench, method: str) -> None:
    start(bench)
    lose_ledger(bench)
    start_and_interrupt(bench, method)
    (run,) = bench.ledger.list_runs()
    assert run.job_id is None
    run = cancel_run(run, bench.context)
    assert (run.status, run.job_id) == (RunStatus.CANCELLED, "ftjob-1")
    assert [job.status for job in bench.provider.jobs()] == ["cancelled"]


def test_cancelling_an_ended_job_of_a_deleted_ledger_keeps_its_results(
    bench: Bench,
) -> None:
    start(bench)
    while not bench.provider.get_job("ftjob-1").ended:
        pass
    lose_ledger(bench)
    start_and_interrupt(bench)
    bench.ledger.ask_cancel(bench.ledger.list_runs()[0].id)  # by a command that was killed at once
    run = bench.run(bench.write_job())
    assert (run.status, run.job_id) == (RunStatus.SUCCEEDED, "ftjob-1")
    assert bench.provider.count("create_job") == 1


def test_cancelling_a_job_file_that_never_ran_creates_nothing(bench: Bench) -> None:
    with pytest.raises(UnknownRun, match="neither the ledger nor the provider"):
        cancel_job_file(bench.write_job(), bench.context)
    assert bench.ledger.list_runs() == []
    assert bench.provider.count("upload_file") == 0


def test_two_machines_with_the_same_account_share_a_job(bench: Bench) -> None:
    start(bench)
    other = Bench(bench.folder / "other", clock=bench.clock)
    other.provider = FakeProvider(bench.folder / "provider", bench.clock)
    run = other.run(write_job(bench.folder))
    other.ledger.close()
    assert (run.status, run.job_id) == (RunStatus.SUCCEEDED, "ftjob-1")
    assert bench.run(bench.write_job()).status is RunStatus.SUCCEEDED
    assert bench.provider.count("create_job") == 1


def test_a_delayed_listing_is_awaited_when_the_file_exists_already(bench: Bench) -> None:
    bench.provider.listing_lag_s = 25.0
    start(bench)
    lose_ledger(bench)
    assert bench.run(bench.write_job()).job_id == "ftjob-1"
    assert bench.provider.count("create_job") == 1


def test_the_first_run_of_an_account_waits_for_no_listing(bench: Bench) -> None:
    created_s: list[float] = []
    bench.provider.before("create_job", lambda: created_s.append(bench.clock.monotonic_s()))
    bench.run(bench.write_job())
    assert created_s == [0.0]


@pytest.mark.parametrize("ending", ["failed", "cancelled"])
def test_a_failed_or_cancelled_job_is_not_adopted_and_another_is_created(
    bench: Bench, ending: str
) -> None:
    start(bench, statuses=("queued", ending))
    lose_ledger(bench)
    bench.provider.statuses = ("queued", "succeeded")
    assert bench.run(bench.write_job()).job_id == "ftjob-2"


def test_a_forced_new_run_adopts_no_job_also_when_resumed(
    bench: Bench,
) -> None:
    start(bench)
    lose_ledger(bench)

    def interrupt() -> None:
        raise KeyboardInterrupt

    bench.provider.before("create_job", interrupt)
    with pytest.raises(KeyboardInterrupt):
        bench.run(bench.write_job(), new=True)
    bench.provider.before("create_job", lambda: None)
    assert bench.run(bench.write_job()).job_id == "ftjob-2"
    assert bench.provider.count("create_job") == 2


def test_a_retry_creates_a_job_although_an_earlier_one_of_the_key_exists(bench: Bench) -> None:
    bench.provider.statuses = ("queued", "failed")
    with pytest.raises(Exception, match="failed"):
        bench.run(bench.write_job())
    bench.provider.statuses = ("queued", "succeeded")
    assert bench.run(bench.write_job(), retry=True).job_id == "ftjob-2"


def test_a_job_that_another_run_is_about_to_record_is_not_adopted(
    bench: Bench,
) -> None:
    bench.provider.loses_response_of = {"create_job"}
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


def test_without_metadata_a_job_with_a_file_of_the_user_is_not_adopted(
    bench: Bench, tmp_path: Path
) -> None:
    bench.provider.capabilities = replace(bench.provider.capabilities, metadata=False)
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "a", "completion": "b"}\n')
    file = bench.provider.upload_file(
        rows, filename="rows.jsonl", on_bytes=lambda _sent, _total: None
    )
    bench.provider.create_job(JobRequest("ada", file.id))
    run = bench.run(bench.write_job(training_file=file.id, validation_file=None))
    assert run.job_id == "ftjob-2"


def test_an_intent_recorded_by_another_clock_is_awaited_in_real_time(bench: Bench) -> None:
    bench.provider.loses_response_of = {"create_job"}
    bench.provider.listing_lag_s = 100.0
    with pytest.raises(Exception, match="may or may not exist"):
        bench.run(bench.write_job())
    # The clock was changed by a minute: the listing still needs its time.
    bench.clock.advance(60)
    assert bench.run(bench.write_job()).job_id == "ftjob-1"
    assert bench.provider.count("create_job") == 1
