"""One runner for each run: a lock of the operating system, which dies with its process."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from ftops.files import PRIVATE_FILE, make_private_dir, storage_error


@contextlib.contextmanager
def hold_lock(folder: Path) -> Iterator[bool]:
    """Hold the lock of the run in `folder` for the block; False when somebody else has it."""
    make_private_dir(folder)
    lock = FileLock(folder / "lock", timeout=0, mode=PRIVATE_FILE, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    except OSError as error:
        raise storage_error(error, folder / "lock") from error
    try:
        yield True
    finally:
        lock.release()


def is_locked(folder: Path) -> bool:
    """Whether a living process drives the run in `folder`; changes nothing there."""
    if not (folder / "lock").exists():
        return False
    with hold_lock(folder) as held:
        return not held
