"""Cancelling in every state of a run; no job keeps running."""

import contextlib
from dataclasses import replace
from datetime import timedelta

import pytest

from ftops.errors import (
    AuthFailed,
    JobCancelled,
    JobFailed,
    PermissionRefused,
    ProviderError,
    RateLimited,
    Rejected,
    RunError,
    UnknownRun,
    Unreachable,
)
from ftops.records import MultipartUpload, Run, RunStatus, Stage
from ftops.run_folder import hold_run
from ftops.runs.open_run import cancel_job_file, cancel_run, drive, open_run
from tests.runs.bench import Bench
from tests.runs.fake_provider import CAPABILITIES
from tests.runs.test_create import fail_listing


def start(bench: Bench) -> Run:
    """A run with a running job that no process drives."""
    return drive(open_run(bench.write_job(), bench.context), bench.context, detach=True)


def test_a_run_with_a_job_is_cancelled_at_the_provider_and_in_the_ledger(bench: Bench) -> None:
    run = cancel_run(start(bench), bench.context)
    assert (run.status, run.error) == (RunStatus.CANCELLED, "ftjob-1 was cancelled")
    assert bench.provider.jobs()[0].status == "cancelled"
    call = bench.ledger.list_calls(run.id)[-1]
    assert (call.name, call.state, call.remote_id) == ("cancel_job", "done", "ftjob-1")


def test_a_run_without_a_job_is_cancelled_when_the_provider_knows_no_job(
    bench: Bench,
) -> None:
    run = open_run(bench.write_job(), bench.context)
    bench.provider.fail("find_job", Unreachable("no network"))
    with pytest.raises(Unreachable):
        cancel_run(run, bench.context)
    with pytest.raises(JobCancelled, match="before it had a job"):  # the cancellation is recorded
        drive(run, bench.context)
    assert bench.ledger.get_run(run.id).status is RunStatus.CANCELLED
    assert bench.provider.count("create_job") == 0


@pytest.mark.parametrize("refusal", [AuthFailed, PermissionRefused])
def test_a_run_without_a_job_is_cancelled_without_a_key(
    bench: Bench, refusal: type[ProviderError]
) -> None:
    run = open_run(bench.write_job(), bench.context)
    bench.provider.fail("ensure_ready", refusal("no key"))
    assert cancel_run(run, bench.context).status is RunStatus.CANCELLED


def test_an_ended_run_is_unchanged(bench: Bench) -> None:
    run = bench.run(bench.write_job())
    assert cancel_run(run, bench.context) == run
    assert bench.provider.count("cancel_job") == 0


def test_a_job_with_a_lost_response_is_found_and_cancelled(bench: Bench) -> None:
    job = bench.write_job()
    bench.provider.loses_response_of = {"create_job"}
    fail_listing(bench, "gone")
    with pytest.raises(RunError, match="may or may not exist"):
        bench.run(job)
    (run,) = bench.ledger.list_runs()
    assert run.job_id is None
    assert cancel_run(run, bench.context).status is RunStatus.CANCELLED
    assert [job.status for job in bench.provider.jobs()] == ["cancelled"]


def test_an_interrupted_cancellation_is_completed_by_the_next_run(bench: Bench) -> None:
    job = bench.write_job()
    bench.provider.loses_response_of = {"create_job"}
    fail_listing(bench, "gone", "still gone")
    with pytest.raises(RunError):
        bench.run(job)
    with pytest.raises(Unreachable):
        cancel_run(bench.ledger.list_runs()[0], bench.context)
    with pytest.raises(JobCancelled):
        bench.run(job)
    assert [job.status for job in bench.provider.jobs()] == ["cancelled"]


def test_a_job_request_that_never_arrived_needs_no_cancellation(bench: Bench) -> None:
    job = bench.write_job()
    bench.provider.fail("create_job", Unreachable("refused"))
    with pytest.raises(RunError):
        bench.run(job)
    run = cancel_run(bench.ledger.list_runs()[0], bench.context)
    assert (run.status, run.job_id) == (RunStatus.CANCELLED, None)
    assert [call.state for call in bench.ledger.list_calls(run.id)][-1] == "failed"


def test_a_job_that_succeeded_meanwhile_is_not_cancelled(bench: Bench) -> None:
    run = start(bench)
    while not bench.provider.get_job("ftjob-1").ended:
        pass
    with pytest.raises(RunError, match="had already succeeded") as caught:
        cancel_run(run, bench.context)
    assert "follow" in caught.value.hint
    assert drive(bench.ledger.get_run(run.id), bench.context).status is RunStatus.SUCCEEDED


