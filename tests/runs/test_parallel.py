"""Parallel runs: throttled by one clock, stopped together, each with its own result."""

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
    """A clock whose waits advance the fake time and are never stopped."""

    def wait(seconds: float) -> bool:
        fake.sleep(seconds)
        return False

    return ThrottledClock(fake, wakes_per_s=wakes_per_s, wait=wait)


def test_a_single_sleeper_wakes_on_time() -> None:
    fake = FakeClock()
    clock = make_clock(fake)
    for _ in range(3):
        clock.sleep(5.0)
    assert fake.slept_s == [5.0, 5.0, 5.0]


def test_many_short_sleeps_are_throttled() -> None:
    fake = FakeClock()
    clock = make_clock(fake, wakes_per_s=2.0)
    for _ in range(11):
        clock.sleep(0.0)
    assert fake.monotonic_s() == pytest.approx(5.0)


def test_a_long_sleep_does_not_delay_others() -> None:
    """A wake-up counts when the sleep ends, not when it starts."""
    fake = FakeClock()
    clock = make_clock(fake, wakes_per_s=10.0)
    clock.sleep(60.0)
    clock.sleep(0.0)
    assert fake.monotonic_s() == pytest.approx(60.1)


def test_stopping_wakes_all_sleepers() -> None:
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


def test_a_failed_run_stops_no_other_and_results_keep_their_order(bench: Bench) -> None:
    run = open_run(bench.write_job(), bench.context)
    lost = RunError("lost")

    def fail() -> Run:
        raise lost

    ended: list[int] = []
    endings = run_parallel(
        [fail, lambda: run, fail],
        concurrency=1,
        clock=ThrottledClock(SystemClock()),
        ended=lambda index, _ending: ended.append(index),
    )
    assert endings == [TaskResult(error=lost), TaskResult(run=run), TaskResult(error=lost)]
    assert ended == [0, 1, 2]


def test_concurrency_is_limited(bench: Bench) -> None:
    run = open_run(bench.write_job(), bench.context)
    lock, both = threading.Lock(), threading.Barrier(2)
    now, most = [0], [0]

    def task() -> Run:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        both.wait(10.0)  # fails unless two run at the same time
        with lock:
            now[0] -= 1
        return run

    endings = run_parallel([task] * 6, concurrency=2, clock=ThrottledClock(SystemClock()))
    assert [ending.error for ending in endings] == [None] * 6
    assert most == [2]


def test_ctrl_c_ends_waiting_and_starts_no_other_run(bench: Bench) -> None:
    clock = ThrottledClock(SystemClock())
    started: list[int] = []

    def task() -> Run:
        started.append(1)
        clock.sleep(3600.0)
        raise AssertionError("woken without a reason")

    def interrupt() -> None:
        if len(started) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_parallel([task] * 5, concurrency=2, clock=clock, look=interrupt)
    assert len(started) == 2


def test_many_runs_share_one_ledger_and_one_provider(tmp_path: Path) -> None:
    """Real threads: four job files get one job each; the fifth repeats one of them."""
    bench = Bench(tmp_path)
    clock = make_clock(bench.clock, wakes_per_s=1000.0)
    turn = threading.Lock()  # the folder-backed provider handles one request at a time

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


def test_a_stopped_run_has_not_failed_and_continues(tmp_path: Path) -> None:
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
