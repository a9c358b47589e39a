"""Backups of the ledger, and how one is restored."""

import contextlib
import sqlite3
from pathlib import Path

from ftops.clock import Clock
from ftops.errors import LedgerError
from ftops.files import remove_path, storage_error, sync_dir, write_atomic
from ftops.ledger.file import is_ledger
from ftops.ledger.ledger import Ledger

# SQLite's own names for the log of a database and the index of that log.
_SUFFIXES = ("", "-wal", "-shm")


def write_backup(ledger: Ledger, path: Path) -> int:
    """Write a copy of the ledger as it is at this moment to `path`; its size in bytes.

    Other commands may write to the ledger meanwhile. The copy is one file, complete in itself.
    """
    data = ledger.copy_content()
    write_atomic(path, data)
    return len(data)


def restore_backup(backup: Path, path: Path, clock: Clock) -> tuple[int, Path | None]:
    """Put the ledger of `backup` at `path`; how many runs it has, and where the former one is.

    The copy is checked whole before anything is replaced. The former ledger is kept beside
    it, damaged or not. No other process may use the ledger. Raises LedgerError when `backup` is no
    ledger of this version or is damaged.
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
            has_tables = is_ledger(connection, backup)
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
    """Rename the ledger and its log; None when there is none."""
    if not path.exists():
        return None
    former = path.with_name(f"{path.name}.{clock.now():%Y%m%dT%H%M%S.%f}.former")
    for suffix in _SUFFIXES:  # the log without its database is never applied to another
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).replace(former.with_name(former.name + suffix))
    return former


def _remove(path: Path) -> None:
    for suffix in _SUFFIXES:
        remove_path(path.with_name(path.name + suffix))
