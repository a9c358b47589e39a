"""Creating a job: exactly one, after any error of the request or its response."""

from dataclasses import replace
from datetime import timedelta

import pytest

from ftops.errors import (
    AuthFailed,
    FtopsError,
    InvalidResponse,
    JobCancelled,
    NotFound,
    PermissionRefused,
    ProviderError,
    RateLimited,
    Rejected,
    RunError,
    Unavailable,
    Unreachable,
    WaitedTooLong,
)
from ftops.records import JobRequest, RunStatus, Stage
from tests.runs.bench import Bench


def list_create_calls(bench: Bench) -> list[str]:
    (run,) = bench.ledger.list_runs()
    return [call.state for call in bench.ledger.list_calls(run.id) if call.name == "create_job"]


def fail_listing(bench: Bench, *messages: str) -> None:
    """Let listing jobs fail after the next job creation."""
    errors = [Unreachable(message) for message in messages]

    def fail() -> None:
        bench.provider.fail("find_job", *errors)
        errors.clear()

    bench.provider.before("create_job", fail)


def test_the_job_has_the_metadata_of_the_user_and_of_the_run(bench: Bench) -> None:
    run = bench.run(bench.write_job(metadata={"team": "search"}))
    (job,) = bench.provider.jobs()
    assert job.metadata == {"team": "search", "ftops_run": run.id, "ftops_key": run.key[:32]}


def test_the_intent_is_in_the_ledger_before_the_request(bench: Bench) -> None:
    states: list[list[str]] = []
    bench.provider.before("create_job", lambda: states.append(list_create_calls(bench)))
    bench.run(bench.write_job())
    assert states == [["intent"]]
    assert list_create_calls(bench) == ["done"]


def test_a_job_with_a_lost_response_is_found_and_adopted(bench: Bench) -> None:
    bench.provider.loses_response_of = {"create_job"}
    run = bench.run(bench.write_job())
    assert run.status is RunStatus.SUCCEEDED
    assert bench.provider.count("create_job") == 1
    assert bench.detail(run, Stage.CREATE)["adopted"] is True
    assert any("ftjob-1" in note for note in bench.recorder.notes)


def test_a_delayed_listing_is_awaited(bench: Bench) -> None:
    bench.provider.loses_response_of = {"create_job"}
    bench.provider.listing_lag_s = 20.0
    assert bench.run(bench.write_job()).status is RunStatus.SUCCEEDED
    assert bench.provider.count("create_job") == 1


def test_a_recorded_job_is_not_created_again_when_its_stage_did_not_end(
    bench: Bench,
) -> None:
    ledger = bench.ledger
    job = bench.write_job()
    bench.provider.fail("create_job", Unreachable("refused"))
    with pytest.raises(FtopsError):
        bench.run(job)
    (run,) = ledger.list_runs()
    created = bench.provider.create_job(JobRequest(model="ada", training_file="file-1"))
    call = ledger.record_intent(run.id, Stage.CREATE, "create_job", {})
    ledger.record_job(call, created.id)
    assert bench.run(job).job_id == created.id
    assert bench.provider.count("create_job") == 1
    assert bench.detail(run, Stage.CREATE)["adopted"] is True


@pytest.mark.parametrize(
    "error", [Unreachable("reset"), Unavailable("502"), InvalidResponse("not JSON")], ids=repr
)
def test_after_a_lost_request_the_next_command_searches_before_it_creates(
    bench: Bench, error: ProviderError
) -> None:
    job = bench.write_job()
    bench.provider.fail("create_job", error)
    started = bench.clock.now()
    with pytest.raises(RunError, match="may or may not exist") as caught:
        bench.run(job)
    assert "looks for the job at the provider before" in caught.value.hint
    assert bench.clock.now() - started >= timedelta(seconds=30)
    assert bench.ledger.list_runs()[0].status is RunStatus.RUNNING
    assert list_create_calls(bench) == ["intent"]
    requests: list[str] = []
    bench.provider.before("find_job", lambda: requests.append("find"))
    bench.provider.before("create_job", lambda: requests.append("create"))
    assert bench.run(job).status is RunStatus.SUCCEEDED
    assert requests[-1] == "create"
    assert set(requests[:-1]) == {"find"}
    assert list_create_calls(bench) == ["failed", "done"]
    assert bench.provider.count("create_job") == 1


