"""Runs that ended before their job: each command polls that job first."""

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
from tests.runs.test_create import fail_listing

REFUSED = "look up the job ftjob-1: region not supported (HTTP 403)"
STATUSES = ("validating_files", *["running"] * 20, "succeeded")


@pytest.fixture(params=[RunStatus.FAILED, RunStatus.CANCELLED])
def early_ended(bench: Bench, request: pytest.FixtureRequest) -> Run:
    """A run that counts as ended while its job is running."""
    bench.provider.statuses = STATUSES
    run = drive(open_run(bench.write_job(), bench.context), bench.context, detach=True)
    return bench.ledger.move_run(run, request.param, error=REFUSED)


def end_job(bench: Bench, status: str) -> None:
    """Let the job end while no command follows it."""
    bench.provider.statuses = ("validating_files", status)
    assert bench.provider.get_job("ftjob-1").status == status


@pytest.mark.parametrize("retry", [False, True])
@pytest.mark.parametrize("ended", [False, True])
def test_a_running_or_succeeded_job_is_followed_to_its_model(
    bench: Bench, early_ended: Run, ended: bool, retry: bool
) -> None:
    if ended:
        end_job(bench, "succeeded")
    run = bench.run(bench.write_job(), retry=retry)
    assert (run.id, run.status, run.job_status) == (
        early_ended.id,
        RunStatus.SUCCEEDED,
        "succeeded",
    )
    assert run.fine_tuned_model == "ft:ada:acme::ftjob-1"
    assert run.error is None
    assert bench.provider.count("create_job") == 1


def test_follow_continues_with_the_job(bench: Bench, early_ended: Run) -> None:
    assert drive(early_ended, bench.context).fine_tuned_model == "ft:ada:acme::ftjob-1"
    assert f"{early_ended.id} counts as {early_ended.status}" in bench.recorder.notes[1]


def test_following_a_failed_job_raises_its_error(bench: Bench, early_ended: Run) -> None:
    bench.provider.job_error = JobError("bad_data", "Too few rows.")
    end_job(bench, "failed")
    with pytest.raises(JobFailed, match="Too few rows"):
        drive(early_ended, bench.context)
    run = bench.ledger.get_run(early_ended.id)
    assert (run.status, run.job_status) == (RunStatus.FAILED, "failed")
    assert run.error == "ftjob-1 failed: bad_data: Too few rows."


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_retry_creates_another_job_after_the_first_is_known_to_have_failed(
    bench: Bench, early_ended: Run, status: str
) -> None:
    end_job(bench, status)
    bench.provider.statuses = STATUSES
    run = bench.run(bench.write_job(), retry=True)
    assert (run.id, run.status, run.job_id) == (early_ended.id, RunStatus.SUCCEEDED, "ftjob-2")


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
def test_retry_creates_nothing_while_the_job_cannot_be_polled(
    bench: Bench, early_ended: Run, error: ProviderError
) -> None:
    bench.provider.fail("get_job", error)
    with pytest.raises(type(error), match="so no other job was created") as caught:
        bench.run(bench.write_job(), retry=True)
    assert "ftjob-1 was not seen to end and may still be running" in caught.value.message
    assert ("--new` creates another job" if error.status == 404 else "--retry` tries again") in (
        caught.value.hint
    )
    assert bench.ledger.get_run(early_ended.id).status is early_ended.status
    assert bench.provider.count("create_job") == 1
    assert bench.run(bench.write_job(), retry=True).status is RunStatus.SUCCEEDED
    assert bench.provider.count("create_job") == 1


def test_a_job_known_to_have_failed_is_not_polled_again(bench: Bench) -> None:
    bench.provider.statuses = ("queued", "failed")
    job = bench.write_job()
    with pytest.raises(JobFailed):
        bench.run(job)
    bench.provider.statuses = ("queued", "succeeded")
    bench.provider.fail("get_job", NotFound("removed", status=404))
    assert bench.run(job, retry=True).job_id == "ftjob-2"


def test_cancel_ends_a_running_job_although_polls_are_refused(
    bench: Bench, early_ended: Run
) -> None:
    bench.provider.fail("get_job", *[PermissionRefused("region", status=403)] * 9)
    run = cancel_run(early_ended, bench.context)
    assert (run.status, run.job_status) == (RunStatus.CANCELLED, "cancelled")
    assert run.error == "ftjob-1 was cancelled"
    assert [job.status for job in bench.provider.jobs()] == ["cancelled"]
    assert cancel_run(run, bench.context) == run
    assert bench.provider.count("cancel_job") == 1


