"""Threads that kill engines and trainers, at a named point or at random times."""

import random
import signal
import threading
from collections import Counter
from collections.abc import Sequence

from tests.crash.engine_host import EngineHost
from tests.crash.processes import send_signal

TRAINER = ("trainer",)
ENGINE = ("engine",)
BOTH = ("engine", "trainer")
_POLL_INTERVAL_S = 0.004
_MAX_WAIT_S = 0.15  # a job takes one or two seconds


class Killer(threading.Thread):
    """Kills processes until its work is done or the job has ended."""

    def __init__(self, host: EngineHost) -> None:
        super().__init__(daemon=True)
        self.host = host
        self.kills: Counter[str] = Counter()  # by target: trainer, engine or both
        self.job_ended = threading.Event()
        self._error: BaseException | None = None

    def finish(self) -> None:
        """End the thread after the job, and raise its error."""
        self.job_ended.set()
        self.join()
        if self._error:
            raise self._error

    def run(self) -> None:
        try:
            self.work()
        except BaseException as error:
            self._error = error
        finally:
            self.host.stop_holding()

    def work(self) -> None:
        raise NotImplementedError

    def kill(self, targets: Sequence[str]) -> bool:
        """Kill all targets; return whether all of them were running."""
        are_killed = self.host.kill(*targets) >= len(targets)
        if are_killed:
            self.kills["both" if len(targets) > 1 else targets[0]] += 1
        return are_killed


class PointKiller(Killer):
    """Waits until a process stops at the point, then kills the next of `targets`."""

    def __init__(self, host: EngineHost, point: str, count: int, targets: Sequence[Sequence[str]]):
        super().__init__(host)
        self.remaining = list(targets)
        self._point = (point, count)

    def work(self) -> None:
        while self.remaining:
            self.host.hold(*self._point)
            pid = self._wait_for_held()
            if pid is None:
                return
            self.host.stop_holding()
            self.kill(self.remaining.pop(0))
            send_signal(pid, signal.SIGCONT)  # if it was not killed, it continues

    def _wait_for_held(self) -> int | None:
        while not self.job_ended.wait(_POLL_INTERVAL_S):
            pid = self.host.held
            if pid and self.host.pid:  # the engine may be restarting
                return pid
        self.host.stop_holding()
        if pid := self.host.held:  # reached after the end of the job
            return pid
        return None


class RandomKiller(Killer):
    """Kills running processes at random times, reproducible by the seed.

    The trainer alone is not killed twice without a step in between: such a job fails.
    """

    def __init__(self, host: EngineHost, seed: int, count: int) -> None:
        super().__init__(host)
        self._rng = random.Random(seed)
        self._count = count
        self._step = -1

    def work(self) -> None:
        while self.kills.total() < self._count:
            targets = self._rng.choice([TRAINER, TRAINER, ENGINE, BOTH, BOTH[::-1]])
            waits = targets == TRAINER or self._rng.random() < 0.6
            if waits and not self._wait_for_step():
                return
            if self.job_ended.wait(self._rng.uniform(0, _MAX_WAIT_S)):
                return
            if self.kill(targets):
                self._step = self.host.last_step()

    def _wait_for_step(self) -> bool:
        while self.host.last_step() <= self._step:
            if self.job_ended.wait(_POLL_INTERVAL_S):
                return False
        return True
