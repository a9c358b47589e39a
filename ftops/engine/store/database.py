"""The engine's SQLite file: opened, brought up to date, and shared between threads and processes.

Every change is one transaction that takes the write lock at its start, so that reading before
writing inside it is safe. A transaction opened inside another joins it.
"""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from ftops import crashpoints
from ftops.errors import EngineError, StorageError
from ftops.files import make_private_database, make_private_dir, storage_error

SCHEMA_VERSION = 6
SCHEMA = Path(__file__).with_name("schema.sql")

Value: TypeAlias = int | float | str | None
_BUSY_S = 30.0
# What tables got after their first version: table, column, declaration (the same in schema.sql).
_LATER_COLUMNS = (
    ("files", "expires_at", "INTEGER"),
    ("files", "status", "TEXT NOT NULL DEFAULT 'processed'"),
    ("files", "status_details", "TEXT"),
    ("jobs", "method", "TEXT NOT NULL DEFAULT 'supervised'"),
    ("models", "step", "INTEGER"),
    ("models", "metrics_json", "TEXT NOT NULL DEFAULT '{}'"),
    ("files", "owner", "TEXT NOT NULL DEFAULT 'local'"),
    ("uploads", "owner", "TEXT NOT NULL DEFAULT 'local'"),
    ("jobs", "owner", "TEXT NOT NULL DEFAULT 'local'"),
    ("models", "owner", "TEXT NOT NULL DEFAULT 'local'"),
    ("upload_parts", "place", "INTEGER"),
    ("jobs", "updated_at", "INTEGER NOT NULL DEFAULT 0"),
    ("jobs", "idempotency_key", "TEXT"),
    ("jobs", "request_sha256", "TEXT"),
    ("jobs", "turn", "INTEGER"),
)
_DISK_WORDS = ("full", "readonly", "read-only", "unable to open", "disk i/o")


class Database:
    """One connection, guarded by a lock; `path` is made when it does not exist."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._depth = 0
        make_private_dir(path.parent)
        try:
            make_private_database(path)
        except OSError as error:
            raise storage_error(error, path) from error
        with self._translated():
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
        self._connection.execute("PRAGMA journal_mode = WAL")
        # What the engine has told a client, or a checkpoint relies on, survives a power cut.
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise EngineError(
                f"{self.path} was written by a later ftops (schema {version}, known here: "
                f"{SCHEMA_VERSION})",
                hint="Upgrade ftops, or point FTOPS_HOME at another folder.",
            )
        if version < SCHEMA_VERSION:
            self._upgrade()

    def _upgrade(self) -> None:
        """Bring an empty or older file to the present schema, all at once."""
        self._connection.execute("BEGIN IMMEDIATE")
        # Columns before the script: its indices need them. It makes the tables that are missing.
        for table, column, declaration in _LATER_COLUMNS:
            rows = self._connection.execute(f"PRAGMA table_info({table})").fetchall()
            known = {row["name"] for row in rows}
            if known and column not in known:
                self._connection.execute(f"ALTER TABLE {table} ADD COLUMN {column} {declaration}")
        for statement in _statements(SCHEMA.read_text(encoding="utf-8")):
            self._connection.execute(statement)
        self._fill_later_columns()
        self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        self._connection.execute("COMMIT")

    def _fill_later_columns(self) -> None:
        self._connection.execute(
            "UPDATE jobs SET updated_at = coalesce((SELECT created_at FROM events"
            " WHERE job_id = jobs.id ORDER BY seq DESC LIMIT 1), created_at) WHERE updated_at = 0"
        )

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All changes inside happen together or not at all."""
        with self._lock, self._translated():
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
        """The answer to a question."""
        with self._lock, self._translated():
            return self._connection.execute(sql, values).fetchall()

    def find_row(self, sql: str, values: Sequence[Value] = ()) -> sqlite3.Row | None:
        rows = self.rows(sql, values)
        return rows[0] if rows else None

    def change(self, sql: str, values: Sequence[Value] = ()) -> int:
        """Carry out one change; how many rows it touched."""
        with self.transaction():
            return self._connection.execute(sql, values).rowcount

    def change_all(self, sql: str, rows: Sequence[Sequence[Value]]) -> int:
        """Carry out one change with each of the rows, all or none; how many rows it touched."""
        with self.transaction():
            return self._connection.executemany(sql, rows).rowcount

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            text = str(error)
            if any(word in text.lower() for word in _DISK_WORDS):
                raise StorageError(f"{self.path}: {text}") from error
            raise EngineError(f"{self.path}: {text}") from error
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.IntegrityError):
                raise
            raise EngineError(
                f"{self.path} cannot be read: {error}",
                hint="Move the file away; the engine then starts with an empty one.",
            ) from error


def _statements(script: str) -> Iterator[str]:
    """The script's statements one by one: `executescript` would commit what came before it."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
