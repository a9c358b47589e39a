"""One runner for each run: whoever holds the lock in the run's folder."""

from contextlib import AbstractContextManager
from pathlib import Path

from ftops.locks import hold_lock, is_locked
from ftops.records import Run
from ftops.run_folder import get_run_folder

FILENAME = "lock"


def hold_run(run: Run, home: Path) -> AbstractContextManager[bool]:
    """Be the one runner of the run for the block; False when another process is."""
    return hold_lock(_get_lock(run, home))


def is_driven(run: Run, home: Path) -> bool:
    """Whether a living process drives or watches over the run at this moment."""
    return is_locked(_get_lock(run, home))


def _get_lock(run: Run, home: Path) -> Path:
    return get_run_folder(home, run.id) / FILENAME
