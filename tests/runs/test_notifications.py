"""Who is told how a run went: each notice once, whatever happens to the commands."""

import contextlib
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ftops.errors import JobCancelled, JobFailed, JobStalled, NotifyFailed, RunError
from ftops.ledger.ledger import Ledger
from ftops.notifications.notification import CommandTarget, Notification, Target, WebhookTarget
from ftops.records import JobError, Run, RunStatus
from ftops.run_folder import hold_run
from ftops.runs.context import RunContext
from ftops.runs.open_run import cancel_run, drive, open_run
from ftops.spec.job_file import LoadedJob
from tests.fakes import FakeClock
from tests.runs.bench import Bench, Recorder
from tests.runs.test_runner import ActingClock

HOOK = {"webhook_url": "https://hooks.example/ftops", "webhook_secret_env": "HOOK"}
BOTH = {**HOOK, "command": ["./tell", "x"]}


class Died(BaseException):
    """The process ends here, as by a kill: nothing behind it runs."""


@dataclass
class Messenger:
    """Remembers what it was to deliver; `acts` happen first, one a delivery."""

    told: list[tuple[Notification, Target]] = field(default_factory=list)
    acts: list[Callable[[], None]] = field(default_factory=list)
    trouble: str | None = None

    def check(self, target: Target) -> str | None:
        return self.trouble

    def notify(
        self, notification: Notification, target: Target, on_note: Callable[[str], None]
    ) -> None:
        if self.acts:
            self.acts.pop(0)()
        self.told.append((notification, target))

    @property
    def types(self) -> list[str]:
        return [notification.type for notification, _ in self.told]


@pytest.fixture
def messenger() -> Messenger:
    return Messenger()


@pytest.fixture
def context(bench: Bench, messenger: Messenger) -> RunContext:
    return dataclasses.replace(bench.context, notifier=messenger)


def run_job(context: RunContext, job: LoadedJob, *, retry: bool = False) -> Run:
    return drive(open_run(job, context, retry=retry), context)


def die() -> None:
    raise Died


def refuse() -> None:
    raise NotifyFailed("notify.webhook_url: nobody is there")


def calls(bench: Bench, run: Run) -> list[tuple[str, str | None]]:
    return [
        (call.state, call.remote_id)
        for call in bench.ledger.list_calls(run.id)
        if call.name == "notify"
    ]


def test_a_success_is_told_once_each_way_with_what_names_the_run(
    bench: Bench, context: RunContext, messenger: Messenger
) -> None:
    job = bench.write_job(notify=BOTH)
    run = run_job(context, job)
    (first, command), (second, webhook) = messenger.told
    assert command == CommandTarget(("./tell", "x"), job.path.parent)
    assert webhook == WebhookTarget("https://hooks.example/ftops", "HOOK")
    assert first == second
    assert (first.type, first.outcome, first.error) == ("run.succeeded", "success", None)
    assert first.data == {
        "outcome": "success",
        "run_id": run.id,
        "name": "numbers",
        "status": "succeeded",
        "provider": "fake",
        "model": "ada",
        "job_id": "ftjob-1",
        "fine_tuned_model": run.fine_tuned_model,
        "started_at": run.created_at.isoformat(timespec="seconds"),
    }
    assert run.fine_tuned_model
    assert calls(bench, run) == [("done", first.id), ("done", first.id)]
    for _ in range(2):
        run_job(context, job)
    assert len(messenger.told) == 2


def test_without_a_wish_nobody_is_told(
    bench: Bench, context: RunContext, messenger: Messenger
) -> None:
    run = run_job(context, bench.write_job())
    assert (messenger.told, calls(bench, run)) == ([], [])


@pytest.mark.parametrize(
    ("on", "types"), [(["success"], []), (["failure"], ["run.failed"]), (["stall"], [])]
)
def test_only_what_was_wished_for_is_told(
    bench: Bench, context: RunContext, messenger: Messenger, on: list[str], types: list[str]
) -> None:
    bench.provider.statuses = ("queued", "failed")
    with pytest.raises(JobFailed):
        run_job(context, bench.write_job(notify={**HOOK, "on": on}))
    assert messenger.types == types


