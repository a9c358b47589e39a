"""What a worker's exit code tells the scheduler."""

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

EXIT_STOPPED = 75  # told to stop; it gave the job back to the queue
EXIT_BUSY = 76  # another worker has the job


_TAIL_BYTES = 2000


@dataclass(slots=True)
class WorkerProcess:
    """One process that has a job; `child` is None when another engine started it.

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
        """What a dead child left; None for adopted workers, whose parent is gone."""
        return None if self.child is None else self.child.returncode

    def send(self, number: signal.Signals, pid: int | None) -> None:
        """Signal the process; `pid` is what the store knows about an adopted one."""
        if self.child is not None:
            self.child.send_signal(number)
        elif pid is not None and is_locked(self.folder.lock):
            os.kill(pid, number)


def start_worker(
    command: Sequence[str], job_id: str, engine: Path, folder: JobFolder
) -> WorkerProcess:
    """Start a process in a session of its own: what stops the engine does not stop the job."""
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


def read_tail(path: Path) -> str:
    """The last lines that a worker printed."""
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - _TAIL_BYTES))
            return stream.read().decode(errors="replace").strip()
    except OSError:
        return ""


MAX_CRASHES = 3
_FROM_OUTSIDE = (None, -9, -15)  # exit codes of SIGKILL and SIGTERM; None: nobody saw its end


@dataclass(slots=True)
class _Kills:
    step: int = 0  # that the last one had come to
    in_a_row: int = 0  # without a step more


@dataclass(frozen=True, slots=True)
class CrashDecision:
    """One worker's end: `counts` as its own fault; `verdict` is why the job fails, if it does."""

    counts: bool
    verdict: str | None


class CrashPolicy:
    """Remembers how far each job had come when its worker was killed."""

    def __init__(self) -> None:
        self._kills: dict[str, _Kills] = {}

    def decide(self, job: JobRow, folder: JobFolder, exit_code: int | None) -> CrashDecision:
        """What to do about a worker that is gone, and was not asked to go."""
        if exit_code not in _FROM_OUTSIDE:
            broken = job.crashes + 1 >= MAX_CRASHES
            why = f"Training broke off {MAX_CRASHES} times."
            return CrashDecision(True, _with_last_words(why, folder) if broken else None)
        kills = self._kills.setdefault(job.id, _Kills())
        steps = read_steps(folder.steps)
        step = int(steps[-1][0]) if steps else 0
        kills.in_a_row = 1 if step > kills.step else kills.in_a_row + 1
        kills.step = step
        if kills.in_a_row < MAX_CRASHES:
            return CrashDecision(False, None)
        why = (
            f"The training process was killed {MAX_CRASHES} times at step {step}. The system does"
            " that when memory runs out: use a smaller batch_size or base model."
        )
        return CrashDecision(False, _with_last_words(why, folder))

    def forget(self, job_id: str) -> None:
        """The job has ended."""
        self._kills.pop(job_id, None)


def _with_last_words(why: str, folder: JobFolder) -> str:
    words = hide_paths(read_tail(folder.log), folder.root.parent.parent)
    return f"{why} The last words were:\n{words}" if words else why
