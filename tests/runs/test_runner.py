"""A second command watches the first, and takes over when the first ends."""

import contextlib
import threading
from collections.abc import Callable

import pytest

from ftops.errors import JobFailed
from ftops.ledger.ledger import Ledger
from ftops.records import JobError, Run, RunStatus
from ftops.run_folder import hold_run
from ftops.runs.context import RunContext
from ftops.runs.open_run import drive, open_run
from ftops.runs.runner import POLL_INTERVAL_S
from tests.fakes import FakeClock
from tests.runs.bench import Bench, Recorder


class HookClock(FakeClock):
    """A clock that calls the next of `hooks` at each sleep, as another process would act."""

    def __init__(self) -> None:
        super().__init__()
        self.hooks: list[Callable[[], None]] = []

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if self.hooks:
            self.hooks.pop(0)()


@pytest.fixture
def second(bench: Bench) -> RunContext:
    """The context of another command with the same home."""
    clock = HookClock()
    ledger = Ledger(bench.home / "ledger.db", clock)
    return RunContext(ledger, bench.provider, clock, bench.home, Recorder())


def test_the_second_command_shows_what_the_first_does_and_sends_nothing(
    bench: Bench, second: RunContext
) -> None:
    run = drive(open_run(bench.write_job(), bench.context), bench.context, detach=True)
    watcher, clock = second.observer, second.clock
    assert isinstance(watcher, Recorder)
    assert isinstance(clock, HookClock)
    with contextlib.ExitStack() as stack:
        stack.enter_context(hold_run(run, bench.home))

        def finish() -> None:
            # The first command, which has the lock, completes its work here.
            stack.close()
            drive(run, bench.context)

        clock.hooks = [lambda: None, finish]
        ended = drive(run, second)
    assert ended.status is RunStatus.SUCCEEDED
    assert "another process drives" in watcher.notes[0]
    assert watcher.steps == [
        *(f"{stage} succeeded" for stage in ("prepare", "upload", "create")),
        *(f"{stage} succeeded" for stage in ("follow", "results", "evaluate")),
    ]
    assert watcher.events == [f"Step {number}/4" for number in range(1, 5)]
    assert bench.provider.count("create_job") == 1
    assert clock.slept_s[0] == POLL_INTERVAL_S
    second.ledger.close()


def test_the_second_command_takes_over_when_the_first_is_killed(
    bench: Bench, second: RunContext
) -> None:
    run = drive(open_run(bench.write_job(), bench.context), bench.context, detach=True)
    watcher, clock = second.observer, second.clock
    assert isinstance(watcher, Recorder)
    assert isinstance(clock, HookClock)
    with contextlib.ExitStack() as stack:
        stack.enter_context(hold_run(run, bench.home))
        clock.hooks = [lambda: None, stack.close]
        ended = drive(run, second)
    assert ended.status is RunStatus.SUCCEEDED
    assert "follow begins 1" in watcher.steps
    assert watcher.events == [f"Step {number}/4" for number in range(1, 5)]
    assert bench.provider.count("create_job") == 1
    second.ledger.close()


def test_a_watcher_reports_that_the_job_failed(bench: Bench, second: RunContext) -> None:
    bench.provider.statuses = ("queued", "failed")
    bench.provider.job_error = JobError("server_error", "Sorry.")
    run = drive(open_run(bench.write_job(), bench.context), bench.context, detach=True)
    clock = second.clock
    assert isinstance(clock, HookClock)
    with contextlib.ExitStack() as stack:
        stack.enter_context(hold_run(run, bench.home))

        def fail() -> None:
            stack.close()
            with pytest.raises(JobFailed):
                drive(run, bench.context)

        clock.hooks = [fail]
        with pytest.raises(JobFailed, match=r"server_error: Sorry\."):
            drive(run, second)
    second.ledger.close()


def test_a_detached_second_command_returns_once_there_is_a_job(
    bench: Bench, second: RunContext
) -> None:
    run = drive(open_run(bench.write_job(), bench.context), bench.context, detach=True)
    with hold_run(run, bench.home):
        watched = drive(run, second, detach=True)
    assert (watched.status, watched.job_id) == (RunStatus.RUNNING, "ftjob-1")
    second.ledger.close()


def test_two_concurrent_commands_of_a_file_create_one_run_and_one_job(bench: Bench) -> None:
    job = bench.write_job()
    ended: list[Run] = []

    def command() -> None:
        clock = FakeClock()
        ledger = Ledger(bench.home / "ledger.db", clock)
        context = RunContext(ledger, bench.provider, clock, bench.home, Recorder())
        ended.append(drive(open_run(job, context), context))
        ledger.close()

    threads = [threading.Thread(target=command) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {(run.id, run.status) for run in ended} == {(ended[0].id, RunStatus.SUCCEEDED)}
    assert len(ended) == 3
    assert len(bench.ledger.list_runs()) == 1
    assert bench.provider.count("create_job") == 1
    assert bench.provider.count("upload_file") == 2