def test_a_failure_and_that_of_a_second_try_are_two_notices(
    bench: Bench, context: RunContext, messenger: Messenger
) -> None:
    bench.provider.statuses = ("queued", "failed")
    bench.provider.job_error = JobError("server_error", "Sorry.")
    job = bench.write_job(notify=HOOK)
    for retry in (False, True):
        with pytest.raises(JobFailed):
            run_job(context, job, retry=retry)
    assert messenger.types == ["run.failed", "run.failed"]
    first, second = (notification for notification, _ in messenger.told)
    assert first.id != second.id
    assert first.error == "ftjob-1 failed: server_error: Sorry."
    assert "Sorry" not in str(first.to_json())


def test_a_cancelled_run_is_told_by_whoever_ends_it(
    bench: Bench, context: RunContext, messenger: Messenger
) -> None:
    run = drive(open_run(bench.write_job(notify=HOOK), context), context, detach=True)
    assert messenger.told == []
    cancel_run(run, context)
    assert messenger.types == ["run.cancelled"]
    with pytest.raises(JobCancelled):
        drive(run, context)
    assert messenger.types == ["run.cancelled"]


def test_a_stall_is_told_once_until_there_is_news(
    bench: Bench, context: RunContext, messenger: Messenger
) -> None:
    bench.provider.statuses = ("running",) * 10_000
    job = bench.write_job(notify=BOTH, limits={"stall": "30m"})
    for _ in range(2):
        with pytest.raises(JobStalled):
            run_job(context, job)
        assert messenger.types == ["run.stalled"] * 2
    notification, _ = messenger.told[0]
    assert notification.data["status"] == "running"
    assert notification.error is not None
    assert "reported nothing new" in notification.error


def test_what_a_dead_command_left_is_told_by_the_next_with_the_same_id(
    bench: Bench, context: RunContext, messenger: Messenger
) -> None:
    job = bench.write_job(notify=HOOK)
    messenger.acts = [die]
    with pytest.raises(Died):
        run_job(context, job)
    (run,) = bench.ledger.list_runs()
    (call,) = [call for call in bench.ledger.list_calls(run.id) if call.name == "notify"]
    assert (run.status, call.state) == (RunStatus.SUCCEEDED, "intent")
    run_job(context, job)
    run_job(context, job)
    (notification, _) = messenger.told[0]
    assert (len(messenger.told), notification.id) == (1, call.request["id"])
    assert calls(bench, run) == [("done", notification.id)]


def test_of_a_failed_run_the_same_command_tells_what_is_left_and_why_it_ends(
    bench: Bench, context: RunContext, messenger: Messenger
) -> None:
    bench.provider.statuses = ("queued", "failed")
    job = bench.write_job(notify=HOOK)
    messenger.acts = [die]
    with pytest.raises(Died):
        run_job(context, job)
    (run,) = bench.ledger.list_runs()
    with hold_run(run, bench.home), pytest.raises(RunError, match="failed"):
        run_job(context, job)
    assert messenger.told == []  # somebody else has the run
    for _ in range(2):
        with pytest.raises(RunError, match="of this job file failed"):
            run_job(context, job)
    assert messenger.types == ["run.failed"]


def test_one_way_that_was_told_is_not_told_again_for_the_other(
    bench: Bench, context: RunContext, messenger: Messenger
) -> None:
    messenger.acts = [lambda: None, die]
    job = bench.write_job(notify=BOTH)
    with pytest.raises(Died):
        run_job(context, job)
    run_job(context, job)
    assert [type(target) for _, target in messenger.told] == [CommandTarget, WebhookTarget]
    assert messenger.told[0][0] == messenger.told[1][0]


def test_somebody_who_cannot_be_told_ends_no_run_and_is_not_told_later(
    bench: Bench, context: RunContext, messenger: Messenger
) -> None:
    messenger.acts = [refuse]
    job = bench.write_job(notify=BOTH)
    run = run_job(context, job)
    assert run.status is RunStatus.SUCCEEDED
    assert messenger.types == ["run.succeeded"]
    assert bench.seen.notes[-1] == "notify.webhook_url: nobody is there"
    run_job(context, job)
    assert len(messenger.told) == 1
    assert [state for state, _ in calls(bench, run)] == ["failed", "done"]


