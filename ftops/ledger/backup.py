"""Writes and restores backups of the ledger."""

import contextlib
import sqlite3
from pathlib import Path

from ftops.clock import Clock
from ftops.errors import LedgerError
from ftops.files import remove_path, storage_error, sync_dir, write_atomic
from ftops.ledger.file import read_version
from ftops.ledger.ledger import Ledger

# The suffixes that SQLite gives to a database, its log, and the index of that log.
_SUFFIXES = ("", "-wal", "-shm")


def write_backup(ledger: Ledger, path: Path) -> int:
    """Write a snapshot of the ledger to `path` and return its size in bytes.

    Other commands may write to the ledger at the same time. The snapshot is a single file.
    """
    data = ledger.copy_content()
    write_atomic(path, data)
    return len(data)


def restore_backup(backup: Path, path: Path, clock: Clock) -> tuple[int, Path | None]:
    """Restore `backup` to `path`; return its number of runs and the path of the previous ledger.

    The whole backup is checked before anything is replaced. The previous ledger is kept next to the
    restored one, even if it is damaged. No other process may use the ledger. Raises LedgerError
    when `backup` is damaged or is not a ledger of this version.
    """
    candidate = path.with_name(f"{path.name}.restoring")
    _remove(candidate)
    try:
        write_atomic(candidate, backup.read_bytes())
        _check_is_ledger(candidate, backup)
        with contextlib.closing(Ledger(candidate, clock)) as ledger:
            damages = ledger.list_damages()
            n_runs = len(ledger.list_runs())
        if damages:
            raise _refuse(backup, f"it is damaged: {damages[0]}")
        former = _set_aside(path, clock)
        candidate.replace(path)
        sync_dir(path.parent)
    except FileNotFoundError as error:
        raise LedgerError(
            f"{error.filename}: there is no such file", hint="`ftops backup FILE` writes one."
        ) from error
    except OSError as error:
        raise storage_error(error, path) from error
    finally:
        _remove(candidate)
    return n_runs, former


def _check_is_ledger(candidate: Path, backup: Path) -> None:
    try:
        with contextlib.closing(sqlite3.connect(candidate)) as connection:
            has_tables = read_version(connection, backup) > 0
    except sqlite3.Error as error:
        raise _refuse(backup, str(error)) from error
    if not has_tables:  # an empty file would otherwise become a new, empty ledger
        raise _refuse(backup, "it is not a ledger of ftops")


def _refuse(backup: Path, reason: str) -> LedgerError:
    return LedgerError(
        f"{backup} cannot be restored: {reason}",
        hint="Nothing was changed. Name a file that `ftops backup` has written.",
    )


def _set_aside(path: Path, clock: Clock) -> Path | None:
    """Rename the ledger and its log; None if there is no ledger."""
    if not path.exists():
        return None
    former = path.with_name(f"{path.name}.{clock.now():%Y%m%dT%H%M%S.%f}.former")
    for suffix in _SUFFIXES:  # SQLite must not apply the log to another database
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).replace(former.with_name(former.name + suffix))
    return former


def _remove(path: Path) -> None:
    for suffix in _SUFFIXES:
        remove_path(path.with_name(path.name + suffix))
