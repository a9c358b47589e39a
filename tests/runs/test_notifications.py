"""The end of a run is notified once, also when commands are killed."""

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
from tests.runs.test_runner import HookClock

HOOK = {"webhook_url": "https://hooks.example/ftops", "webhook_secret_env": "HOOK"}
BOTH = {**HOOK, "command": ["./tell", "x"]}


class Killed(BaseException):
    """The process ends here, as after a kill."""


@dataclass
class FakeNotifier:
    """Records its notifications; each delivery first calls the next of `hooks`."""

    sent: list[tuple[Notification, Target]] = field(default_factory=list)
    hooks: list[Callable[[], None]] = field(default_factory=list)
    problem: str | None = None

    def check(self, target: Target) -> str | None:
        return self.problem

    def notify(
        self, notification: Notification, target: Target, on_note: Callable[[str], None]
    ) -> None:
        if self.hooks:
            self.hooks.pop(0)()
        self.sent.append((notification, target))

    @property
    def types(self) -> list[str]:
        return [notification.type for notification, _ in self.sent]


@pytest.fixture
def notifier() -> FakeNotifier:
    return FakeNotifier()


@pytest.fixture
def context(bench: Bench, notifier: FakeNotifier) -> RunContext:
    return dataclasses.replace(bench.context, notifier=notifier)


def run_job(context: RunContext, job: LoadedJob, *, retry: bool = False) -> Run:
    return drive(open_run(job, context, retry=retry), context)


def kill() -> None:
    raise Killed


def refuse() -> None:
    raise NotifyFailed("notify.webhook_url: connection refused")


def list_notify_calls(bench: Bench, run: Run) -> list[tuple[str, str | None]]:
    return [
        (call.state, call.remote_id)
        for call in bench.ledger.list_calls(run.id)
        if call.name == "notify"
    ]


def test_a_success_is_sent_once_to_each_target_with_the_data_of_the_run(
    bench: Bench, context: RunContext, notifier: FakeNotifier
) -> None:
    job = bench.write_job(notify=BOTH)
    run = run_job(context, job)
    (first, command), (second, webhook) = notifier.sent
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
    assert list_notify_calls(bench, run) == [("done", first.id), ("done", first.id)]
    for _ in range(2):
        run_job(context, job)
    assert len(notifier.sent) == 2


def test_without_notify_settings_nothing_is_sent(
    bench: Bench, context: RunContext, notifier: FakeNotifier
) -> None:
    run = run_job(context, bench.write_job())
    assert (notifier.sent, list_notify_calls(bench, run)) == ([], [])


@pytest.mark.parametrize(
    ("on", "types"), [(["success"], []), (["failure"], ["run.failed"]), (["stall"], [])]
)
def test_only_selected_outcomes_are_sent(
    bench: Bench, context: RunContext, notifier: FakeNotifier, on: list[str], types: list[str]
) -> None:
    bench.provider.statuses = ("queued", "failed")
    with pytest.raises(JobFailed):
        run_job(context, bench.write_job(notify={**HOOK, "on": on}))
    assert notifier.types == types


def test_a_failure_and_the_failure_of_a_retry_are_two_notifications(
    bench: Bench, context: RunContext, notifier: FakeNotifier
) -> None:
    bench.provider.statuses = ("queued", "failed")
    bench.provider.job_error = JobError("server_error", "Sorry.")
    job = bench.write_job(notify=HOOK)
    for retry in (False, True):
        with pytest.raises(JobFailed):
            run_job(context, job, retry=retry)
    assert notifier.types == ["run.failed", "run.failed"]
    first, second = (notification for notification, _ in notifier.sent)
    assert first.id != second.id
    assert first.error == "ftjob-1 failed: server_error: Sorry."
    assert "Sorry" not in str(first.to_json())