def test_a_job_listed_only_for_the_next_command_is_adopted(bench: Bench) -> None:
    job = bench.write_job()
    bench.provider.loses_response_of = {"create_job"}
    bench.provider.listing_lag_s = 3600.0
    with pytest.raises(RunError, match="may or may not exist"):
        bench.run(job)
    bench.clock.advance(3600)
    assert bench.run(job).job_id == "ftjob-1"
    assert bench.provider.count("create_job") == 1


def test_nothing_is_repeated_while_jobs_cannot_be_listed(bench: Bench) -> None:
    job = bench.write_job()
    bench.provider.loses_response_of = {"create_job"}
    fail_listing(bench, "gone", "still gone")
    with pytest.raises(RunError, match="may or may not exist"):
        bench.run(job)
    with pytest.raises(Unreachable, match="still gone"):
        bench.run(job)
    assert bench.run(job).job_id == "ftjob-1"
    assert bench.provider.count("create_job") == 1


def test_a_recent_intent_of_a_killed_command_waits_for_the_listing(bench: Bench) -> None:
    job = bench.write_job()
    bench.provider.listing_lag_s = 20.0

    def interrupt() -> None:
        raise KeyboardInterrupt

    # The response is lost, and the user interrupts the search for the job at once.
    bench.provider.loses_response_of = {"create_job"}
    bench.provider.before("find_job", interrupt)
    with pytest.raises(KeyboardInterrupt):
        bench.run(job)
    bench.provider.before("find_job", lambda: None)
    assert bench.run(job).job_id == "ftjob-1"
    assert bench.provider.count("create_job") == 1


def test_without_metadata_a_job_older_than_the_request_is_foreign(
    bench: Bench,
) -> None:
    bench.provider.capabilities = replace(bench.provider.capabilities, metadata=False)
    path = bench.folder / "rows.jsonl"
    path.write_text("{}\n")
    file = bench.provider.upload_file(
        path, filename="rows.jsonl", on_bytes=lambda sent, total: None
    )
    bench.provider.create_job(JobRequest("ada", file.id))
    job = bench.write_job()
    bench.clock.advance(3600)
    bench.provider.fail("create_job", Unreachable("reset"))
    with pytest.raises(RunError, match="may or may not exist"):
        bench.run(job)
    bench.provider.loses_response_of = {"create_job"}
    run = bench.run(job)
    assert run.job_id == "ftjob-2"
    assert bench.detail(run, Stage.CREATE)["adopted"] is True


def test_without_metadata_a_newer_job_of_another_run_is_skipped(
    bench: Bench,
) -> None:
    bench.provider.capabilities = replace(bench.provider.capabilities, metadata=False)
    job, other = bench.write_job(), bench.write_job(hyperparameters={"n_epochs": 7})
    bench.provider.loses_response_of = {"create_job"}
    bench.provider.listing_lag_s = 60.0
    with pytest.raises(RunError, match="may or may not exist"):
        bench.run(job)
    assert bench.run(other).job_id == "ftjob-2"
    bench.clock.advance(60)
    assert bench.run(job).job_id == "ftjob-1"
    assert bench.provider.count("create_job") == 2


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Rejected("no such model", status=400), RunStatus.FAILED),
        (AuthFailed("wrong key", status=401), RunStatus.RUNNING),
    ],
    ids=["refused", "wrong key"],
)
def test_a_refusal_closes_the_call(bench: Bench, error: ProviderError, status: RunStatus) -> None:
    job = bench.write_job()
    bench.provider.fail("create_job", error)
    with pytest.raises(type(error)):
        bench.run(job)
    assert bench.ledger.list_runs()[0].status is status
    assert list_create_calls(bench) == ["failed"]
    assert bench.run(job, retry=True).status is RunStatus.SUCCEEDED


def test_too_many_requests_are_retried_after_the_time_of_the_provider(bench: Bench) -> None:
    created_s: list[float] = []
    bench.provider.before("create_job", lambda: created_s.append(bench.clock.monotonic_s()))
    bench.provider.fail("create_job", RateLimited("slower", retry_after_s=33.0))
    assert bench.run(bench.write_job()).status is RunStatus.SUCCEEDED
    assert created_s[1] - created_s[0] == 33.0
    assert list_create_calls(bench) == ["failed", "done"]


