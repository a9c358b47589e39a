"""Worker processes: started, looked at, and ended; those of an earlier engine are adopted."""

import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ftops.engine.settings import JobFolder
from ftops.errors import EngineError
from ftops.locks import is_locked

_TAIL_BYTES = 2000


@dataclass(slots=True)
class Worker:
    """One process that has a job; `child` is None when another engine started it.

    `unwanted_since_s` is when it was first seen to train a job that had ended.
    """

    job_id: str
    folder: JobFolder
    child: subprocess.Popen[bytes] | None = None
    unwanted_since_s: float | None = None

    def lives(self) -> bool:
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


def start_worker(command: Sequence[str], job_id: str, engine: Path, folder: JobFolder) -> Worker:
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
    return Worker(job_id, folder, child)


def read_tail(path: Path) -> str:
    """The last lines that a worker printed."""
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - _TAIL_BYTES))
            return stream.read().decode(errors="replace").strip()
    except OSError:
        return ""
