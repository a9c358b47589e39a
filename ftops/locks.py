"""Locks of the operating system: one holder at a time, released when its process ends.

The lock file is kept on release; only whether a process holds its lock counts.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from ftops.files import PRIVATE_FILE, make_private, make_private_dir, storage_error


@contextlib.contextmanager
def hold_lock(path: Path) -> Iterator[bool]:
    """Hold the lock of the file at `path` for the block; False when another process holds it.

    A missing file or folder is created; StorageError when that fails.
    """
    make_private_dir(path.parent)
    lock = _acquire(path)
    try:
        yield lock is not None
    finally:
        if lock is not None:
            lock.release()


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock at `path`; False without a file."""
    if not path.exists():
        return False
    lock = _acquire(path)
    if lock is not None:
        lock.release()
    return lock is None


def _acquire(path: Path) -> FileLock | None:
    lock = FileLock(path, timeout=0, mode=PRIVATE_FILE, thread_local=False)
    try:
        make_private(path)
        lock.acquire()
    except Timeout:
        return None
    except OSError as error:
        raise storage_error(error, path) from error
    return lock