def test_a_job_that_failed_meanwhile_is_failed(bench: Bench) -> None:
    bench.provider.statuses = ("queued", "failed")
    run = start(bench)
    bench.provider.get_job("ftjob-1")
    with pytest.raises(JobFailed, match="had already failed"):
        cancel_run(run, bench.context)


def test_a_cancellation_lost_by_the_network_can_be_repeated(bench: Bench) -> None:
    run = start(bench)
    bench.provider.fail("cancel_job", Unreachable("reset"))
    with pytest.raises(Unreachable):
        cancel_run(run, bench.context)
    assert bench.ledger.get_run(run.id).status is RunStatus.RUNNING
    assert cancel_run(run, bench.context).status is RunStatus.CANCELLED


def test_a_cancelled_run_can_be_retried(bench: Bench) -> None:
    cancel_run(start(bench), bench.context)
    run = bench.run(bench.write_job(), retry=True)
    assert (run.status, run.job_id) == (RunStatus.SUCCEEDED, "ftjob-2")


def test_a_running_command_stops_before_it_creates_the_job(bench: Bench) -> None:
    job = bench.write_job()

    def request_cancel() -> None:
        bench.ledger.ask_cancel(bench.ledger.list_runs()[0].id)

    bench.provider.before("upload_file", request_cancel)
    with pytest.raises(JobCancelled, match="before it had a job"):
        bench.run(job)
    assert bench.provider.count("create_job") == 0


def test_a_run_of_another_process_is_cancelled_through_its_job(bench: Bench) -> None:
    run = start(bench)
    with hold_run(run, bench.home) as is_held:
        assert is_held
        # The other process would see the cancelled job and end the run; here it never polls.
        waiting = cancel_run(run, bench.context)
    assert bench.provider.jobs()[0].status == "cancelled"
    assert bench.provider.count("cancel_job") == 1
    assert waiting.status is RunStatus.RUNNING
    with pytest.raises(JobCancelled):
        drive(run, bench.context)


def test_a_command_notices_that_another_command_cancelled_its_job(bench: Bench) -> None:
    job = bench.write_job()

    def cancel() -> None:
        if bench.provider.count("cancel_job") == 0:
            bench.provider.cancel_job("ftjob-1")

    bench.provider.before("list_events", cancel)
    with pytest.raises(JobCancelled):
        bench.run(job)
    assert bench.ledger.list_runs()[0].status is RunStatus.CANCELLED


def test_a_run_waiting_for_a_slot_is_cancelled_without_a_job(bench: Bench) -> None:
    def request_cancel() -> None:
        bench.ledger.ask_cancel(bench.ledger.list_runs()[0].id)

    bench.provider.before("create_job", request_cancel)
    bench.provider.fail("create_job", RateLimited("tomorrow", retry_after_s=40_000.0))
    with pytest.raises(JobCancelled, match="before it had a job"):
        bench.run(bench.write_job())
    assert bench.ledger.list_runs()[0].status is RunStatus.CANCELLED
    assert bench.provider.count("create_job") == 0


def test_a_cancellation_killed_before_it_was_sent_is_completed_by_the_next_command(
    bench: Bench,
) -> None:
    run = start(bench)
    bench.ledger.ask_cancel(run.id)
    with pytest.raises(JobCancelled):
        drive(run, bench.context)
    assert [job.status for job in bench.provider.jobs()] == ["cancelled"]


def test_a_refused_key_leaves_the_run_unchanged(bench: Bench) -> None:
    run = start(bench)
    bench.provider.fail("cancel_job", AuthFailed("wrong key"))
    with pytest.raises(AuthFailed):
        cancel_run(run, bench.context)
    assert bench.ledger.get_run(run.id).status is RunStatus.RUNNING


def test_a_cancellation_with_a_lost_response_is_closed_when_the_job_has_ended(
    bench: Bench,
) -> None:
    run = start(bench)
    bench.provider.fail("cancel_job", Unreachable("reset"))
    with pytest.raises(Unreachable):
        cancel_run(run, bench.context)
    assert bench.ledger.find_open_call(run.id, "cancel_job")
    assert cancel_run(run, bench.context).status is RunStatus.CANCELLED
    calls = [c.state for c in bench.ledger.list_calls(run.id) if c.name == "cancel_job"]
    assert calls == ["done"]


@pytest.mark.parametrize(("status", "state"), [("succeeded", "failed"), ("cancelled", "done")])
def test_following_a_job_to_its_end_closes_a_killed_cancellation(
    bench: Bench, status: str, state: str
) -> None:
    run = start(bench)
    bench.ledger.record_intent(run.id, Stage.FOLLOW, "cancel_job", {"job_id": "ftjob-1"})
    bench.provider.statuses = ("queued", status)
    with contextlib.suppress(JobCancelled):
        drive(run, bench.context)
    (call,) = [c for c in bench.ledger.list_calls(run.id) if c.name == "cancel_job"]
    assert call.state == state


