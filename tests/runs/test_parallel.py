"""Several runs at once: paced by one clock, ended by one word, each with an ending of its own."""

import threading
from pathlib import Path

import pytest

from ftops.clock import SystemClock
from ftops.errors import RunError
from ftops.records import Run, RunStatus
from ftops.runs.context import RunContext
from ftops.runs.open_run import drive, open_run
from ftops.runs.parallel import Stopped, TaskResult, ThrottledClock, run_parallel
from tests.fakes import FakeClock
from tests.runs.bench import Bench, Recorder, write_job


def make_clock(fake: FakeClock, *, wakes_per_s: float = 2.0) -> ThrottledClock:
    """Waiting moves the fake time on, and nobody is told to stop."""

    def wait(seconds: float) -> bool:
        fake.sleep(seconds)
        return False

    return ThrottledClock(fake, wakes_per_s=wakes_per_s, wait=wait)


def test_a_lone_sleeper_wakes_when_it_wanted_to() -> None:
    fake = FakeClock()
    clock = make_clock(fake)
    for _ in range(3):
        clock.sleep(5.0)
    assert fake.slept_s == [5.0, 5.0, 5.0]


def test_many_short_sleeps_wake_only_so_many_times_a_second() -> None:
    fake = FakeClock()
    clock = make_clock(fake, wakes_per_s=2.0)
    for _ in range(11):
        clock.sleep(0.0)
    assert fake.monotonic_s() == pytest.approx(5.0)


def test_a_long_sleep_keeps_nobody_else_from_waking() -> None:
    """A turn is taken when the sleep is over, not when it begins."""
    fake = FakeClock()
    clock = make_clock(fake, wakes_per_s=10.0)
    clock.sleep(60.0)
    clock.sleep(0.0)
    assert fake.monotonic_s() == pytest.approx(60.1)


def test_all_sleepers_are_woken_when_all_shall_stop() -> None:
    clock = ThrottledClock(SystemClock())
    woken: list[str] = []

    def sleep() -> None:
        try:
            clock.sleep(3600.0)
        except Stopped:
            woken.append("stopped")

    threads = [threading.Thread(target=sleep) for _ in range(5)]
    for thread in threads:
        thread.start()
    clock.stop()
    for thread in threads:
        thread.join(10.0)
    assert woken == ["stopped"] * 5


def test_one_that_fails_stops_no_other_and_each_keeps_its_place(bench: Bench) -> None:
    run = open_run(bench.write_job(), bench.context)
    lost = RunError("lost")

    def fail() -> Run:
        raise lost

    told: list[int] = []
    endings = run_parallel(
        [fail, lambda: run, fail],
        concurrency=1,
        clock=ThrottledClock(SystemClock()),
        ended=lambda index, _ending: told.append(index),
    )
    assert endings == [TaskResult(error=lost), TaskResult(run=run), TaskResult(error=lost)]
    assert told == [0, 1, 2]


def test_never_more_than_so_many_at_once(bench: Bench) -> None:
    run = open_run(bench.write_job(), bench.context)
    lock, both = threading.Lock(), threading.Barrier(2)
    now, most = [0], [0]

    def task() -> Run:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        both.wait(10.0)  # two are here at the same time, or this breaks
        with lock:
            now[0] -= 1
        return run

    endings = run_parallel([task] * 6, concurrency=2, clock=ThrottledClock(SystemClock()))
    assert [ending.error for ending in endings] == [None] * 6
    assert most == [2]


def test_ctrl_c_ends_the_waiting_and_leaves_the_others_unbegun(bench: Bench) -> None:
    clock = ThrottledClock(SystemClock())
    began: list[int] = []

    def task() -> Run:
        began.append(1)
        clock.sleep(3600.0)
        raise AssertionError("woken without a reason")

    def press() -> None:
        if len(began) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_parallel([task] * 5, concurrency=2, clock=clock, look=press)
    assert len(began) == 2


def test_many_runs_share_one_ledger_and_one_provider(tmp_path: Path) -> None:
    """Real threads: each of four job files gets its one job, the fifth is one of them again."""
    bench = Bench(tmp_path)
    clock = make_clock(bench.clock, wakes_per_s=1000.0)
    turn = threading.Lock()  # the folder-backed provider is no server: one request at a time

    def make_task(number: int) -> Run:
        with turn:
            folder = tmp_path / f"job-{number}"
            folder.mkdir(exist_ok=True)
            job = write_job(folder, seed=number % 4)
            context = RunContext(bench.ledger, bench.provider, clock, bench.home, Recorder())
            return drive(open_run(job, context), context)

    endings = run_parallel(
        [lambda number=number: make_task(number) for number in range(5)],  # type: ignore[misc]
        concurrency=5,
        clock=clock,
    )
    assert [ending.error for ending in endings] == [None] * 5
    assert {ending.run.status for ending in endings if ending.run} == {RunStatus.SUCCEEDED}
    assert bench.provider.count("create_job") == 4
    assert len(bench.ledger.list_runs()) == 4
    bench.ledger.close()


def test_a_run_that_is_stopped_is_no_failed_run_and_goes_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.provider.statuses = ("queued", "running", "running", "running", "succeeded")
    stops = iter([False, False, True])
    clock = ThrottledClock(bench.clock, wait=lambda _seconds: next(stops))
    run = open_run(bench.write_job(), bench.context)
    bench.provider.before("get_job", lambda: clock.sleep(1.0))
    endings = run_parallel([lambda: drive(run, bench.context)], concurrency=1, clock=clock)
    assert endings == [TaskResult()]
    stopped = bench.ledger.get_run(run.id)
    assert (stopped.status, stopped.error) == (RunStatus.RUNNING, None)
    bench.provider.before("get_job", lambda: None)
    assert drive(stopped, bench.context).status is RunStatus.SUCCEEDED
    assert bench.provider.count("create_job") == 1
    bench.ledger.close()
