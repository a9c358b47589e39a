"""Processes for the crash tests: started by the process harness, killed by their process id."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


class ProcessHarness:
    """A client of the process harness; one request at a time, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.process_harness"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        output: Path,
        environment: Mapping[str, str] | None = None,
    ) -> "Child":
        """Run `main(arguments)` of the module in its own process."""
        message = {"start": module, "arguments": arguments, "output": str(output)}
        pid = self.request({**message, "environment": dict(environment or {})})
        assert pid is not None
        return Child(self, pid)

    def request(self, message: Mapping[str, object]) -> int | None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
            response: int | None = json.loads(self._process.stdout.readline())
        return response

    def close(self) -> None:
        self._process.communicate()


@dataclass(slots=True)
class Child:
    """One process; its id is not reused before `wait` or `poll` has returned its exit code."""

    harness: ProcessHarness
    pid: int
    code: int | None = None

    def poll(self) -> int | None:
        if self.code is None:
            self.code = self.harness.request({"poll": self.pid})
        return self.code

    def wait(self) -> int:
        if self.code is None:
            self.code = self.harness.request({"wait": self.pid})
        assert self.code is not None
        return self.code


def send_signal(pid: int, number: signal.Signals) -> bool:
    """Send the process a signal; False when it has ended already."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def find_pids(*words: str) -> list[int]:
    """The running processes whose command lines contain all these words."""
    table = subprocess.run(
        ["ps", "-ww", "-eo", "pid=,stat=,args="], capture_output=True, text=True, check=True
    )
    pids = []
    for line in table.stdout.splitlines():
        pid, state, command = line.split(None, 2)
        if not state.startswith("Z") and all(word in command for word in words):
            pids.append(int(pid))
    return pids


def is_stopped(pid: int) -> bool:
    """Whether the process is stopped by a signal."""
    table = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return table.stdout.strip().startswith("T")
