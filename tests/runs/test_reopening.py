"""Runs that ended before their job did: each command looks at that job before anything else."""

from datetime import timedelta

import pytest

from ftops.errors import (
    AuthFailed,
    InvalidResponse,
    JobFailed,
    NotFound,
    PermissionRefused,
    ProviderError,
    Rejected,
    RunError,
    Unavailable,
    Unreachable,
)
from ftops.records import JobError, ProviderSettings, Run, RunStatus
from ftops.runs.adopt import adopt_job
from ftops.runs.doctor import CheckStatus, check_drivers, check_provider
from ftops.runs.open_run import cancel_run, drive, open_run
from ftops.runs.prune import Criteria, select
from ftops.spec.job_file import load_job
from tests.runs.bench import Bench
from tests.runs.test_create import lose_the_listing

REFUSED = "look up the job ftjob-1: region not supported (HTTP 403)"
STATUSES = ("validating_files", *["running"] * 20, "succeeded")


@pytest.fixture(params=[RunStatus.FAILED, RunStatus.CANCELLED])
def wrong(bench: Bench, request: pytest.FixtureRequest) -> Run:
    """A run that counts as ended, as its job trains."""
    bench.provider.statuses = STATUSES
    run = drive(open_run(bench.write_job(), bench.context), bench.context, detach=True)
    return bench.ledger.move_run(run, request.param, error=REFUSED)


def end_job(bench: Bench, status: str) -> None:
    """Let the job end while no command watches it."""
    bench.provider.statuses = ("validating_files", status)
    assert bench.provider.get_job("ftjob-1").status == status


@pytest.mark.parametrize("retry", [False, True])
@pytest.mark.parametrize("ended", [False, True])
def test_a_job_that_runs_or_has_succeeded_is_followed_to_its_model(
    bench: Bench, wrong: Run, ended: bool, retry: bool
) -> None:
    if ended:
        end_job(bench, "succeeded")
    run = bench.run(bench.write_job(), retry=retry)
    assert (run.id, run.status, run.job_status) == (wrong.id, RunStatus.SUCCEEDED, "succeeded")
    assert run.fine_tuned_model == "ft:ada:acme::ftjob-1"
    assert run.error is None
    assert bench.provider.count("create_job") == 1


def test_follow_continues_with_the_job(bench: Bench, wrong: Run) -> None:
    assert drive(wrong, bench.context).fine_tuned_model == "ft:ada:acme::ftjob-1"
    assert f"{wrong.id} counts as {wrong.status}" in bench.seen.notes[1]


def test_follow_of_a_job_that_has_failed_says_why(bench: Bench, wrong: Run) -> None:
    bench.provider.job_error = JobError("bad_data", "Too few rows.")
    end_job(bench, "failed")
    with pytest.raises(JobFailed, match="Too few rows"):
        drive(wrong, bench.context)
    run = bench.ledger.get_run(wrong.id)
    assert (run.status, run.job_status) == (RunStatus.FAILED, "failed")
    assert run.error == "ftjob-1 failed: bad_data: Too few rows."


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_retry_creates_another_job_once_the_first_is_seen_to_have_ended_badly(
    bench: Bench, wrong: Run, status: str
) -> None:
    end_job(bench, status)
    bench.provider.statuses = STATUSES
    run = bench.run(bench.write_job(), retry=True)
    assert (run.id, run.status, run.job_id) == (wrong.id, RunStatus.SUCCEEDED, "ftjob-2")