def test_cancelling_a_succeeded_job_keeps_its_model(bench: Bench, early_ended: Run) -> None:
    end_job(bench, "succeeded")
    with pytest.raises(RunError, match="ftjob-1 had already succeeded") as caught:
        cancel_run(early_ended, bench.context)
    assert f"ftops follow {early_ended.id}" in caught.value.hint
    assert drive(early_ended, bench.context).fine_tuned_model is not None


def test_adopt_reopens_the_run_of_the_job(bench: Bench, early_ended: Run) -> None:
    def adopt() -> Run:
        return adopt_job(
            "ftjob-1",
            bench.context,
            ProviderSettings(type="elsewhere"),
            lambda path: load_job(path, environ={}),
        )

    run = drive(adopt(), bench.context, detach=True)
    assert (run.id, run.status) == (early_ended.id, RunStatus.RUNNING)
    with pytest.raises(RunError, match="known already"):
        adopt()
    assert len(bench.ledger.list_runs()) == 1


def test_doctor_reports_the_run_until_its_job_is_known_to_have_ended(
    bench: Bench, early_ended: Run
) -> None:
    (problem,) = check_drivers([early_ended], bench.home)
    assert (problem.status, problem.where) == (CheckStatus.PROBLEM, early_ended.id)
    assert "ftjob-1 was not seen to end" in problem.what
    assert f"ftops follow {early_ended.id}" in problem.next
    assert f"ftops cancel {early_ended.id}" in problem.next
    bench.provider.fail("get_job", NotFound("no such job", status=404))
    checks = check_provider(bench.provider, bench.ledger, [early_ended])
    assert any("is gone from the provider" in check.what for check in checks)
    end_job(bench, "failed")
    with pytest.raises(JobFailed):
        drive(early_ended, bench.context)
    assert list(check_drivers(bench.ledger.list_runs(), bench.home)) == []


def test_prune_keeps_a_run_whose_job_may_be_running(bench: Bench, early_ended: Run) -> None:
    criteria = Criteria(older_than=timedelta(0))
    assert select(bench.ledger, bench.home, bench.clock.now(), criteria).artifacts == ()
    cancel_run(early_ended, bench.context)
    (artifacts,) = select(bench.ledger, bench.home, bench.clock.now(), criteria).artifacts
    assert artifacts.run.id == early_ended.id


@pytest.mark.parametrize(
    ("status", "job_state"),
    [("running", "running"), ("succeeded", "succeeded"), ("failed", None), ("cancelled", None)],
)
def test_new_warns_when_two_jobs_are_paid(
    bench: Bench, early_ended: Run, status: str, job_state: str | None
) -> None:
    if status != "running":
        end_job(bench, status)
    warnings = warn_of_new(bench)
    warning = (
        f"{early_ended.id} has the job ftjob-1 ({job_state});"
        " --new creates a second job: both are paid"
    )
    assert warnings == ([warning] if job_state else [])


def test_new_warns_when_the_provider_does_not_respond(bench: Bench, early_ended: Run) -> None:
    bench.provider.fail("get_job", Unreachable("no route"))
    (warning,) = warn_of_new(bench)
    assert "ftjob-1 (it may still be running)" in warning


def test_new_warns_about_a_finished_run_and_a_job_with_a_lost_response(bench: Bench) -> None:
    job = bench.write_job()
    assert warn_of_new(bench) == []
    bench.provider.loses_response_of = {"create_job"}
    fail_listing(bench, "gone")
    with pytest.raises(RunError):
        bench.run(job)
    (warning,) = warn_of_new(bench)
    assert "may have a job at the provider; --new creates a second job" in warning
    first = bench.ledger.list_runs()[-1]
    drive(first, bench.context)
    (warning,) = warn_of_new(bench)  # though a newer run of the file has no job yet
    assert f"{first.id} has the job ftjob-1 (succeeded)" in warning


def warn_of_new(bench: Bench) -> list[str]:
    """The cost warnings of `ftops run --new` before it creates a job."""
    before = len(bench.recorder.notes)
    open_run(bench.write_job(), bench.context, new=True)
    return [note for note in bench.recorder.notes[before:] if "both are paid" in note]
