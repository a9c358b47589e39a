"""Named points at which a test may stop or kill the process, as a power cut would.

Code calls `reach("create.after_call")` where a crash would do most harm. Nothing happens unless
a test has armed that name in this process, or has named a folder in the environment:

    FTOPS_CRASH_FOLDER/trace    every point that is reached gets a line: "PID NAME"
    FTOPS_CRASH_FOLDER/hold     written by the test: "NAME N TOKEN"
    FTOPS_CRASH_FOLDER/TOKEN    the first process that reaches NAME for the Nth time in its
                                life writes its PID here and stops; the test does the rest
"""

import os
import signal
from collections import Counter
from pathlib import Path

VARIABLE = "FTOPS_CRASH_FOLDER"
_armed: str | None = None
_left = 1  # how many more times the armed point is reached before the process is killed
_passed: Counter[str] = Counter()


def arm(name: str | None, count: int = 1) -> None:
    """Kill this process at the `count`th `reach(name)` from now on; None disarms."""
    global _armed, _left
    _armed, _left = name, count


def reach(name: str) -> None:
    """Kill this process if a test armed `name`; stop it if a test requested that."""
    global _left
    if name == _armed:
        _left -= 1
    if name == _armed and _left <= 0:  # below 0 if another thread has just passed, too
        os.kill(os.getpid(), signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    folder = os.environ.get(VARIABLE)
    if folder:
        _passed[name] += 1
        _pass(Path(folder), name)


def _pass(folder: Path, name: str) -> None:
    with (folder / "trace").open("ab", buffering=0) as trace:
        trace.write(f"{os.getpid()} {name}\n".encode())
    try:
        wanted, count, token = (folder / "hold").read_text().split()
    except FileNotFoundError:
        return
    if wanted != name or _passed[name] < int(count):
        return
    try:
        descriptor = os.open(folder / token, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        return
    os.write(descriptor, str(os.getpid()).encode())
    os.close(descriptor)
    os.kill(os.getpid(), signal.SIGSTOP)
