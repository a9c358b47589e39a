"""Commands for a run that is recorded as failed while its job still runs at the provider."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ftops.clock import SystemClock
from ftops.ledger.ledger import Ledger
from ftops.records import Run, RunStatus
from tests.cli.running import ftops, write_job
from tests.job_server import Server
from tests.loopback import serve_loopback

JOBS_PATH = "/v1/fine_tuning/jobs"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Server, str]]:
    """The server and its base URL."""
    monkeypatch.setenv("SOME_KEY", "sk-test-0123456789")
    job_server = Server("current")
    with serve_loopback(job_server.answer) as port:
        yield job_server, f"http://127.0.0.1:{port}/v1"


@pytest.fixture
def job(server: tuple[Server, str], tmp_path: Path) -> Path:
    """A job file for that server."""
    provider = f"{{type: openai, base_url: '{server[1]}', api_key_env: SOME_KEY}}"
    return write_job(tmp_path, provider=provider, model="babbage-002")


@pytest.fixture
def failed_run(job: Path, temporary_home: Path) -> Run:
    """The run of that file, recorded as failed by an earlier version after a refused poll."""
    assert ftops("run", job, "--detach").code == 0
    ledger = Ledger(temporary_home / "ledger.db", SystemClock())
    (run,) = ledger.list_runs()
    failed = ledger.move_run(run, RunStatus.FAILED, error="look up the job ftjob-1: (HTTP 403)")
    ledger.close()
    return failed


def test_runs_and_show_report_an_unwatched_job(failed_run: Run) -> None:
    assert "unwatched" in ftops("runs").out
    shown = ftops("show", failed_run.id).out
    assert f"ftops follow {failed_run.id}" in shown
    assert "--retry" not in shown


@pytest.mark.parametrize("is_unavailable", [False, True])
def test_doctor_is_not_healthy_until_the_job_is_cancelled(
    server: tuple[Server, str], failed_run: Run, is_unavailable: bool
) -> None:
    if is_unavailable:
        server[0].refuse("GET .*", 403)
    result = ftops("doctor")
    assert result.code == 1
    assert "Healthy" not in result.out
    assert (
        f"{failed_run.id}: it counts as failed, but its job ftjob-1 was not seen to end"
        in result.out
    )
    assert ftops("cancel", failed_run.id).code == 0
    server[0].refusals.clear()
    assert ftops("doctor").out.endswith("Healthy.\n")


@pytest.mark.parametrize("ref", ["the run", "the job file"])
def test_cancel_reports_the_status_of_the_job(
    server: tuple[Server, str], failed_run: Run, job: Path, ref: str
) -> None:
    result = ftops("cancel", failed_run.id if ref == "the run" else job)
    assert (result.code, result.out) == (0, f"{failed_run.id} was cancelled.\n")
    assert server[0].jobs[0]["status"] == "cancelled"
    second = ftops("cancel", failed_run.id, "--json")
    assert (second.code, second.document["status"]) == (0, "cancelled")


def test_a_refused_cancel_is_an_error_and_leaves_the_run_open(
    server: tuple[Server, str], failed_run: Run
) -> None:
    server[0].refuse(f"POST {JOBS_PATH}/ftjob-1/cancel", 403)
    result = ftops("cancel", failed_run.id)
    assert (result.code, result.out) == (1, "")
    assert "unwatched" in ftops("runs").out
    assert server[0].jobs[0]["status"] == "running"


def test_adopt_continues_the_run_with_any_provider_option(
    server: tuple[Server, str], failed_run: Run
) -> None:
    result = ftops("adopt", "ftjob-1", "--provider", "local", "--detach", "--json")
    assert (result.code, result.document["run_id"], result.document["status"]) == (
        0,
        failed_run.id,
        "running",
    )
    assert len(server[0].jobs) == 1


def test_adopt_detached_returns_before_the_job_ends(server: tuple[Server, str]) -> None:
    job_server, base_url = server
    job_server.jobs.append(
        {
            "id": "ftjob-1",
            "created_at": 1790000000,
            "status": "running",
            "model": "babbage-002",
            "training_file": "file-1",
        }
    )
    address = ("--provider", "openai", "--base-url", base_url, "--api-key-env", "SOME_KEY")
    result = ftops("adopt", "ftjob-1", *address, "--detach", "--json")
    assert (result.code, result.document["status"]) == (0, "running")
    assert job_server.retrieve_count == 1


def test_a_refused_retry_reports_that_nothing_was_created(
    server: tuple[Server, str], failed_run: Run, job: Path
) -> None:
    server[0].refuse(f"GET {JOBS_PATH}/ftjob-1", 404)
    result = ftops("run", job, "--retry", "--json")
    assert result.code == 1
    assert "ftjob-1 was not seen to end and may still be running" in str(result.error["message"])
    assert "so no other job was created" in str(result.error["message"])
    assert "--new` creates another job; both are paid" in str(result.error["hint"])
    assert len(server[0].jobs) == 1


def test_new_warns_that_two_jobs_are_paid(
    server: tuple[Server, str], failed_run: Run, job: Path
) -> None:
    result = ftops("run", job, "--new", "--detach")
    assert result.code == 0
    warning = (
        f"{failed_run.id} has the job ftjob-1 (running); --new creates a second job: both are paid"
    )
    assert warning in " ".join((result.out + result.err).split())
    assert len(server[0].jobs) == 2
