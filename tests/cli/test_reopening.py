"""Commands for a run that counts as failed, while its job still runs at the provider."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ftops.clock import SystemClock
from ftops.ledger.ledger import Ledger
from ftops.records import Run, RunStatus
from tests.cli.running import ftops, write_job
from tests.job_server import Server
from tests.loopback import serve_loopback

PLACE = "/v1/fine_tuning/jobs"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Server, str]]:
    """The server and its base URL."""
    monkeypatch.setenv("SOME_KEY", "sk-test-0123456789")
    made = Server("current")
    with serve_loopback(made.answer) as port:
        yield made, f"http://127.0.0.1:{port}/v1"


@pytest.fixture
def job(server: tuple[Server, str], tmp_path: Path) -> Path:
    """A job file for that server."""
    provider = f"{{type: openai, base_url: '{server[1]}', api_key_env: SOME_KEY}}"
    return write_job(tmp_path, provider=provider, model="babbage-002")


@pytest.fixture
def wrong(job: Path, temporary_home: Path) -> Run:
    """The run of that file: an earlier version called it failed when a poll was refused."""
    assert ftops("run", job, "--detach").code == 0
    ledger = Ledger(temporary_home / "ledger.db", SystemClock())
    (run,) = ledger.list_runs()
    failed = ledger.move_run(run, RunStatus.FAILED, error="look up the job ftjob-1: (HTTP 403)")
    ledger.close()
    return failed


def test_runs_and_show_say_that_the_job_is_unwatched(wrong: Run) -> None:
    assert "unwatched" in ftops("runs").out
    shown = ftops("show", wrong.id).out
    assert f"ftops follow {wrong.id}" in shown
    assert "--retry" not in shown


@pytest.mark.parametrize("away", [False, True])
def test_doctor_is_not_healthy_until_the_job_is_cancelled(
    server: tuple[Server, str], wrong: Run, away: bool
) -> None:
    if away:
        server[0].refuse("GET .*", 403)
    answer = ftops("doctor")
    assert answer.code == 1
    assert "Healthy" not in answer.out
    assert f"{wrong.id}: it counts as failed, but its job ftjob-1 was not seen to end" in answer.out
    assert ftops("cancel", wrong.id).code == 0
    server[0].refusals.clear()
    assert ftops("doctor").out.endswith("Healthy.\n")


@pytest.mark.parametrize("ref", ["the run", "the job file"])
def test_cancel_says_what_became_of_the_job(
    server: tuple[Server, str], wrong: Run, job: Path, ref: str
) -> None:
    answer = ftops("cancel", wrong.id if ref == "the run" else job)
    assert (answer.code, answer.out) == (0, f"{wrong.id} was cancelled.\n")
    assert server[0].jobs[0]["status"] == "cancelled"
    again = ftops("cancel", wrong.id, "--json")
    assert (again.code, again.document["status"]) == (0, "cancelled")


def test_cancel_that_the_provider_refuses_is_an_error_and_leaves_the_run_open(
    server: tuple[Server, str], wrong: Run
) -> None:
    server[0].refuse(f"POST {PLACE}/ftjob-1/cancel", 403)
    answer = ftops("cancel", wrong.id)
    assert (answer.code, answer.out) == (1, "")
    assert "unwatched" in ftops("runs").out
    assert server[0].jobs[0]["status"] == "running"


def test_adopt_goes_on_with_the_run_whatever_provider_is_named(
    server: tuple[Server, str], wrong: Run
) -> None:
    answer = ftops("adopt", "ftjob-1", "--provider", "local", "--detach", "--json")
    assert (answer.code, answer.document["run_id"], answer.document["status"]) == (
        0,
        wrong.id,
        "running",
    )
    assert len(server[0].jobs) == 1


def test_adopt_detached_returns_before_the_job_ends(server: tuple[Server, str]) -> None:
    made, base_url = server
    made.jobs.append(
        {
            "id": "ftjob-1",
            "created_at": 1790000000,
            "status": "running",
            "model": "babbage-002",
            "training_file": "file-1",
        }
    )
    address = ("--provider", "openai", "--base-url", base_url, "--api-key-env", "SOME_KEY")
    answer = ftops("adopt", "ftjob-1", *address, "--detach", "--json")
    assert (answer.code, answer.document["status"]) == (0, "running")
    assert made.retrieve_count == 1


def test_retry_that_is_refused_says_that_nothing_was_created(
    server: tuple[Server, str], wrong: Run, job: Path
) -> None:
    server[0].refuse(f"GET {PLACE}/ftjob-1", 404)
    answer = ftops("run", job, "--retry", "--json")
    assert answer.code == 1
    assert "ftjob-1 was not seen to end and may still be running" in str(answer.error["message"])
    assert "so no other job was created" in str(answer.error["message"])
    assert "--new` creates another job; both are paid" in str(answer.error["hint"])
    assert len(server[0].jobs) == 1


def test_new_says_that_two_jobs_are_paid(server: tuple[Server, str], wrong: Run, job: Path) -> None:
    answer = ftops("run", job, "--new", "--detach")
    assert answer.code == 0
    told = f"{wrong.id} has the job ftjob-1 (running); --new creates a second job: both are paid"
    assert told in " ".join((answer.out + answer.err).split())
    assert len(server[0].jobs) == 2
