"""An engine in a process of its own, with the real trainer, that dies and is started again.

Whoever asks it something asks until there is an answer, as a client does whose engine is restarted
by somebody: `ask` brings up a dead engine by itself.
"""

import contextlib
import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import openai

from ftops import crashpoints
from ftops.engine.settings import EngineFolder
from ftops.engine.step_metrics import read_steps
from tests.crash.processes import Child, ProcessHarness, find_pids, is_stopped, send

Answer = TypeVar("Answer")
CHECKPOINT_EVERY_S = 0.1
_DEADLINE_S = 100.0
_WORKER = "ftops.engine.worker"
TRAINED = "engine.worker.before_step_events"  # the point that each step passes once


class EngineHost:
    """One engine's folder, and the processes that work in it."""

    def __init__(self, harness: ProcessHarness, folder: Path, *options: str) -> None:
        self.paths = EngineFolder(folder / "engine")
        self.stage = folder / "crash"
        self.stage.mkdir(parents=True, exist_ok=True)
        self.log = folder / "engine.log"
        self.starts = 0
        self._harness = harness
        self._options = options
        self._child: Child | None = None
        self._sdk: openai.OpenAI | None = None
        self._where = ("", "")
        self._token = "held-0"
        self._guard = threading.Lock()

    def start(self) -> None:
        """Have an engine that listens, unless it dies before; one that lives is left as it is."""
        with self._guard:
            child = self._child
            if child is None or child.poll() is not None:
                child = self._child = self._spawn()
                self.starts += 1
        wait_until(lambda: self._address_pid() == child.pid or child.poll() is not None)

    def _spawn(self) -> Child:
        options = ["--checkpoint-every-s", str(CHECKPOINT_EVERY_S), *self._options]
        return self._harness.start(
            "ftops.engine.__main__",
            ["--folder", str(self.paths.root), *options],
            environment={crashpoints.VARIABLE: str(self.stage)},
            output=self.log,
        )

    @property
    def pid(self) -> int | None:
        """The living engine's."""
        with self._guard:
            child = self._child
        return child.pid if child is not None and child.poll() is None else None

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask the engine to end; its exit code."""
        assert self._child is not None
        send(self._child.pid, number)
        return self._child.wait()

    def workers(self) -> list[int]:
        """The processes that train here."""
        return find_pids(_WORKER, str(self.paths.root))

    def kill(self, *targets: str) -> int:
        """Kill the `engine`, the `trainer`, or both in the order given; how many really died."""
        died = 0
        for target in targets:
            pids = [self.pid] if target == "engine" else self.workers()
            for pid in pids:
                died += pid is not None and send(pid, signal.SIGKILL)
        return died

    def ask(self, question: Callable[[openai.OpenAI], Answer]) -> Answer:
        """The engine's answer, from whichever engine lives long enough to give one."""
        end_s = time.monotonic() + _DEADLINE_S
        while True:
            assert time.monotonic() < end_s, "the engine does not answer"
            if self.pid is None:
                self.start()
            with contextlib.suppress(openai.APIConnectionError, FileNotFoundError):
                return question(self.sdk)

    @property
    def sdk(self) -> openai.OpenAI:
        """The SDK in front of the engine that runs now."""
        address = json.loads(self.paths.address.read_text())
        where = (address["base_url"], address["token"])
        if self._sdk is None or where != self._where:
            self._hang_up()
            self._sdk = openai.OpenAI(
                base_url=where[0], api_key=where[1], max_retries=0, timeout=20
            )
            self._where = where
        return self._sdk

    def _hang_up(self) -> None:
        if self._sdk is not None:
            self._sdk.close()

    def hold(self, point: str, count: int = 1) -> None:
        """Let the first process that comes to the point for the `count`th time stop there."""
        self._token = f"held-{len(list(self.stage.glob('held-*'))) + 1}"
        (self.stage / "hold.new").write_text(f"{point} {count} {self._token}")
        (self.stage / "hold.new").replace(self.stage / "hold")

    @property
    def held(self) -> int | None:
        """The process that has come to the point, once it stands still."""
        try:
            pid = int((self.stage / self._token).read_text())
        except (OSError, ValueError):
            return None
        return pid if is_stopped(pid) else None

    def hold_nobody(self) -> None:
        """Hold no other process; one that stands still goes on only by a signal."""
        (self.stage / "hold").unlink(missing_ok=True)

    def trace(self) -> list[tuple[int, str]]:
        """Every point that was reached, and by whom."""
        with contextlib.suppress(FileNotFoundError):
            lines = (self.stage / "trace").read_text().splitlines()
            return [(int(pid), name) for pid, name in map(str.split, lines)]
        return []

    def trained(self) -> Sequence[int]:
        """How many steps each worker has taken, in the order of their first ones."""
        steps = Counter(pid for pid, name in self.trace() if name == TRAINED)
        return list(steps.values())

    def last_step(self) -> int:
        """The last step of the job under way."""
        for folder in self.paths.jobs.iterdir() if self.paths.jobs.is_dir() else ():
            rows = read_steps(self.paths.job(folder.name).steps)
            if rows:
                return int(rows[-1][0])
        return 0

    def close(self) -> None:
        """End every process that is left."""
        self._hang_up()
        self.hold_nobody()
        self.kill("engine", "trainer")
        if self._child is not None:
            self._child.wait()

    def _address_pid(self) -> int | None:
        try:
            pid: int = json.loads(self.paths.address.read_text())["pid"]
        except (FileNotFoundError, ValueError):
            return None
        return pid


@contextlib.contextmanager
def open_engine_host(
    harness: ProcessHarness, folder: Path, *options: str, start: bool = True
) -> Iterator[EngineHost]:
    """A folder with a running engine (`start`); no process is left in it afterwards."""
    host = EngineHost(harness, folder, *options)
    try:
        if start:
            host.start()
        yield host
    finally:
        host.close()


def wait_until(
    condition: Callable[[], object], deadline_s: float = 90.0, pause_s: float = 0.005
) -> None:
    """Return as soon as the condition holds; fails after the deadline."""
    pause = threading.Event()
    end_s = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end_s, "waited too long"
        pause.wait(pause_s)
