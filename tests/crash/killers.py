"""Who kills: at a named point, or at random times; each beside the client, in a thread."""

import random
import signal
import threading
from collections import Counter
from collections.abc import Sequence

from tests.crash.engine_host import EngineHost
from tests.crash.processes import send

TRAINER = ("trainer",)
ENGINE = ("engine",)
BOTH = ("engine", "trainer")
_LOOK_EVERY_S = 0.004
_LONGEST_WAIT_S = 0.15  # a job takes one or two seconds


class Killer(threading.Thread):
    """Does its work until it is done or told that the job has ended."""

    def __init__(self, host: EngineHost) -> None:
        super().__init__(daemon=True)
        self.host = host
        self.kills: Counter[str] = Counter()  # of the trainer alone, the engine alone, or both
        self.over = threading.Event()
        self._error: BaseException | None = None

    def finish(self) -> None:
        """The job has ended; raises what went wrong."""
        self.over.set()
        self.join()
        if self._error:
            raise self._error

    def run(self) -> None:
        try:
            self.work()
        except BaseException as error:
            self._error = error
        finally:
            self.host.hold_nobody()

    def work(self) -> None:
        raise NotImplementedError

    def kill(self, targets: Sequence[str]) -> bool:
        """Kill them all; whether they lived."""
        died = self.host.kill(*targets) >= len(targets)
        if died:
            self.kills["both" if len(targets) > 1 else targets[0]] += 1
        return died


class PointKiller(Killer):
    """Waits until a process stands at the point, then kills, for each of `targets` in turn."""

    def __init__(self, host: EngineHost, point: str, count: int, targets: Sequence[Sequence[str]]):
        super().__init__(host)
        self.left = list(targets)
        self._place = (point, count)

    def work(self) -> None:
        while self.left:
            self.host.hold(*self._place)
            pid = self._wait()
            if pid is None:
                return
            self.host.hold_nobody()
            self.kill(self.left.pop(0))
            send(pid, signal.SIGCONT)  # if it is not dead, it goes on alone

    def _wait(self) -> int | None:
        while not self.over.wait(_LOOK_EVERY_S):
            pid = self.host.held
            if pid and self.host.pid:  # the engine may have died and not be back yet
                return pid
        self.host.hold_nobody()
        if pid := self.host.held:  # after the job's end, as nobody wants it any more
            return pid
        return None


class RandomKiller(Killer):
    """Kills whoever lives at times that follow from a seed.

    The trainer alone is not killed twice without a step in between: that would be the story of a
    job that cannot go on.
    """

    def __init__(self, host: EngineHost, seed: int, count: int) -> None:
        super().__init__(host)
        self._dice = random.Random(seed)
        self._count = count
        self._step = -1

    def work(self) -> None:
        while self.kills.total() < self._count:
            targets = self._dice.choice([TRAINER, TRAINER, ENGINE, BOTH, BOTH[::-1]])
            waits = targets == TRAINER or self._dice.random() < 0.6
            if waits and not self._wait_for_step():
                return
            if self.over.wait(self._dice.uniform(0, _LONGEST_WAIT_S)):
                return
            if self.kill(targets):
                self._step = self.host.last_step()

    def _wait_for_step(self) -> bool:
        while self.host.last_step() <= self._step:
            if self.over.wait(_LOOK_EVERY_S):
                return False
        return True
