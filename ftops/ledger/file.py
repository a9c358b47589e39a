"""The ledger's file: format, transactions, the lock between threads, and errors.

Every error of SQLite becomes a LedgerError or a StorageError that says what to do.

Changes are atomic and durable across a power cut: an intent is on the disk before its request is
sent. Only the last events, or the record that they were shown, may be lost (`UNFLUSHED`). They make
up most commits and can be read from the provider again. Durability depends on:

- `journal_mode = WAL`: a commit is one append to ledger.db-wal, whose frames carry chained
  checksums. SQLite ignores an append that a power cut has truncated, because its checksum fails.
- `synchronous = FULL`: a commit flushes its append before it returns. Changes that may be lost use
  NORMAL: the next FULL commit flushes them, and commits survive in order. With OFF, ledger.db could
  be overwritten before its log is safe.
- `fullfsync`, for macOS, where a plain fsync leaves the bytes in the drive's cache.
- The order of writes: SQLite copies pages to ledger.db only after it has flushed the log, and
  resets the log only after it has flushed ledger.db. These settings keep that order.
- The directory entry of each file is flushed too: by SQLite for the log, by `make_private_dir` for
  ledger.db.

tests/ledger/test_power_cut.py checks this write by write. ledger.db-shm is a cache of the log's
index; SQLite recreates it after a crash.
"""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

from ftops import crashpoints
from ftops.clock import Clock
from ftops.errors import LedgerError, LedgerTooNew, StorageError
from ftops.files import make_private_database, make_private_dir, storage_error

SCHEMA = Path(__file__).with_name("schema.sql")
APPLICATION_ID = 0x66746F70  # "ftop", in the header of the file
VERSION = 2  # of the schema
# Before and after the schema's statements, which create what is missing: version 1 had no
# deployments, and refused the stage `deploy`.
_UPGRADE = (
    "ALTER TABLE stages RENAME TO stages_1;\n",
    "INSERT INTO stages SELECT * FROM stages_1;\nDROP TABLE stages_1;\n",
)
BUSY_TIMEOUT_S = 10.0
_RETRY_S = 0.05
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_READ_ONLY = (
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_AUTH,
)

# Every transaction, named after its method; "migrate" creates the tables.
Change = Literal[
    "migrate",
    "add_run",
    "move_run",
    "reopen_run",
    "update_spec",
    "ask_cancel",
    "move_stage",
    "add_events",
    "mark_shown",
    "record_intent",
    "record_done",
    "record_failed",
    "record_job",
    "record_job_end",
    "record_upload",
    "close_calls",
    "begin_parts",
    "add_part",
    "mark_completing",
    "add_upload",
    "forget_upload",
    "add_model",
    "mark_model_deleted",
    "record_deployment",
    "update_deployment",
    "begin_deletion",
    "mark_pruned",
]

# Changes that return before they are flushed, because they can be made again.
UNFLUSHED: frozenset[Change] = frozenset({"add_events", "mark_shown"})


def list_crash_points() -> tuple[str, ...]:
    """The crash points of the ledger: before and after the commit of each change."""
    return tuple(
        f"ledger.{change}.{moment}_commit"
        for change in get_args(Change)
        for moment in ("before", "after")
    )


def run_statements(connection: sqlite3.Connection, script: str) -> None:
    """Execute the statements of a script inside the open transaction.

    `executescript` would commit that transaction first.
    """
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""


def _create_tables(connection: sqlite3.Connection, version: int) -> None:
    """Create the tables in the open transaction, or upgrade those of an earlier version."""
    if version == VERSION:
        return
    before, after = _UPGRADE if version else ("", "")
    run_statements(connection, before + SCHEMA.read_text(encoding="utf-8") + after)


def read_version(connection: sqlite3.Connection, path: Path) -> int:
    """The version of the ledger's tables; 0 for an empty file.

    Raises LedgerTooNew for a file of a later ftops, and LedgerError for a file of an earlier ftops
    or of another program. Changes nothing.
    """
    # The tables first: another process may create the ledger between the statements, and tables
    # without the mark that is written with them would look like those of another program.
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application_id == APPLICATION_ID and version > VERSION:
        raise LedgerTooNew(f"{path} has version {version}; this ftops reads up to {VERSION}")
    if application_id == APPLICATION_ID and version > 0:
        return int(version)
    if not tables and application_id == 0:
        return 0
    if application_id == APPLICATION_ID or {"migrations", "runs", "calls"} <= tables:
        raise LedgerError(
            f"{path} is the ledger of an earlier ftops, whose format is not supported",
            hint=f"Nothing was changed. Move it away: mv {path} {path}.old. `ftops adopt JOB_ID`"
            " then adds a job that runs at its provider to a new ledger.",
        )
    raise LedgerError(
        f"{path} is an SQLite file, but not a ledger of ftops",
        hint="Move it out of the way, or point FTOPS_HOME at another folder.",
    )


