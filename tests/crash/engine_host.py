"""An engine in its own process, with the real trainer, that is killed and restarted.

`EngineHost.call` repeats a request until there is a response, and restarts the engine when it is
not running.
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
from tests.crash.processes import Child, ProcessHarness, find_pids, is_stopped, send_signal

Response = TypeVar("Response")
CHECKPOINT_EVERY_S = 0.1
_DEADLINE_S = 100.0
_WORKER = "ftops.engine.worker"
STEP_POINT = "engine.worker.before_step_events"  # reached once per training step


class EngineHost:
    """The folder of one engine and the processes that work in it."""

    def __init__(self, harness: ProcessHarness, folder: Path, *options: str) -> None:
        self.paths = EngineFolder(folder / "engine")
        self.crash_folder = folder / "crash"
        self.crash_folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "engine.log"
        self.starts = 0
        self._harness = harness
        self._options = options
        self._child: Child | None = None
        self._sdk: openai.OpenAI | None = None
        self._endpoint = ("", "")
        self._token = "held-0"
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start the engine if it is not running, and wait until it listens or has ended."""
        with self._lock:
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
            environment={crashpoints.VARIABLE: str(self.crash_folder)},
            output=self.log,
        )

    @property
    def pid(self) -> int | None:
        """The process id of the engine, if it is running."""
        with self._lock:
            child = self._child
        return child.pid if child is not None and child.poll() is None else None

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the engine a signal to end, and return its exit code."""
        assert self._child is not None
        send_signal(self._child.pid, number)
        return self._child.wait()

    def workers(self) -> list[int]:
        """The process ids of the trainers of this engine."""
        return find_pids(_WORKER, str(self.paths.root))

    def kill(self, *targets: str) -> int:
        """Kill the `engine`, the `trainer`, or both in this order; return how many were running."""
        killed = 0
        for target in targets:
            pids = [self.pid] if target == "engine" else self.workers()
            for pid in pids:
                killed += pid is not None and send_signal(pid, signal.SIGKILL)
        return killed

    def call(self, request: Callable[[openai.OpenAI], Response]) -> Response:
        """Repeat the request until the engine responds; restart the engine when it is down."""
        end_s = time.monotonic() + _DEADLINE_S
        while True:
            assert time.monotonic() < end_s, "the engine does not respond"
            if self.pid is None:
                self.start()
            with contextlib.suppress(openai.APIConnectionError, FileNotFoundError):
                return request(self.sdk)

    @property
    def sdk(self) -> openai.OpenAI:
        """A client of the running engine."""
        address = json.loads(self.paths.address.read_text())
        endpoint = (address["base_url"], address["token"])
        if self._sdk is None or endpoint != self._endpoint:
            self._close_sdk()
            self._sdk = openai.OpenAI(
                base_url=endpoint[0], api_key=endpoint[1], max_retries=0, timeout=20
            )
            self._endpoint = endpoint
        return self._sdk

    def _close_sdk(self) -> None:
        if self._sdk is not None:
            self._sdk.close()

    def hold(self, point: str, count: int = 1) -> None:
        """Stop the first process that reaches the point for the `count`th time."""
        self._token = f"held-{len(list(self.crash_folder.glob('held-*'))) + 1}"
        (self.crash_folder / "hold.new").write_text(f"{point} {count} {self._token}")
        (self.crash_folder / "hold.new").replace(self.crash_folder / "hold")

    @property
    def held(self) -> int | None:
        """The process id of the stopped process, once it has reached the point."""
        try:
            pid = int((self.crash_folder / self._token).read_text())
        except (OSError, ValueError):
            return None
        return pid if is_stopped(pid) else None

    def stop_holding(self) -> None:
        """Stop no other process; a process that is stopped already waits for a signal."""
        (self.crash_folder / "hold").unlink(missing_ok=True)

    def trace(self) -> list[tuple[int, str]]:
        """Each reached point, with the id of its process."""
        with contextlib.suppress(FileNotFoundError):
            lines = (self.crash_folder / "trace").read_text().splitlines()
            return [(int(pid), name) for pid, name in map(str.split, lines)]
        return []

    def count_trained_steps(self) -> Sequence[int]:
        """The number of steps that each worker has trained, in the order of their first steps."""
        steps = Counter(pid for pid, name in self.trace() if name == STEP_POINT)
        return list(steps.values())

    def last_step(self) -> int:
        """The last step of the running job."""
        for folder in self.paths.jobs.iterdir() if self.paths.jobs.is_dir() else ():
            rows = read_steps(self.paths.job(folder.name).steps)
            if rows:
                return int(rows[-1][0])
        return 0

    def close(self) -> None:
        """End all processes."""
        self._close_sdk()
        self.stop_holding()
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
    """Open an engine folder, start the engine (`start`), and end all its processes afterwards."""
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
    """Return as soon as the condition holds; fail after the deadline."""
    pause = threading.Event()
    end_s = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end_s, "waited too long"
        pause.wait(pause_s)
