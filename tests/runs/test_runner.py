"""A second command watches the first, and takes over when that one is gone."""

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


class ActingClock(FakeClock):
    """Does something each time that somebody sleeps: what another process does meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.acts: list[Callable[[], None]] = []

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if self.acts:
            self.acts.pop(0)()


@pytest.fixture
def second(bench: Bench) -> RunContext:
    """The context of another command on the same machine."""
    clock = ActingClock()
    ledger = Ledger(bench.home / "ledger.db", clock)
    return RunContext(ledger, bench.provider, clock, bench.home, Recorder())


def test_the_second_command_shows_what_the_first_does_and_sends_nothing(
    bench: Bench, second: RunContext
) -> None:
    run = drive(open_run(bench.write_job(), bench.context), bench.context, detach=True)
    watcher, clock = second.observer, second.clock
    assert isinstance(watcher, Recorder)
    assert isinstance(clock, ActingClock)
    with contextlib.ExitStack() as stack:
        stack.enter_context(hold_run(run, bench.home))

        def finish() -> None:
            # The first command, which has the lock, does the rest of its work here.
            stack.close()
            drive(run, bench.context)

        clock.acts = [lambda: None, finish]
        ended = drive(run, second)
    assert ended.status is RunStatus.SUCCEEDED
    assert "another process drives" in watcher.notes[0]
    assert watcher.told == [
        *(f"{stage} succeeded" for stage in ("prepare", "upload", "create")),
        *(f"{stage} succeeded" for stage in ("follow", "results", "evaluate")),
    ]
    assert watcher.events == [f"Step {number}/4" for number in range(1, 5)]
    assert bench.provider.count("create_job") == 1
    assert clock.slept_s[0] == POLL_INTERVAL_S
    second.ledger.close()


def test_the_second_command_takes_over_when_the_first_dies(
    bench: Bench, second: RunContext
) -> None:
    run = drive(open_run(bench.write_job(), bench.context), bench.context, detach=True)
    watcher, clock = second.observer, second.clock
    assert isinstance(watcher, Recorder)
    assert isinstance(clock, ActingClock)
    with contextlib.ExitStack() as stack:
        stack.enter_context(hold_run(run, bench.home))
        clock.acts = [lambda: None, stack.close]
        ended = drive(run, second)
    assert ended.status is RunStatus.SUCCEEDED
    assert "follow begins 1" in watcher.told
    assert watcher.events == [f"Step {number}/4" for number in range(1, 5)]
    assert bench.provider.count("create_job") == 1
    second.ledger.close()


def test_a_watcher_learns_that_the_job_failed(bench: Bench, second: RunContext) -> None:
    bench.provider.statuses = ("queued", "failed")
    bench.provider.job_error = JobError("server_error", "Sorry.")
    run = drive(open_run(bench.write_job(), bench.context), bench.context, detach=True)
    clock = second.clock
    assert isinstance(clock, ActingClock)
    with contextlib.ExitStack() as stack:
        stack.enter_context(hold_run(run, bench.home))

        def fail() -> None:
            stack.close()
            with pytest.raises(JobFailed):
                drive(run, bench.context)

        clock.acts = [fail]
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


def test_two_commands_of_one_file_at_once_make_one_run_and_one_job(bench: Bench) -> None:
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