@pytest.mark.parametrize(
    ("error", "waited_s"),
    [
        (RateLimited("slower", retry_after_s=300.0), 300),
        (RateLimited("tomorrow", retry_after_s=40_000.0), 40_000),
        (RateLimited("a day's jobs", code="daily_rate_limit_exceeded", final=True), 3600),
    ],
    ids=["minutes", "hours", "the day's limit"],
)
def test_the_next_slot_is_awaited_for_any_time(
    bench: Bench, error: RateLimited, waited_s: float
) -> None:
    began_s = bench.clock.monotonic_s()
    created_s: list[float] = []
    bench.provider.fail("create_job", error)
    bench.provider.before("create_job", lambda: created_s.append(bench.clock.monotonic_s()))
    assert bench.run(bench.write_job()).status is RunStatus.SUCCEEDED
    assert created_s[-1] - began_s == waited_s
    assert any(f"in {waited_s:,.0f} s" in note for note in bench.recorder.notes)


# Responses to a request that has created the job.
AMBIGUOUS = [
    RateLimited("slow down", status=429, retry_after_s=1.0),
    RateLimited("slow down", status=429, retry_after_s=40_000.0),
    RateLimited("slow down", status=429, retry_after_s=10**7),
    RateLimited("slow down", status=429),
    RateLimited("no quota", status=429, code="insufficient_quota", final=True),
    RateLimited("a day's jobs", status=429, code="daily_rate_limit_exceeded", final=True),
    *(Rejected("in conflict", status=status) for status in (402, 409, 451)),
    *(Unavailable("unavailable", status=status) for status in (408, 500, 503)),
    Rejected("<html>", status=400, unrecognized=True),
    AuthFailed("<html>", status=401, unrecognized=True),
    PermissionRefused("<html>", status=403, unrecognized=True),
    NotFound("<html>", status=404, unrecognized=True),
    InvalidResponse("cut", status=200),
    Unreachable("reset"),
]


def fail_after_creation(bench: Bench, *errors: ProviderError) -> None:
    """Let the next job creations have an effect and raise these errors."""
    bench.provider.errors_after["create_job"] = list(errors)


@pytest.mark.parametrize("lag_s", [0.0, 25.0], ids=["listed at once", "listed late"])
@pytest.mark.parametrize("error", AMBIGUOUS, ids=lambda e: f"{type(e).__name__} {e.status}")
def test_a_created_job_is_found_after_any_error_response(
    bench: Bench, error: ProviderError, lag_s: float
) -> None:
    bench.provider.listing_lag_s = lag_s
    fail_after_creation(bench, error)
    followed_s: list[float] = []
    bench.provider.before("get_job", lambda: followed_s.append(bench.clock.monotonic_s()))
    run = bench.run(bench.write_job())
    assert (run.status, run.job_id) == (RunStatus.SUCCEEDED, "ftjob-1")
    assert bench.provider.count("create_job") == 1
    assert list_create_calls(bench) == ["done"]
    assert followed_s[0] <= 30.0


@pytest.mark.parametrize("error", AMBIGUOUS, ids=lambda e: f"{type(e).__name__} {e.status}")
def test_a_job_is_searched_before_its_request_is_repeated(
    bench: Bench, error: ProviderError
) -> None:
    requests: list[str] = []
    bench.provider.before("find_job", lambda: requests.append("find"))
    bench.provider.before("create_job", lambda: requests.append("create"))
    bench.provider.fail("create_job", error)
    job = bench.write_job()
    try:
        run = bench.run(job)
    except FtopsError:
        assert bench.ledger.list_runs()[0].status is RunStatus.RUNNING
        run = bench.run(job)
    assert run.status is RunStatus.SUCCEEDED
    first, second = [index for index, call in enumerate(requests) if call == "create"]
    assert "find" in requests[first:second]
    assert bench.provider.count("create_job") == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 415, 422])
def test_a_refusal_is_accepted_when_the_job_is_not_listed(bench: Bench, status: int) -> None:
    fail_after_creation(bench, Rejected("no", status=status))
    run = bench.run(bench.write_job())
    assert (run.status, run.job_id) == (RunStatus.SUCCEEDED, "ftjob-1")
    assert bench.provider.count("create_job") == 1


@pytest.mark.parametrize(
    "error",
    [
        Rejected("conflict", status=409),
        PermissionRefused("a proxy's page", status=403, unrecognized=True),
        NotFound("no such route", status=404),
    ],
    ids=lambda error: str(error.status),
)
def test_a_refusal_to_list_the_jobs_does_not_end_the_run(
    bench: Bench, error: ProviderError
) -> None:
    job = bench.write_job()
    bench.provider.fail("find_job", error)
    with pytest.raises(RunError, match="unknown whether") as caught:
        bench.run(job)
    assert "tries again" in caught.value.hint
    assert bench.ledger.list_runs()[0].status is RunStatus.RUNNING
    assert bench.run(job).status is RunStatus.SUCCEEDED
    assert bench.provider.count("create_job") == 1