def test_a_cancellation_lost_after_the_job_ended_is_closed_with_the_run(
    bench: Bench,
) -> None:
    job = bench.write_job()
    bench.provider.fail("read_file", AuthFailed("no key"))
    with pytest.raises(AuthFailed):
        bench.run(job)
    run = bench.ledger.list_runs()[0]
    bench.provider.fail("cancel_job", Unreachable("reset"))
    with pytest.raises(Unreachable):
        cancel_run(run, bench.context)
    assert bench.run(job).status is RunStatus.SUCCEEDED
    assert bench.ledger.find_open_call(run.id, "cancel_job") is None


@pytest.mark.parametrize("command", ["run", "cancel"])
def test_a_cancellation_killed_after_the_run_ended_is_closed_by_the_next_command(
    bench: Bench, command: str
) -> None:
    run = bench.run(bench.write_job())
    bench.ledger.record_intent(run.id, Stage.FOLLOW, "cancel_job", {"job_id": "ftjob-1"})
    if command == "run":
        drive(run, bench.context)
    else:
        cancel_run(run, bench.context)
    assert bench.ledger.find_open_call(run.id, "cancel_job") is None


def test_two_concurrent_cancellations_both_end(bench: Bench) -> None:
    run = start(bench)

    def other() -> None:
        bench.ledger.close_calls(run.id, ["cancel_job"], remote_id="ftjob-1")

    bench.provider.before("cancel_job", other)
    assert cancel_run(run, bench.context).status is RunStatus.CANCELLED


def begin_parts(bench: Bench) -> Run:
    """A run with an interrupted multipart upload."""
    bench.provider.fail("upload_file", Unreachable("reset"))
    with pytest.raises(Unreachable):
        bench.run(bench.write_job(validation_file=None))
    (call,) = bench.ledger.list_open_calls("upload_file")
    later = bench.clock.now() + timedelta(hours=1)
    bench.ledger.begin_parts(call, MultipartUpload("upload-1", 40, later))
    return bench.ledger.get_run(call.run_id)


def test_a_multipart_upload_is_cancelled_at_the_provider(bench: Bench) -> None:
    run = begin_parts(bench)
    assert cancel_run(run, bench.context).status is RunStatus.CANCELLED
    assert bench.provider.count("cancel_upload") == 1
    (call,) = bench.ledger.list_calls(run.id)
    assert (call.state, call.error) == ("failed", "upload-1 was cancelled")
    assert bench.ledger.find_parts(call) is None


@pytest.mark.parametrize(
    ("completing", "state"), [(False, "failed"), (True, "intent")], ids=["parts", "a file"]
)
def test_an_upload_that_ended_at_the_provider_is_closed_unless_it_may_be_a_file(
    bench: Bench, completing: bool, state: str
) -> None:
    run = begin_parts(bench)
    (call,) = bench.ledger.list_calls(run.id)
    if completing:
        bench.ledger.mark_completing(call)
    bench.provider.fail("cancel_upload", Rejected("it is completed", status=400))
    assert cancel_run(run, bench.context).status is RunStatus.CANCELLED
    assert [call.state for call in bench.ledger.list_calls(run.id)] == [state]


def test_a_run_is_cancelled_while_the_provider_is_unreachable(bench: Bench) -> None:
    run = begin_parts(bench)
    bench.provider.fail("cancel_upload", Unreachable("no network"))
    assert cancel_run(run, bench.context).status is RunStatus.CANCELLED
    assert "the upload upload-1 expires at the provider" in bench.recorder.notes[-1]


def test_without_metadata_a_job_of_a_lost_ledger_is_cancelled_by_its_parameters(
    bench: Bench,
) -> None:
    bench.provider.capabilities = replace(CAPABILITIES, metadata=False)
    job = bench.write_job()
    drive(open_run(job, bench.context), bench.context, detach=True)
    fresh = Bench(bench.folder / "fresh", bench.clock)
    fresh.provider = bench.provider
    run = cancel_job_file(job, fresh.context)
    assert (run.status, run.job_id) == (RunStatus.CANCELLED, "ftjob-1")
    assert [job.status for job in bench.provider.jobs()] == ["cancelled"]
    fresh.ledger.close()


def test_without_metadata_a_job_file_that_never_ran_is_reported(bench: Bench) -> None:
    bench.provider.capabilities = replace(CAPABILITIES, metadata=False)
    with pytest.raises(UnknownRun, match="knows a job of"):
        cancel_job_file(bench.write_job(), bench.context)
    assert bench.provider.count("upload_file") == 0