@pytest.mark.parametrize(
    "error",
    [
        AuthFailed("key revoked", status=401),
        PermissionRefused("region", status=403),
        NotFound("no such job", status=404),
        Rejected("conflict", status=400),
        Unavailable("down", status=503),
        Unreachable("no route"),
        InvalidResponse("<html>"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_retry_creates_nothing_while_the_job_cannot_be_looked_at(
    bench: Bench, wrong: Run, error: ProviderError
) -> None:
    bench.provider.fail("get_job", error)
    with pytest.raises(type(error), match="so no other job was created") as caught:
        bench.run(bench.write_job(), retry=True)
    assert "ftjob-1 was not seen to end and may still be running" in caught.value.message
    assert ("--new` creates another job" if error.status == 404 else "--retry` tries again") in (
        caught.value.hint
    )
    assert bench.ledger.get_run(wrong.id).status is wrong.status
    assert bench.provider.count("create_job") == 1
    assert bench.run(bench.write_job(), retry=True).status is RunStatus.SUCCEEDED
    assert bench.provider.count("create_job") == 1


def test_a_job_that_was_seen_to_fail_is_not_asked_for_again(bench: Bench) -> None:
    bench.provider.statuses = ("queued", "failed")
    job = bench.write_job()
    with pytest.raises(JobFailed):
        bench.run(job)
    bench.provider.statuses = ("queued", "succeeded")
    bench.provider.fail("get_job", NotFound("removed", status=404))
    assert bench.run(job, retry=True).job_id == "ftjob-2"


def test_cancel_ends_a_job_that_still_runs_though_looks_are_refused(
    bench: Bench, wrong: Run
) -> None:
    bench.provider.fail("get_job", *[PermissionRefused("region", status=403)] * 9)
    run = cancel_run(wrong, bench.context)
    assert (run.status, run.job_status) == (RunStatus.CANCELLED, "cancelled")
    assert run.error == "ftjob-1 was cancelled"
    assert [job.status for job in bench.provider.jobs()] == ["cancelled"]
    assert cancel_run(run, bench.context) == run
    assert bench.provider.count("cancel_job") == 1


def test_cancel_of_a_job_that_has_succeeded_leads_to_its_model(bench: Bench, wrong: Run) -> None:
    end_job(bench, "succeeded")
    with pytest.raises(RunError, match="ftjob-1 had already succeeded") as caught:
        cancel_run(wrong, bench.context)
    assert f"ftops follow {wrong.id}" in caught.value.hint
    assert drive(wrong, bench.context).fine_tuned_model is not None


def test_adopt_opens_the_run_of_the_job_again(bench: Bench, wrong: Run) -> None:
    def adopt() -> Run:
        return adopt_job(
            "ftjob-1",
            bench.context,
            ProviderSettings(type="elsewhere"),
            lambda path: load_job(path, environ={}),
        )

    run = drive(adopt(), bench.context, detach=True)
    assert (run.id, run.status) == (wrong.id, RunStatus.RUNNING)
    with pytest.raises(RunError, match="known already"):
        adopt()
    assert len(bench.ledger.list_runs()) == 1


def test_doctor_reports_the_run_until_its_job_was_seen_to_end(bench: Bench, wrong: Run) -> None:
    (found,) = check_drivers([wrong], bench.home)
    assert (found.status, found.where) == (CheckStatus.PROBLEM, wrong.id)
    assert "ftjob-1 was not seen to end" in found.what
    assert f"ftops follow {wrong.id}" in found.next
    assert f"ftops cancel {wrong.id}" in found.next
    bench.provider.fail("get_job", NotFound("no such job", status=404))
    asked = check_provider(bench.provider, bench.ledger, [wrong])
    assert any("is gone from the provider" in one.what for one in asked)
    end_job(bench, "failed")
    with pytest.raises(JobFailed):
        drive(wrong, bench.context)
    assert list(check_drivers(bench.ledger.list_runs(), bench.home)) == []


def test_prune_leaves_a_run_whose_job_may_be_running(bench: Bench, wrong: Run) -> None:
    everything = Criteria(older_than=timedelta(0))
    assert select(bench.ledger, bench.home, bench.clock.now(), everything).artifacts == ()
    cancel_run(wrong, bench.context)
    (left,) = select(bench.ledger, bench.home, bench.clock.now(), everything).artifacts
    assert left.run.id == wrong.id


@pytest.mark.parametrize(
    ("status", "stands"),
    [("running", "running"), ("succeeded", "succeeded"), ("failed", None), ("cancelled", None)],
)
def test_new_says_when_two_jobs_are_paid(
    bench: Bench, wrong: Run, status: str, stands: str | None
) -> None:
    if status != "running":
        end_job(bench, status)
    warnings = warn_of_new(bench)
    told = f"{wrong.id} has the job ftjob-1 ({stands}); --new creates a second job: both are paid"
    assert warnings == ([told] if stands else [])


def test_new_says_so_too_when_the_provider_does_not_answer(bench: Bench, wrong: Run) -> None:
    bench.provider.fail("get_job", Unreachable("no route"))
    (warning,) = warn_of_new(bench)
    assert "ftjob-1 (it may still be running)" in warning


def test_new_says_so_of_a_finished_run_and_of_a_job_in_doubt(bench: Bench) -> None:
    job = bench.write_job()
    assert warn_of_new(bench) == []
    bench.provider.loses_answer_to = {"create_job"}
    lose_the_listing(bench, "gone")
    with pytest.raises(RunError):
        bench.run(job)
    (warning,) = warn_of_new(bench)
    assert "may have a job at the provider; --new creates a second job" in warning
    first = bench.ledger.list_runs()[-1]
    drive(first, bench.context)
    (warning,) = warn_of_new(bench)  # though a newer run of the file has no job yet
    assert f"{first.id} has the job ftjob-1 (succeeded)" in warning


def warn_of_new(bench: Bench) -> list[str]:
    """What `ftops run --new` says about the money before it creates a job."""
    before = len(bench.seen.notes)
    open_run(bench.write_job(), bench.context, new=True)
    return [note for note in bench.seen.notes[before:] if "both are paid" in note]