def test_who_could_not_be_told_is_said_before_anything_is_sent(
    bench: Bench, context: RunContext, messenger: Messenger
) -> None:
    messenger.trouble = "there is no such program"
    said: list[list[str]] = []
    bench.provider.before("upload_file", lambda: said.append(list(bench.seen.notes)))
    run_job(context, bench.write_job(notify=HOOK))
    assert "there is no such program" in said[0]


def test_a_notice_that_the_job_file_does_not_want_any_more_is_dropped(
    bench: Bench, context: RunContext, messenger: Messenger
) -> None:
    messenger.acts = [die]
    with pytest.raises(Died):
        run_job(context, bench.write_job(notify=HOOK))
    run = run_job(context, bench.write_job())
    assert (messenger.told, calls(bench, run)) == ([], [("failed", None)])


def test_a_changed_wish_makes_no_other_run_and_tells_nothing_of_the_past(
    bench: Bench, context: RunContext, messenger: Messenger
) -> None:
    first = run_job(context, bench.write_job())
    again = run_job(context, bench.write_job(notify=BOTH))
    assert (again.id, messenger.told) == (first.id, [])


def test_a_watcher_tells_nobody_while_the_first_command_does(
    bench: Bench, context: RunContext, messenger: Messenger
) -> None:
    run, second = begin(bench, context)
    with contextlib.ExitStack() as stack:
        stack.enter_context(hold_run(run, bench.home))

        def finish() -> None:
            stack.close()
            drive(run, context)

        second.clock.acts = [finish]  # type: ignore[attr-defined]
        assert drive(run, second).status is RunStatus.SUCCEEDED
    assert messenger.types == ["run.succeeded"]
    assert second.notifier.told == []  # type: ignore[attr-defined]
    second.ledger.close()


@pytest.mark.parametrize("detach", [False, True])
def test_a_watcher_waits_for_the_telling_too(
    bench: Bench, context: RunContext, detach: bool
) -> None:
    run, second = begin(bench, context)
    watcher, clock = second.observer, second.clock
    assert isinstance(watcher, Recorder)
    assert isinstance(clock, ActingClock)
    with pytest.raises(Died):
        drive(run, dataclasses.replace(context, notifier=Messenger(acts=[die])))
    with contextlib.ExitStack() as stack:
        stack.enter_context(hold_run(run, bench.home))
        clock.acts = [lambda: None, lambda: None, stack.close]
        assert drive(run, second, detach=detach).status is RunStatus.SUCCEEDED
    assert len(clock.slept_s) == 3
    assert len([note for note in watcher.notes if "another process" in note]) == 1
    assert second.notifier.types == ["run.succeeded"]  # type: ignore[attr-defined]
    second.ledger.close()


def test_a_watcher_that_takes_over_tells_what_the_dead_command_has_not(
    bench: Bench, context: RunContext, messenger: Messenger
) -> None:
    run, second = begin(bench, context)
    messenger.acts = [die]
    with contextlib.ExitStack() as stack:
        stack.enter_context(hold_run(run, bench.home))

        def die_while_telling() -> None:
            stack.close()
            with pytest.raises(Died):
                drive(run, context)

        second.clock.acts = [die_while_telling]  # type: ignore[attr-defined]
        assert drive(run, second).status is RunStatus.SUCCEEDED
    assert messenger.told == []
    assert second.notifier.types == ["run.succeeded"]  # type: ignore[attr-defined]
    assert [state for state, _ in calls(bench, run)] == ["done"]
    second.ledger.close()


def begin(bench: Bench, context: RunContext) -> tuple[Run, RunContext]:
    """A run that has its job, and the context of a second command."""
    run = drive(open_run(bench.write_job(notify=HOOK), context), context, detach=True)
    clock = ActingClock()
    ledger = Ledger(bench.home / "ledger.db", clock)
    return run, RunContext(ledger, bench.provider, clock, bench.home, Recorder(), Messenger())


def test_a_context_that_sends_no_notices_says_so(bench: Bench) -> None:
    run = bench.run(bench.write_job(notify=HOOK))
    assert run.status is RunStatus.SUCCEEDED
    assert "no notifications are sent here" in bench.seen.notes
    assert isinstance(bench.clock, FakeClock)
    assert Path(run.job_file).is_file()
