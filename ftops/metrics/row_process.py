"""Scores rows in a separate process, which is killed if a row takes too long.

This works in every thread and on every platform, and code in the process cannot change this one.
`row_worker.py` is the other side.
"""

import contextlib
import json
import math
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from ftops.errors import ScoringError
from ftops.records import Json

LOAD_LIMIT_S = 120.0  # for the imports of a user's file
_JOIN_S = 1.0
_COMMAND = (sys.executable, "-P", "-m", "ftops.metrics.row_worker")


@dataclass(frozen=True, slots=True)
class RowOutcome:
    """The score of a row, or why it has none; `late` if its process was killed or exited."""

    score: float | None
    fault: str = ""
    late: bool = False


def load(task: Mapping[str, str], *, limit_s: float = LOAD_LIMIT_S) -> None:
    """Load the scorer of the task; ScoringError if it cannot be loaded."""
    with _Worker(task, [], limit_s, limit_s) as worker:
        worker.wait_until_ready()


def score_rows(
    task: Mapping[str, str],
    rows: Sequence[Json],
    *,
    limit_s: float,
    max_late: int,
    total_s: float = math.inf,
) -> list[RowOutcome]:
    """The outcome of each row, with `limit_s` for each and `total_s` for all of them.

    After `max_late` rows that time out or end the process, the others are skipped. ScoringError if
    the scorer cannot be loaded, or cannot score any row.
    """
    until_s = time.monotonic() + total_s
    outcomes: list[RowOutcome] = []
    broken = 0
    while len(outcomes) < len(rows) and broken < max_late:
        with _Worker(task, rows[len(outcomes) :], limit_s, LOAD_LIMIT_S) as worker:
            worker.wait_until_ready()
            for outcome in worker.outcomes(until_s):
                outcomes.append(outcome)
                broken += outcome.late
    left = len(rows) - len(outcomes)
    return (
        outcomes
        + [RowOutcome(None, "skipped, since earlier rows took too long or ended the process")]
        * left
    )


class _Worker:
    """A process, its rows, and the lines that it writes."""

    def __init__(
        self, task: Mapping[str, str], rows: Sequence[Json], limit_s: float, load_limit_s: float
    ) -> None:
        self._task = {**task, "limit_s": limit_s, "load_limit_s": load_limit_s}
        self._rows = rows
        self._limit_s = limit_s
        self._load_limit_s = load_limit_s
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def __enter__(self) -> "_Worker":
        try:
            self._process = subprocess.Popen(
                _COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                encoding="utf-8",
                start_new_session=True,
            )
        except OSError as error:
            raise ScoringError(f"no process can be started: {error.strerror}") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._threads = [
            threading.Thread(target=self._send, args=(self._process.stdin,), daemon=True),
            threading.Thread(target=self._receive, args=(self._process.stdout,), daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()
        self._process.wait()
        for thread in self._threads:  # a process that the user's code detached may keep a pipe open
            thread.join(_JOIN_S)

    def wait_until_ready(self) -> None:
        """ScoringError if the process cannot load the scorer."""
        try:
            line = self._lines.get(timeout=self._load_limit_s)
        except queue.Empty:
            raise ScoringError(
                f"{self._name()} does not load within {self._load_limit_s:g} s"
            ) from None
        if line is None:
            raise ScoringError(f"{self._name()} does not load: {self._describe_end()}")
        _raise_error(json.loads(line))

    def outcomes(self, until_s: float) -> Iterator[RowOutcome]:
        """One outcome per row, up to the first row that ends the process or exceeds `until_s`."""
        for _ in self._rows:
            left_s = max(0.0, until_s - time.monotonic())
            try:
                line = self._lines.get(timeout=min(self._limit_s, left_s))
            except queue.Empty:
                limit = f"more than {self._limit_s:g} s"
                if left_s < self._limit_s:
                    limit = "too long together with the rows before it"
                yield RowOutcome(None, f"it took {limit}", late=True)
                return
            if line is None:
                yield RowOutcome(None, self._describe_end(), late=True)
                return
            document = json.loads(line)
            _raise_error(document)
            yield RowOutcome(document.get("score"), document.get("fault", ""))

    def _name(self) -> str:
        return str(self._task.get("path") or f"`{self._task.get('pattern')}`")

    def _describe_end(self) -> str:
        return f"its process ended with exit code {self._process.wait()}"

    def _send(self, stream: IO[str]) -> None:
        with contextlib.suppress(OSError, ValueError), stream:
            for document in (self._task, *self._rows):
                stream.write(json.dumps(document) + "\n")

    def _receive(self, stream: IO[str]) -> None:
        with contextlib.suppress(OSError, ValueError), stream:
            for line in stream:
                if line.endswith("\n"):
                    self._lines.put(line)
        self._lines.put(None)


def _raise_error(document: Mapping[str, str]) -> None:
    if "error" in document:
        raise ScoringError(document["error"], hint=document.get("hint", ""))
