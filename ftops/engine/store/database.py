"""The engine's SQLite file: opened, created, and shared between threads and processes.

Every change is one transaction that takes the write lock at its start, so that reading before
writing inside it is safe. A transaction opened inside another joins it.
"""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import orjson

from ftops import crashpoints
from ftops.errors import EngineError, StorageError
from ftops.files import make_private_database, make_private_dir, storage_error
from ftops.records import Json

APPLICATION_ID = 0x66746F65  # "ftoe": marks a database of the engine
SCHEMA_VERSION = 1
SCHEMA = Path(__file__).with_name("schema.sql")

Value: TypeAlias = int | float | str | None
_BUSY_S = 30.0
_DISK_ERRORS = ("full", "readonly", "read-only", "unable to open", "disk i/o")


class Database:
    """One connection, guarded by a lock. Creates the file if it does not exist.

    Raises EngineError, and leaves the file unchanged, when it is not a database of this engine or
    has another schema version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._depth = 0
        make_private_dir(path.parent)
        try:
            make_private_database(path)
        except OSError as error:
            raise storage_error(error, path) from error
        with self._translate_errors():
            self._connection = sqlite3.connect(
                path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
            self._connection.row_factory = sqlite3.Row
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise

    def _prepare(self) -> None:
        is_empty = self._check_format()
        self._connection.execute("PRAGMA journal_mode = WAL")
        # A change that a client or a checkpoint relies on survives a power failure.
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        if is_empty:
            self._create_tables()

    def _check_format(self) -> bool:
        """Whether the file is empty; EngineError for any other that is not of this format."""
        if not self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            return True
        application = self._connection.execute("PRAGMA application_id").fetchone()[0]
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if application == APPLICATION_ID and version == SCHEMA_VERSION:
            return False
        if application == APPLICATION_ID and version > SCHEMA_VERSION:
            reason = f"a later ftops wrote it (schema {version}; this one reads {SCHEMA_VERSION})"
            hint = "Upgrade ftops, or set FTOPS_HOME to another folder."
        else:
            reason = "it is not a database of this version of the engine; it was not changed"
            hint = (
                "Move the file away to start with a new one, or set FTOPS_HOME to another folder."
            )
        raise EngineError(f"{self.path} cannot be used: {reason}", hint=hint)

    def _create_tables(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        if self._check_format():  # else another process was faster
            for statement in _split_statements(SCHEMA.read_text(encoding="utf-8")):
                self._connection.execute(statement)
            self._connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        self._connection.execute("COMMIT")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All changes inside happen together or not at all."""
        with self._lock, self._translate_errors():
            outermost = self._depth == 0
            if outermost:
                self._connection.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
                if outermost:
                    crashpoints.reach("store.before_commit")
                    self._connection.execute("COMMIT")
                    crashpoints.reach("store.after_commit")
            except BaseException:
                if outermost and self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            finally:
                self._depth -= 1

    def rows(self, sql: str, values: Sequence[Value] = ()) -> list[sqlite3.Row]:
        """All rows of a query."""
        with self._lock, self._translate_errors():
            return self._connection.execute(sql, values).fetchall()

    def find_row(self, sql: str, values: Sequence[Value] = ()) -> sqlite3.Row | None:
        """The first row of a query, if there is one."""
        rows = self.rows(sql, values)
        return rows[0] if rows else None

    def change(self, sql: str, values: Sequence[Value] = ()) -> int:
        """Execute one statement; returns the number of rows that it changed."""
        with self.transaction():
            return self._connection.execute(sql, values).rowcount

    def change_all(self, sql: str, rows: Sequence[Sequence[Value]]) -> int:
        """Execute one statement with each of the rows, all or none; returns as `change` does."""
        with self.transaction():
            return self._connection.executemany(sql, rows).rowcount

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    @contextlib.contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            text = str(error)
            if any(reason in text.lower() for reason in _DISK_ERRORS):
                raise StorageError(f"{self.path}: {text}") from error
            raise EngineError(f"{self.path}: {text}") from error
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.IntegrityError):
                raise
            raise EngineError(
                f"{self.path} cannot be read: {error}",
                hint="Move the file away to start with a new one.",
            ) from error


class Table:
    """One table, of all owners; with an `owner`, every statement is limited to the owner's rows.

    A statement of a subclass ends its conditions with `self._scope`, and its values with
    `self._scope_values`.
    """

    OWNED = "owner = ?"  # the condition that a row is the owner's

    def __init__(self, database: Database, owner: str | None = None) -> None:
        self._database = database
        self._owner = owner
        self._scope = "" if owner is None else f" AND {self.OWNED}"
        self._scope_values: tuple[str, ...] = () if owner is None else (owner,)


def render_json(values: Mapping[str, Json]) -> str:
    """The JSON text of an object; numbers that JSON does not have (NaN) become null."""
    return orjson.dumps(dict(values)).decode()


def _split_statements(script: str) -> Iterator[str]:
    """The script's statements one by one: `executescript` commits an open transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