def test_nothing_is_sent_while_rate_limits_prevent_the_search(
    bench: Bench,
) -> None:
    fail_after_creation(bench, RateLimited("slow down", status=429))

    def limit() -> None:
        bench.provider.fail("find_job", *[RateLimited("slow down", status=429)] * 9)
        bench.provider.before("create_job", lambda: None)

    bench.provider.before("create_job", limit)
    run = bench.run(bench.write_job())
    assert (run.status, run.job_id) == (RunStatus.SUCCEEDED, "ftjob-1")
    assert bench.provider.count("create_job") == 1


def test_a_cancellation_while_waiting_for_a_slot_ends_an_existing_job(bench: Bench) -> None:
    fail_after_creation(bench, RateLimited("slow down", status=429, retry_after_s=900.0))
    bench.provider.listing_lag_s = 20.0

    def cancel() -> None:
        bench.ledger.ask_cancel(bench.ledger.list_runs()[0].id)

    bench.provider.before("create_job", lambda: bench.provider.before("find_job", cancel))
    with pytest.raises(JobCancelled):
        bench.run(bench.write_job())
    assert [job.status for job in bench.provider.jobs()] == ["cancelled"]
    assert list_create_calls(bench) == ["done"]


def list_idempotency_keys(bench: Bench) -> list[str | None]:
    return [request.idempotency_key for request in bench.provider.job_requests]


def test_a_repeated_request_has_the_same_idempotency_key(bench: Bench) -> None:
    job = bench.write_job()
    bench.provider.fail("create_job", RateLimited("slower"), Unavailable("500", status=500))
    with pytest.raises(RunError, match="may or may not exist"):
        bench.run(job)

    def interrupt() -> None:
        bench.provider.before("create_job", lambda: None)
        raise KeyboardInterrupt

    bench.provider.before("create_job", interrupt)
    with pytest.raises(KeyboardInterrupt):
        bench.run(job)
    run = bench.run(job)
    keys = list_idempotency_keys(bench)
    assert len(keys) == 4
    assert set(keys) == {f"{run.id}.1"}


def test_another_attempt_and_another_run_have_another_idempotency_key(bench: Bench) -> None:
    job = bench.write_job()
    bench.provider.statuses = ("running", "failed")
    with pytest.raises(FtopsError):
        bench.run(job)
    bench.provider.statuses = ("running", "succeeded")
    bench.provider.fail("create_job", Rejected("no such model", status=400))
    with pytest.raises(Rejected):
        bench.run(job, retry=True)
    bench.run(job, retry=True)
    bench.run(job, new=True)
    keys = list_idempotency_keys(bench)
    assert len(keys) == len(set(keys)) == 4


def test_waiting_for_a_slot_ends_at_max_wait_and_the_next_command_continues(bench: Bench) -> None:
    job = bench.write_job(limits={"max_wait": "10m"})
    bench.provider.fail("create_job", RateLimited("tomorrow", retry_after_s=40_000.0))
    with pytest.raises(WaitedTooLong, match=r"within limits\.max_wait \(10m\)"):
        bench.run(job)
    assert bench.clock.monotonic_s() == 600.0
    assert bench.run(job).status is RunStatus.SUCCEEDED
    assert bench.provider.count("create_job") == 1


def test_waiting_for_a_slot_ends_after_two_days(bench: Bench) -> None:
    bench.provider.fail("create_job", *[RateLimited("slower")] * 100)
    with pytest.raises(RateLimited):
        bench.run(bench.write_job())
    assert 40 * 3600 < bench.clock.monotonic_s() <= 48 * 3600
    assert bench.ledger.list_runs()[0].status is RunStatus.RUNNING


def test_closed_fine_tuning_is_reported_with_a_hint_to_delete_the_uploads(bench: Bench) -> None:
    closed = PermissionRefused("closed", hint="Dates.", code="training_not_available", status=403)
    bench.provider.fail("create_job", closed)
    with pytest.raises(PermissionRefused) as caught:
        bench.run(bench.write_job())
    files = " ".join(file.id for file in bench.provider.list_files())
    assert f"`ftops files delete {files} --provider fake`" in caught.value.hint
    assert "Dates." in caught.value.hint


def test_a_permanent_limit_ends_the_command_but_not_the_run(bench: Bench) -> None:
    job = bench.write_job()
    bench.provider.fail("create_job", RateLimited("no quota", final=True))
    with pytest.raises(RateLimited):
        bench.run(job)
    assert bench.run(job).status is RunStatus.SUCCEEDED
