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
    """The process harness's other end. One order at a time, from any thread."""

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
        """Run `main(arguments)` of the module in a process of its own."""
        order = {"start": module, "arguments": arguments, "output": str(output)}
        pid = self.ask({**order, "environment": dict(environment or {})})
        assert pid is not None
        return Child(self, pid)

    def ask(self, order: Mapping[str, object]) -> int | None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            answer: int | None = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        self._process.communicate()


@dataclass(slots=True)
class Child:
    """One process; its number is nobody else's until `wait` or `poll` has seen its end."""

    harness: ProcessHarness
    pid: int
    code: int | None = None

    def poll(self) -> int | None:
        if self.code is None:
            self.code = self.harness.ask({"poll": self.pid})
        return self.code

    def wait(self) -> int:
        if self.code is None:
            self.code = self.harness.ask({"wait": self.pid})
        assert self.code is not None
        return self.code


def send(pid: int, number: signal.Signals) -> bool:
    """Signal the process; False when it is gone already."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def find_pids(*words: str) -> list[int]:
    """The living processes whose command lines hold all these words."""
    table = subprocess.run(
        ["ps", "-ww", "-eo", "pid=,stat=,args="], capture_output=True, text=True, check=True
    )
    found = []
    for line in table.stdout.splitlines():
        pid, state, command = line.split(None, 2)
        if not state.startswith("Z") and all(word in command for word in words):
            found.append(int(pid))
    return found


def is_stopped(pid: int) -> bool:
    """Whether a SIGSTOP has reached the process."""
    table = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return table.stdout.strip().startswith("T")
