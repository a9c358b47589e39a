"""Drives several runs in parallel: one thread per run, and one clock that limits their polling.

The threads mostly sleep and poll. The clock limits how many threads wake per second, so each thread
polls less often the more threads there are. The clock also stops the threads: `Stopped` wakes a
sleeping thread, and any other thread stops at its next sleep. The ledger has the progress of each
run.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from ftops.clock import Clock
from ftops.records import Run

WAKES_PER_S = 3.0  # each wake sends two requests: about 10 ms of CPU on a slow machine
POLL_INTERVAL_S = 0.5
SHUTDOWN_WAIT_S = 10.0  # for pending requests, after a stop


class Stopped(BaseException):
    """Raised when the user stops all runs; like KeyboardInterrupt, not an error."""


class ThrottledClock:
    """A `Clock` for many threads that wakes at most `wakes_per_s` of them per second.

    `wait` sleeps, and returns True if all threads must stop.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        wakes_per_s: float = WAKES_PER_S,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        self._clock = clock
        self._gap_s = 1.0 / wakes_per_s
        self._over = threading.Event()
        self._wait = wait or self._over.wait
        self._lock = threading.Lock()
        self._next_wake_s = 0.0

    def now(self) -> datetime:
        return self._clock.now()

    def monotonic_s(self) -> float:
        return self._clock.monotonic_s()

    def sleep(self, seconds: float) -> None:
        """Sleep for `seconds`, then wait for a turn; raises Stopped after `stop`."""
        self._pass(seconds)
        with self._lock:
            now_s = self.monotonic_s()
            turn_s = max(now_s, self._next_wake_s)
            self._next_wake_s = turn_s + self._gap_s
        if turn_s > now_s:
            self._pass(turn_s - now_s)

    def stop(self) -> None:
        """Wake all sleeping threads; every later sleep raises Stopped."""
        self._over.set()

    def check(self) -> None:
        """Raise Stopped after `stop`."""
        if self._over.is_set():
            raise Stopped

    def _pass(self, seconds: float) -> None:
        if self._wait(max(0.0, seconds)):
            raise Stopped
        self.check()


@dataclass(frozen=True, slots=True)
class TaskResult:
    """The outcome of a task: its run or its error; both are None if it was stopped."""

    run: Run | None = None
    error: Exception | None = None


def run_parallel(
    tasks: Sequence[Callable[[], Run]],
    *,
    concurrency: int,
    clock: ThrottledClock,
    ended: Callable[[int, TaskResult], None] = lambda _index, _result: None,
    look: Callable[[], None] = lambda: None,
) -> list[TaskResult]:
    """Execute all tasks, at most `concurrency` in parallel, and return their outcomes in order.

    An error in one task does not stop the others. The worker threads call `ended`; the calling
    thread calls `look` at intervals. An exception in the calling thread, such as Ctrl-C, first
    stops the worker threads.
    """
    results = [TaskResult()] * len(tasks)
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for index in range(len(tasks)):
        waiting.put(index)

    def work() -> None:
        while True:
            try:
                clock.check()
                index = waiting.get_nowait()
                results[index] = _try(tasks[index])
            except (queue.Empty, Stopped):
                return
            ended(index, results[index])

    # Daemons: a thread that hangs in a request must not block the exit; runs are resumable.
    threads = [
        threading.Thread(target=work, daemon=True) for _ in range(min(concurrency, len(tasks)))
    ]
    try:
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            _join(threads, POLL_INTERVAL_S, clock)
            look()
    except BaseException:
        clock.stop()
        _join(threads, SHUTDOWN_WAIT_S, clock)
        raise
    return results


def _try(task: Callable[[], Run]) -> TaskResult:
    try:
        return TaskResult(run=task())
    except Exception as error:
        return TaskResult(error=error)


def _join(threads: Sequence[threading.Thread], wait_s: float, clock: Clock) -> None:
    """Wait until all started threads have ended, for at most `wait_s`."""
    until_s = clock.monotonic_s() + wait_s
    for thread in threads:
        if thread.ident is not None:
            thread.join(max(0.0, until_s - clock.monotonic_s()))
