"""Starts, monitors and signals worker processes, and decides what to do when one crashes.

A worker that ends with an exception or a crash in native code counts as a crash each time. A worker
that is killed from outside counts only if it made no progress over its predecessor: occasional
shutdowns of the machine do not fail a job, but too little memory does.
"""

import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ftops.engine.settings import JobFolder, hide_paths
from ftops.engine.step_metrics import read_steps
from ftops.engine.store import JobRow
from ftops.errors import EngineError
from ftops.locks import is_locked

EXIT_STOPPED = 75  # it stopped early and released the job
EXIT_BUSY = 76  # another worker holds the lock of the job


_TAIL_BYTES = 2000


@dataclass(slots=True)
class WorkerProcess:
    """A process that trains a job; `child` is None when an earlier engine started it.

    `unwanted_since_s` is when it was first seen to train a job that had ended.
    """

    job_id: str
    folder: JobFolder
    child: subprocess.Popen[bytes] | None = None
    stale_since_s: float | None = None

    def is_alive(self) -> bool:
        if self.child is not None:
            return self.child.poll() is None
        return is_locked(self.folder.lock)

    @property
    def exit_code(self) -> int | None:
        """The exit code of a child; None for a worker of an earlier engine."""
        return None if self.child is None else self.child.returncode

    def send_signal(self, number: signal.Signals, pid: int | None) -> None:
        """Signal the process; `pid` is the one in the store, for a worker of an earlier engine."""
        if self.child is not None:
            self.child.send_signal(number)
        elif pid is not None and is_locked(self.folder.lock):
            os.kill(pid, number)


def start_worker(
    command: Sequence[str], job_id: str, engine: Path, folder: JobFolder
) -> WorkerProcess:
    """Start a process in its own session: signals to the engine do not reach it."""
    try:
        with folder.log.open("ab") as log:
            child = subprocess.Popen(
                [*command, "--folder", str(engine), "--job", job_id],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
    except OSError as error:
        raise EngineError(f"cannot start a worker for {job_id}: {error}") from error
    return WorkerProcess(job_id, folder, child)


def read_log_tail(path: Path) -> str:
    """The last bytes of a worker's log."""
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - _TAIL_BYTES))
            return stream.read().decode(errors="replace").strip()
    except OSError:
        return ""


MAX_CRASHES = 3
_KILLED = (None, -9, -15)  # SIGKILL and SIGTERM; None: a worker of an earlier engine


@dataclass(slots=True)
class _Kills:
    step: int = 0  # the last one before the latest kill
    in_a_row: int = 0  # without progress


@dataclass(frozen=True, slots=True)
class CrashDecision:
    """The decision after the end of a worker; `failure` says why the job fails, if it does."""

    is_crash: bool  # it was not killed from outside
    failure: str | None


class CrashPolicy:
    """Decides whether a job gets another worker, by the progress of earlier ones."""

    def __init__(self) -> None:
        self._kills: dict[str, _Kills] = {}

    def decide(self, job: JobRow, folder: JobFolder, exit_code: int | None) -> CrashDecision:
        """Decide after the end of a worker that should still run."""
        if exit_code not in _KILLED:
            is_failed = job.crashes + 1 >= MAX_CRASHES
            reason = f"Training crashed {MAX_CRASHES} times."
            return CrashDecision(True, _add_log_tail(reason, folder) if is_failed else None)
        kills = self._kills.setdefault(job.id, _Kills())
        steps = read_steps(folder.steps)
        step = int(steps[-1][0]) if steps else 0
        kills.in_a_row = 1 if step > kills.step else kills.in_a_row + 1
        kills.step = step
        if kills.in_a_row < MAX_CRASHES:
            return CrashDecision(False, None)
        reason = (
            f"The training process was killed {MAX_CRASHES} times at step {step}. The system does"
            " that when memory runs out: use a smaller batch_size or base model."
        )
        return CrashDecision(False, _add_log_tail(reason, folder))

    def forget(self, job_id: str) -> None:
        """Forget a job that has ended."""
        self._kills.pop(job_id, None)


def _add_log_tail(reason: str, folder: JobFolder) -> str:
    tail = hide_paths(read_log_tail(folder.log), folder.root.parent.parent)
    return f"{reason} The end of its log:\n{tail}" if tail else reason