def test_a_cancelled_run_is_notified_by_the_process_that_ends_it(
    bench: Bench, context: RunContext, notifier: FakeNotifier
) -> None:
    run = drive(open_run(bench.write_job(notify=HOOK), context), context, detach=True)
    assert notifier.sent == []
    cancel_run(run, context)
    assert notifier.types == ["run.cancelled"]
    with pytest.raises(JobCancelled):
        drive(run, context)
    assert notifier.types == ["run.cancelled"]


def test_a_stall_is_notified_once_until_the_job_continues(
    bench: Bench, context: RunContext, notifier: FakeNotifier
) -> None:
    bench.provider.statuses = ("running",) * 10_000
    job = bench.write_job(notify=BOTH, limits={"stall": "30m"})
    for _ in range(2):
        with pytest.raises(JobStalled):
            run_job(context, job)
        assert notifier.types == ["run.stalled"] * 2
    notification, _ = notifier.sent[0]
    assert notification.data["status"] == "running"
    assert notification.error is not None
    assert "reported nothing new" in notification.error


def test_the_next_command_sends_an_open_notification_with_the_same_id(
    bench: Bench, context: RunContext, notifier: FakeNotifier
) -> None:
    job = bench.write_job(notify=HOOK)
    notifier.hooks = [kill]
    with pytest.raises(Killed):
        run_job(context, job)
    (run,) = bench.ledger.list_runs()
    (call,) = [call for call in bench.ledger.list_calls(run.id) if call.name == "notify"]
    assert (run.status, call.state) == (RunStatus.SUCCEEDED, "intent")
    run_job(context, job)
    run_job(context, job)
    (notification, _) = notifier.sent[0]
    assert (len(notifier.sent), notification.id) == (1, call.request["id"])
    assert list_notify_calls(bench, run) == [("done", notification.id)]


def test_the_next_command_of_a_failed_run_sends_open_notifications(
    bench: Bench, context: RunContext, notifier: FakeNotifier
) -> None:
    bench.provider.statuses = ("queued", "failed")
    job = bench.write_job(notify=HOOK)
    notifier.hooks = [kill]
    with pytest.raises(Killed):
        run_job(context, job)
    (run,) = bench.ledger.list_runs()
    with hold_run(run, bench.home), pytest.raises(RunError, match="failed"):
        run_job(context, job)
    assert notifier.sent == []  # another process has the lock of the run
    for _ in range(2):
        with pytest.raises(RunError, match="of this job file failed"):
            run_job(context, job)
    assert notifier.types == ["run.failed"]


def test_a_notified_target_is_not_notified_again_with_the_other(
    bench: Bench, context: RunContext, notifier: FakeNotifier
) -> None:
    notifier.hooks = [lambda: None, kill]
    job = bench.write_job(notify=BOTH)
    with pytest.raises(Killed):
        run_job(context, job)
    run_job(context, job)
    assert [type(target) for _, target in notifier.sent] == [CommandTarget, WebhookTarget]
    assert notifier.sent[0][0] == notifier.sent[1][0]


def test_a_failed_notification_ends_no_run_and_is_not_repeated(
    bench: Bench, context: RunContext, notifier: FakeNotifier
) -> None:
    notifier.hooks = [refuse]
    job = bench.write_job(notify=BOTH)
    run = run_job(context, job)
    assert run.status is RunStatus.SUCCEEDED
    assert notifier.types == ["run.succeeded"]
    assert bench.recorder.notes[-1] == "notify.webhook_url: connection refused"
    run_job(context, job)
    assert len(notifier.sent) == 1
    assert [state for state, _ in list_notify_calls(bench, run)] == ["failed", "done"]


def test_an_invalid_target_is_reported_before_anything_is_uploaded(
    bench: Bench, context: RunContext, notifier: FakeNotifier
) -> None:
    notifier.problem = "there is no such program"
    notes: list[list[str]] = []
    bench.provider.before("upload_file", lambda: notes.append(list(bench.recorder.notes)))
    run_job(context, bench.write_job(notify=HOOK))
    assert "there is no such program" in notes[0]


