"""Several runs at once: a thread for each, and one clock that limits their polling.

Nearly all that the threads do is to sleep and then to poll. So the clock throttles them: however
many there are, only so many wake in a second, and each polls less often the more there are. The
same clock stops them: a sleeping thread is woken by `Stopped`, and any other stops at its next
sleep. What a run has done by then is in the ledger.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from ftops.clock import Clock
from ftops.records import Run

WAKES_PER_S = 3.0  # a wake is two requests, some 10 ms of a processor on a slow machine
POLL_INTERVAL_S = 0.5
SHUTDOWN_WAIT_S = 10.0  # for requests under way, once all shall stop


class Stopped(BaseException):
    """The user stops all runs. Like KeyboardInterrupt, not an error."""


class ThrottledClock:
    """A `Clock` for many threads, whose sleepers wake at most `wakes_per_s` a second.

    `wait` sleeps, and returns True when all threads shall stop.
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
        """Let `seconds` pass, and then wait for a turn; Stopped as soon as all shall stop."""
        self._pass(seconds)
        with self._lock:
            now_s = self.monotonic_s()
            turn_s = max(now_s, self._next_wake_s)
            self._next_wake_s = turn_s + self._gap_s
        if turn_s > now_s:
            self._pass(turn_s - now_s)

    def stop(self) -> None:
        """Wake all sleeping threads, and let no other sleep."""
        self._over.set()

    def check(self) -> None:
        """Raise Stopped once all shall stop."""
        if self._over.is_set():
            raise Stopped

    def _pass(self, seconds: float) -> None:
        if self._wait(max(0.0, seconds)):
            raise Stopped
        self.check()


@dataclass(frozen=True, slots=True)
class TaskResult:
    """How a task ended: the run as it is then, or the error; both are None when it was stopped."""

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
    """Do all tasks, at most `concurrency` in parallel, and return how each ended, in order.

    An error of one stops no other. `ended` is called by the threads, `look` now and then by the
    caller's own. Whatever interrupts the caller, such as Ctrl-C, stops the threads first.
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

    # Daemons: one that hangs in a request must not hold the command; a run survives worse.
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
    """Wait until all threads that were started have ended, for at most `wait_s`."""
    until_s = clock.monotonic_s() + wait_s
    for thread in threads:
        if thread.ident is not None:
            thread.join(max(0.0, until_s - clock.monotonic_s()))