class LedgerFile:
    """One connection that the threads of this process share under a lock."""

    _unflushed = UNFLUSHED

    def __init__(self, path: Path, clock: Clock, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self.path = path
        self._clock = clock
        self._busy_timeout_s = busy_timeout_s
        self._lock = threading.RLock()
        make_private_dir(path.parent)
        try:
            make_private_database(path)
        except OSError as error:
            raise storage_error(error, path) from error
        with self._errors_explained():
            self._connection = sqlite3.connect(
                path,
                timeout=busy_timeout_s,
                isolation_level=None,  # this class begins and ends transactions
                check_same_thread=False,  # self._lock serializes the threads
            )
        try:
            with self._errors_explained():
                self._connection.execute("PRAGMA synchronous = FULL")
                self._connection.execute("PRAGMA fullfsync = ON")
                self._connection.execute("PRAGMA checkpoint_fullfsync = ON")
                self._connection.execute("PRAGMA foreign_keys = ON")
                if self._open_file() < VERSION:
                    with self._changing("migrate") as connection:
                        # Other processes wait, then find the tables.
                        _create_tables(connection, read_version(connection, path))
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the file; the ledger cannot be used afterwards."""
        with self._lock, self._errors_explained():
            self._connection.close()

    def list_damages(self) -> list[str]:
        """The errors that SQLite's integrity check reports; reads every page."""
        with self._reading() as connection:
            messages = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
            messages += [
                f"a row of {row[0]} names a row of {row[2]} that is not there"
                for row in connection.execute("PRAGMA foreign_key_check")
            ]
        return [text for text in messages if text != "ok"]

    def copy_content(self) -> bytes:
        """A consistent snapshot of the file, including what is still in the log."""
        with self._reading() as connection, contextlib.closing(sqlite3.connect(":memory:")) as copy:
            connection.backup(copy)
            return copy.serialize()

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, for one read-only statement."""
        with self._lock, self._errors_explained():
            yield self._connection

    @contextlib.contextmanager
    def _changing(self, change: Change) -> Iterator[sqlite3.Connection]:
        """The connection inside a transaction, which rolls back if the block raises."""
        level = "NORMAL" if change in self._unflushed else "FULL"
        with self._lock, self._errors_explained():
            self._connection.execute(f"PRAGMA synchronous = {level}")
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                crashpoints.reach(f"ledger.{change}.before_commit")
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        crashpoints.reach(f"ledger.{change}.after_commit")

    def _now(self) -> str:
        return self._clock.now().isoformat(timespec="microseconds")

    def _open_file(self) -> int:
        """Check the file's owner and turn on its log; returns the version of its tables."""
        # SQLite ignores its busy timeout here when two processes create the file at the same time.
        deadline_s = self._clock.monotonic_s() + self._busy_timeout_s
        while True:
            try:
                version = read_version(self._connection, self.path)
                self._connection.execute("PRAGMA journal_mode = WAL")
                return version
            except sqlite3.OperationalError as error:
                late = self._clock.monotonic_s() >= deadline_s
                if _primary_code(error) not in _LOCKED or late:
                    raise
            self._clock.sleep(_RETRY_S)

    @contextlib.contextmanager
    def _errors_explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._explain(error) from error
        except UnicodeDecodeError as error:  # SQLite's message quotes bytes of the damaged file
            raise self._damaged(error) from error

    def _explain(self, error: sqlite3.Error) -> LedgerError | StorageError:
        code = _primary_code(error)
        if code == sqlite3.SQLITE_FULL:
            return StorageError(f"{self.path}: cannot write: the disk is full")
        if code in _READ_ONLY:
            return StorageError(f"{self.path}: cannot write: permission is denied ({error})")
        if code == sqlite3.SQLITE_IOERR:
            return StorageError(
                f"{self.path}: the disk failed or is full ({error})",
                hint="Look at the free space and the health of the disk, then try again.",
            )
        if code in _LOCKED:
            return LedgerError(
                f"{self.path}: another process has held the ledger for {self._busy_timeout_s:g} s",
                hint="End the other process, or wait for it, then give the same command again.",
            )
        if code in _DAMAGED:
            return self._damaged(error)
        return LedgerError(f"{self.path}: {error}")

    def _damaged(self, error: Exception) -> LedgerError:
        return LedgerError(
            f"{self.path}: the ledger is damaged ({error})",
            hint="`ftops restore FILE` puts a backup in its place and keeps this file; without a"
            f" backup, move it away: mv {self.path} {self.path}.bad",
        )


def _primary_code(error: sqlite3.Error) -> int | None:
    # Extended codes carry the primary code in their low byte. An error that the Python module
    # raises (for example, for a closed connection) has no code.
    code = getattr(error, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else None