def test_a_notification_that_the_job_file_no_longer_requests_is_dropped(
    bench: Bench, context: RunContext, notifier: FakeNotifier
) -> None:
    notifier.hooks = [kill]
    with pytest.raises(Killed):
        run_job(context, bench.write_job(notify=HOOK))
    run = run_job(context, bench.write_job())
    assert (notifier.sent, list_notify_calls(bench, run)) == ([], [("failed", None)])


def test_changed_notify_settings_keep_the_run_and_send_nothing(
    bench: Bench, context: RunContext, notifier: FakeNotifier
) -> None:
    first = run_job(context, bench.write_job())
    second = run_job(context, bench.write_job(notify=BOTH))
    assert (second.id, notifier.sent) == (first.id, [])


def test_a_watcher_sends_nothing_while_the_first_command_runs(
    bench: Bench, context: RunContext, notifier: FakeNotifier
) -> None:
    run, second = start(bench, context)
    with contextlib.ExitStack() as stack:
        stack.enter_context(hold_run(run, bench.home))

        def finish() -> None:
            stack.close()
            drive(run, context)

        second.clock.hooks = [finish]  # type: ignore[attr-defined]
        assert drive(run, second).status is RunStatus.SUCCEEDED
    assert notifier.types == ["run.succeeded"]
    assert second.notifier.sent == []  # type: ignore[attr-defined]
    second.ledger.close()


@pytest.mark.parametrize("detach", [False, True])
def test_a_watcher_also_waits_for_the_notification(
    bench: Bench, context: RunContext, detach: bool
) -> None:
    run, second = start(bench, context)
    watcher, clock = second.observer, second.clock
    assert isinstance(watcher, Recorder)
    assert isinstance(clock, HookClock)
    with pytest.raises(Killed):
        drive(run, dataclasses.replace(context, notifier=FakeNotifier(hooks=[kill])))
    with contextlib.ExitStack() as stack:
        stack.enter_context(hold_run(run, bench.home))
        clock.hooks = [lambda: None, lambda: None, stack.close]
        assert drive(run, second, detach=detach).status is RunStatus.SUCCEEDED
    assert len(clock.slept_s) == 3
    assert len([note for note in watcher.notes if "another process" in note]) == 1
    assert second.notifier.types == ["run.succeeded"]  # type: ignore[attr-defined]
    second.ledger.close()


def test_a_watcher_that_takes_over_sends_open_notifications(
    bench: Bench, context: RunContext, notifier: FakeNotifier
) -> None:
    run, second = start(bench, context)
    notifier.hooks = [kill]
    with contextlib.ExitStack() as stack:
        stack.enter_context(hold_run(run, bench.home))

        def kill_during_delivery() -> None:
            stack.close()
            with pytest.raises(Killed):
                drive(run, context)

        second.clock.hooks = [kill_during_delivery]  # type: ignore[attr-defined]
        assert drive(run, second).status is RunStatus.SUCCEEDED
    assert notifier.sent == []
    assert second.notifier.types == ["run.succeeded"]  # type: ignore[attr-defined]
    assert [state for state, _ in list_notify_calls(bench, run)] == ["done"]
    second.ledger.close()


def start(bench: Bench, context: RunContext) -> tuple[Run, RunContext]:
    """A run that has its job, and the context of a second command."""
    run = drive(open_run(bench.write_job(notify=HOOK), context), context, detach=True)
    clock = HookClock()
    ledger = Ledger(bench.home / "ledger.db", clock)
    return run, RunContext(ledger, bench.provider, clock, bench.home, Recorder(), FakeNotifier())


def test_a_context_without_a_notifier_is_noted(bench: Bench) -> None:
    run = bench.run(bench.write_job(notify=HOOK))
    assert run.status is RunStatus.SUCCEEDED
    assert "no notifications are sent here" in bench.recorder.notes
    assert isinstance(bench.clock, FakeClock)
    assert Path(run.job_file).is_file()
