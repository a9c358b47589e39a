"""Following a job to its end, through errors, with each event shown once."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from ftops.errors import (
    AuthFailed,
    InvalidResponse,
    JobFailed,
    JobStalled,
    NotFound,
    PermissionRefused,
    ProviderError,
    RateLimited,
    Rejected,
    Unavailable,
    Unreachable,
    WaitedTooLong,
)
from ftops.records import Job, JobEvent, RunStatus, Stage, StageStatus
from ftops.runs.open_run import drive, open_run
from tests.runs.bench import Bench
from tests.runs.fake_provider import FakeProvider

ALL_STEPS = [f"Step {number}/4" for number in range(1, 5)]


def interrupt() -> None:
    """Ctrl-C."""
    raise KeyboardInterrupt


def test_events_are_stored_before_they_are_shown(bench: Bench) -> None:
    stored_when_shown: list[bool] = []
    job = bench.write_job()

    def check() -> None:
        (run,) = bench.ledger.list_runs()
        known = [event.message for event in bench.ledger.list_events(run.id)]
        stored_when_shown.append(set(bench.recorder.events) <= set(known))

    bench.provider.before("get_job", check)
    bench.run(job)
    assert stored_when_shown
    assert all(stored_when_shown)


def test_repeated_events_are_shown_once(bench: Bench) -> None:
    bench.provider.repeats_events = True
    bench.run(bench.write_job())
    assert bench.recorder.events == ALL_STEPS


def test_only_events_that_are_not_stored_are_requested(bench: Bench) -> None:
    bench.run(bench.write_job())
    assert bench.provider.known == [0, 1, 2, 3, 4]


def test_events_stored_by_a_killed_command_are_shown_by_the_next(bench: Bench) -> None:
    job = bench.write_job()
    bench.provider.before("get_job", interrupt)
    with pytest.raises(KeyboardInterrupt):
        bench.run(job)
    bench.provider.before("get_job", lambda: None)
    (run,) = bench.ledger.list_runs()
    assert run.job_id is not None
    bench.provider.get_job(run.job_id)
    events = bench.provider.list_events(run.job_id, known=frozenset())
    bench.ledger.add_events(run.id, run.job_id, events)
    bench.run(job)
    assert bench.recorder.events == ALL_STEPS


def test_events_that_arrive_while_waiting_are_shown_at_once(bench: Bench) -> None:
    shown_at: list[list[str]] = []

    def stream_all(events: Sequence[JobEvent]) -> Iterator[JobEvent]:
        """A stream that is ahead of the list and starts with known events."""
        for number in (1, 2, 3):
            yield replace(
                events[0],
                id=events[0].id.removesuffix("1") + str(number),
                message=f"Step {number}/4",
            )
            shown_at.append(list(bench.recorder.events))

    bench.provider.streams = [stream_all]
    bench.run(bench.write_job())
    assert shown_at == [ALL_STEPS[:1], ALL_STEPS[:2], ALL_STEPS[:3]]
    assert bench.recorder.events == ALL_STEPS


def test_ctrl_c_while_waiting_for_events_leaves_the_run_unchanged(bench: Bench) -> None:
    def interrupted(_events: Sequence[JobEvent]) -> Iterator[JobEvent]:
        raise KeyboardInterrupt

    job = bench.write_job()
    bench.provider.streams = [interrupted]
    with pytest.raises(KeyboardInterrupt):
        bench.run(job)
    (run,) = bench.ledger.list_runs()
    assert run.status is RunStatus.RUNNING
    assert drive(run, bench.context).status is RunStatus.SUCCEEDED
    assert bench.recorder.events == ALL_STEPS


def test_epoch_events_are_shown_as_progress(bench: Bench) -> None:
    def epochs(events: Sequence[JobEvent]) -> Iterator[JobEvent]:
        yield replace(events[0], id="epoch", message="Epoch", data={"epoch": 2, "n_epochs": 4})

    bench.provider.streams = [epochs]
    bench.run(bench.write_job())
    assert ("follow", 2.0, 4.0, "epochs") in bench.recorder.progress


def test_a_resumed_follow_continues_its_progress(bench: Bench) -> None:
    job = bench.write_job()
    wait = bench.provider.capabilities.poll_every_s
    bench.provider.before("get_job", lambda: interrupt() if bench.recorder.events else None)
    with pytest.raises(KeyboardInterrupt):
        bench.run(job)
    shown = len(bench.recorder.events)
    bench.provider.before("get_job", lambda: None)
    bench.run(job)
    follow = [step for step in bench.recorder.progress if step[0] == "follow"]
    assert follow[0] == ("follow", float(shown), 4.0, "steps")
    assert bench.clock.slept_s.count(wait) > 2


@pytest.mark.parametrize(
    "error",
    [Unreachable("no route"), Unavailable("502"), RateLimited("slower"), InvalidResponse("<html>")],
    ids=lambda error: type(error).__name__,
)
def test_a_temporarily_unreachable_provider_is_awaited(bench: Bench, error: ProviderError) -> None:
    bench.provider.fail("get_job", *[error] * 20)
    run = bench.run(bench.write_job())
    assert run.status is RunStatus.SUCCEEDED
    notes = [
        note for note in bench.recorder.notes if "asking again" in note or "answers again" in note
    ]
    assert error.message in notes[0]
    assert "the provider answers again, after" in notes[-1]
    assert len(notes) <= 3  # not a line for each of twenty failures


def test_pauses_grow_while_the_provider_is_unreachable_and_shrink_again(bench: Bench) -> None:
    bench.provider.fail("get_job", *[Unavailable("503")] * 6)
    bench.run(bench.write_job())
    slept = bench.clock.slept_s
    assert slept[:6] == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
    assert slept[6] == 5.0


@pytest.mark.parametrize("requested_s", [40.0, 86_400.0 * 7, 251_606_303_999.0, 1e308])
@pytest.mark.parametrize("method", ["get_job", "list_events"])
@pytest.mark.parametrize("kind", [RateLimited, Unavailable, PermissionRefused])
def test_a_retry_after_is_limited_to_a_minute(
    bench: Bench, kind: type[ProviderError], method: str, requested_s: float
) -> None:
    bench.provider.fail(method, kind("slower", retry_after_s=requested_s))
    run = bench.run(bench.write_job())
    assert run.status is RunStatus.SUCCEEDED
    assert bench.clock.slept_s[0] == min(requested_s, 60.0)


def test_a_run_continues_after_days_without_network(bench: Bench) -> None:
    bench.provider.fail("get_job", *[Unreachable("no route")] * 3000)
    assert bench.run(bench.write_job()).status is RunStatus.SUCCEEDED
    assert bench.clock.monotonic_s() > 40 * 3600


def test_permanently_invalid_responses_end_the_command_but_not_the_run(bench: Bench) -> None:
    job = bench.write_job()
    bench.provider.fail("get_job", *[InvalidResponse("<html>")] * 200)
    with pytest.raises(InvalidResponse):
        bench.run(job)
    assert bench.ledger.list_runs()[0].status is RunStatus.RUNNING


def test_a_temporarily_unknown_job_is_polled_again(bench: Bench) -> None:
    bench.provider.fail("get_job", NotFound("no such job"), NotFound("no such job"))
    assert bench.run(bench.write_job()).status is RunStatus.SUCCEEDED


@pytest.mark.parametrize(
    ("error", "limit_s"),
    [
        (AuthFailed("key revoked", status=401), 300),
        (PermissionRefused("region not supported", status=403), 300),
        (NotFound("no such job", status=404), 600),
        (Rejected("malformed", status=400), 1800),
        (Unavailable("locked", status=409), 1800),
        (Rejected("gone", status=410), 1800),
        (Rejected("legal reasons", status=451), 1800),
        (InvalidResponse("<html>", status=307), 1800),
        (RateLimited("no credit", status=429, final=True), 1800),
    ],
    ids=lambda value: str(value.status) if isinstance(value, ProviderError) else "",
)
def test_polls_refused_for_long_end_the_command_but_not_the_run(
    bench: Bench, error: ProviderError, limit_s: float
) -> None:
    job = bench.write_job()
    bench.provider.fail("get_job", *[error] * 200)
    with pytest.raises(type(error)) as caught:
        bench.run(job)
    (run,) = bench.ledger.list_runs()
    assert limit_s <= bench.clock.monotonic_s() < limit_s + 60
    assert caught.value.message == (
        f"{error.message}; ftjob-1 was not seen to end and may still be running"
    )
    assert f"`ftops follow {run.id}` continues" in caught.value.hint
    assert (caught.value.status, run.status) == (error.status, RunStatus.RUNNING)
    assert [note for note in bench.recorder.notes if error.message in note] == [
        f"{error.message}; ftjob-1 may still be running, asking again"
    ]
    bench.provider.succeed("get_job")
    assert bench.run(job).status is RunStatus.SUCCEEDED
    assert bench.provider.count("create_job") == 1


def test_the_hint_for_an_unknown_job_is_new(bench: Bench) -> None:
    bench.provider.fail("get_job", *[NotFound("no such job")] * 100)
    with pytest.raises(NotFound) as caught:
        bench.run(bench.write_job())
    assert "If the job is gone, `ftops run" in caught.value.hint
    assert "--new` creates another one" in caught.value.hint


def test_hours_without_network_do_not_count_for_a_later_refusal(bench: Bench) -> None:
    bench.provider.fail("get_job", *[Unreachable("no route")] * 300)
    bench.provider.fail("get_job", *[PermissionRefused("captive portal", status=403)] * 3)
    bench.provider.fail("get_job", *[Unreachable("no route")] * 3)
    run = bench.run(bench.write_job())
    assert run.status is RunStatus.SUCCEEDED
    reasons = [note.partition(";")[0] for note in bench.recorder.notes if "asking again" in note]
    assert reasons == ["no route", "captive portal"]


def test_max_wait_ends_retries_of_a_refusal(bench: Bench) -> None:
    bench.provider.fail("get_job", *[PermissionRefused("no", status=403)] * 1000)
    with pytest.raises(WaitedTooLong, match="ftjob-1 may still be running") as caught:
        bench.run(bench.write_job(limits={"max_wait": "100s"}))
    (run,) = bench.ledger.list_runs()
    assert (bench.clock.monotonic_s(), run.status) == (100.0, RunStatus.RUNNING)
    assert f"ftops follow {run.id}" in caught.value.hint


NO_EVENTS = [
    NotFound("no route", status=404),
    Rejected("not allowed", status=405),
    Rejected("not implemented", status=501),
    PermissionRefused("forbidden", status=403),
    AuthFailed("unauthorized", status=401),
    InvalidResponse("<html>"),
    Unavailable("broken", status=500),
]


@pytest.mark.parametrize("error", NO_EVENTS, ids=lambda error: str(error.status))
@pytest.mark.parametrize("ending", ["succeeded", "failed"])
def test_without_events_the_run_continues_by_the_job_status(
    bench: Bench, ending: str, error: ProviderError
) -> None:
    bench.provider.statuses = (*["running"] * 50, ending)
    bench.provider.fail("list_events", *[error] * 200)
    if ending == "succeeded":
        assert bench.run(bench.write_job()).fine_tuned_model is not None
    else:
        with pytest.raises(JobFailed, match="ftjob-1 failed"):
            bench.run(bench.write_job())
    on_note = [note for note in bench.recorder.notes if error.message in note]
    assert on_note == [f"{error.message}; the run continues by the job's status"]
    assert bench.recorder.events == []


def test_a_server_without_events_adds_little_time(bench: Bench) -> None:
    bench.provider.statuses = (*["running"] * 50, "succeeded")
    bench.provider.fail("list_events", *[NO_EVENTS[0]] * 200)
    bench.run(bench.write_job())
    assert bench.clock.monotonic_s() == 49 * 5.0


def test_a_job_without_events_has_not_stalled(bench: Bench) -> None:
    bench.provider.statuses = (*["running"] * 500, "succeeded")
    bench.provider.fail("list_events", *[NO_EVENTS[0]] * 1000)
    assert bench.run(bench.write_job(limits={"stall": "10m"})).status is RunStatus.SUCCEEDED


@pytest.mark.parametrize("error", NO_EVENTS, ids=lambda error: str(error.status))
def test_temporarily_unreadable_events_are_not_lost(bench: Bench, error: ProviderError) -> None:
    job = bench.write_job()
    drive(open_run(job, bench.context), bench.context, detach=True)
    while not bench.provider.get_job("ftjob-1").ended:
        pass
    bench.provider.fail("list_events", *[error] * 3)
    assert bench.run(job).status is RunStatus.SUCCEEDED
    assert bench.recorder.events == ALL_STEPS


def test_a_refusal_while_waiting_for_the_model_name_loses_nothing(bench: Bench) -> None:
    class Slow(FakeProvider):
        polls = 0

        def get_job(self, job_id: str) -> Job:
            job = super().get_job(job_id)
            if not job.ended:
                return job
            self.polls += 1
            if self.polls in (2, 3):
                raise PermissionRefused("forbidden", status=403)
            return job if self.polls > 4 else replace(job, fine_tuned_model=None)

    bench.provider = Slow(bench.folder / "provider", bench.clock)
    run = bench.run(bench.write_job())
    assert (run.status, run.fine_tuned_model) == (RunStatus.SUCCEEDED, "ft:ada:acme::ftjob-1")


def test_waiting_ends_at_max_wait_and_the_next_command_continues(bench: Bench) -> None:
    job = bench.write_job(limits={"max_wait": "90s"})
    bench.provider.statuses = ("queued", *["running"] * 30, "succeeded")
    with pytest.raises(WaitedTooLong, match="its job ftjob-1 may still be running") as caught:
        bench.run(job)
    (run,) = bench.ledger.list_runs()
    assert f"ftops follow {run.id}" in caught.value.hint
    assert bench.clock.monotonic_s() == 90.0
    assert bench.ledger.get_stage(run.id, Stage.FOLLOW).status is StageStatus.RUNNING
    assert drive(run, bench.context).status is RunStatus.SUCCEEDED


def test_max_wait_also_ends_waiting_for_an_unreachable_provider(bench: Bench) -> None:
    bench.provider.fail("get_job", *[Unreachable("no route")] * 1000)
    with pytest.raises(WaitedTooLong):
        bench.run(bench.write_job(limits={"max_wait": "10m"}))
    assert bench.clock.monotonic_s() == 600.0


def test_a_job_without_news_for_too_long_has_stalled_and_is_not_cancelled(bench: Bench) -> None:
    job = bench.write_job(limits={"stall": "10m"})
    bench.provider.statuses = ("queued", *["running"] * 500, "succeeded")
    with pytest.raises(JobStalled, match="reported nothing new for 10m") as caught:
        bench.run(job)
    (run,) = bench.ledger.list_runs()
    assert f"ftops cancel {run.id}" in caught.value.hint
    assert 600 <= bench.clock.monotonic_s() < 660
    assert (run.status, bench.provider.count("create_job")) == (RunStatus.RUNNING, 1)
    assert bench.provider.count("cancel_job") == 0


def test_a_queued_job_and_an_unreachable_provider_are_no_stall(bench: Bench) -> None:
    bench.provider.statuses = (*["queued"] * 100, "running", "succeeded")
    bench.provider.before(
        "list_events",
        lambda: (
            bench.provider.fail("get_job", *[Unreachable("no route")] * 100)
            if not bench.provider.known
            else None
        ),
    )
    run = bench.run(bench.write_job(limits={"stall": "10m"}))
    assert run.status is RunStatus.SUCCEEDED
    assert bench.clock.monotonic_s() > 2 * 3600


def test_a_job_queued_for_half_a_day_is_never_sent_again(bench: Bench) -> None:
    queued = 12 * 3600 // int(bench.provider.capabilities.poll_queued_s)
    bench.provider.statuses = (*["queued"] * queued, "running", "succeeded")
    bench.provider.fail("get_job", Unreachable("no network"), Unavailable("busy", status=503))
    run = bench.run(bench.write_job(limits={"stall": "1h"}))
    assert run.status is RunStatus.SUCCEEDED
    assert bench.clock.monotonic_s() > 11 * 3600
    assert bench.provider.count("create_job") == 1


def test_queued_jobs_are_polled_less_often_than_running_ones(
    bench: Bench,
) -> None:
    bench.provider.statuses = (*["queued"] * 12, "running", "running", "succeeded")
    bench.run(bench.write_job())
    slept = bench.clock.slept_s
    assert slept[:3] == [5.0, 7.5, 11.25]
    assert max(slept) == bench.provider.capabilities.poll_queued_s
    assert slept[-2:] == [5.0, 5.0]


def test_a_job_of_unknown_status_has_not_ended(bench: Bench) -> None:
    bench.provider.statuses = ("pending", "moderating", "pausing", "resumed?", "succeeded")
    assert bench.run(bench.write_job()).status is RunStatus.SUCCEEDED
    assert [text for text in bench.recorder.steps if text.startswith("job ")] == [
        "job moderating",
        "job pausing",
        "job resumed?",
        "job succeeded",
    ]


def test_resolved_values_of_the_job_are_stored_with_the_stage(bench: Bench) -> None:
    run = bench.run(bench.write_job())
    detail = bench.detail(run, Stage.FOLLOW)
    assert detail["hyperparameters"] == {"n_epochs": 3}
    assert detail["trained_tokens"] == 1234
