"""From any older ledger to the newest: a list of steps, one a version.

Step n brings a file from version n to n + 1. Steps are never edited once released; a change of
`schema.sql` comes with a new step at the end. A fresh file is made from `schema.sql` at once.
"""

import sqlite3
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from ftops.errors import LedgerError, LedgerTooNew

SCHEMA = Path(__file__).with_name("schema.sql")
Step = Callable[[sqlite3.Connection], None]


def _first(connection: sqlite3.Connection) -> None:
    """Runs, stages, events, calls, uploads and models."""
    run_statements(connection, _VERSION_1)


def _add_wants_own_job(connection: sqlite3.Connection) -> None:
    """Runs that were opened with --new say so."""
    connection.execute("ALTER TABLE runs ADD COLUMN wants_own_job INTEGER NOT NULL DEFAULT 0")


def _parted_uploads(connection: sqlite3.Connection) -> None:
    """Uploads in parts that can be gone on with."""
    run_statements(connection, _VERSION_3)


def _add_pruned_at(connection: sqlite3.Connection) -> None:
    """Runs whose files were removed say when."""
    connection.execute("ALTER TABLE runs ADD COLUMN pruned_at TEXT")


def _add_job_status(connection: sqlite3.Connection) -> None:
    """Runs know how their job was seen to end.

    Earlier versions ended a run as failed after any refusal while polling. A job was seen to end
    only where the run's error begins with the words that name it and its status.
    """
    connection.execute("ALTER TABLE runs ADD COLUMN job_status TEXT")
    connection.execute(
        "UPDATE runs SET job_status = 'succeeded' WHERE job_id IS NOT NULL AND id IN"
        " (SELECT run_id FROM stages WHERE stage = 'follow' AND status = 'succeeded')"
    )
    connection.execute(
        "UPDATE runs SET job_status = status WHERE"
        " status = 'failed' AND instr(error, job_id || ' failed: ') = 1"
        " OR status = 'cancelled' AND error = job_id || ' was cancelled'"
    )


def find_version(connection: sqlite3.Connection) -> int | None:
    """The version of the ledger in this file; 0 for an empty file, None for somebody else's."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if not tables:
        return 0
    if "migrations" not in tables:
        return None
    (version,) = connection.execute("SELECT max(version) FROM migrations").fetchone()
    return version if isinstance(version, int) else None


def is_newest(connection: sqlite3.Connection) -> bool:
    """Whether there is nothing to migrate."""
    return find_version(connection) == len(MIGRATIONS)


def migrate(connection: sqlite3.Connection, path: Path, now: datetime) -> None:
    """Bring the file to the newest version, inside the transaction that the caller has opened.

    Raises LedgerTooNew for a file of a later ftops, LedgerError for a file that is no ledger.
    """
    version = find_version(connection)
    if version is None:
        raise LedgerError(
            f"{path} is an SQLite file, but not a ledger of ftops",
            hint="Move it out of the way, or point FTOPS_HOME at another folder.",
        )
    if version > len(MIGRATIONS):
        raise LedgerTooNew(
            f"{path} has version {version}; this ftops knows versions up to {len(MIGRATIONS)}"
        )
    if version == 0:
        run_statements(connection, SCHEMA.read_text(encoding="utf-8"))
    else:
        for step in MIGRATIONS[version:]:
            step(connection)
    connection.executemany(
        "INSERT INTO migrations (version, applied_at) VALUES (?, ?)",
        [(number, now.isoformat()) for number in range(version + 1, len(MIGRATIONS) + 1)],
    )


def run_statements(connection: sqlite3.Connection, script: str) -> None:
    """Execute the statements of a script inside the open transaction.

    `executescript` would commit that transaction first.
    """
    for statement in _split(script):
        connection.execute(statement)


def _split(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


_VERSION_1 = """
CREATE TABLE migrations (
    version INTEGER PRIMARY KEY,
    applied_at TEXT NOT NULL
);
CREATE TABLE runs (
    id TEXT PRIMARY KEY,
    key TEXT NOT NULL,
    name TEXT NOT NULL,
    status TEXT NOT NULL
        CHECK (status IN ('pending', 'running', 'succeeded', 'failed', 'cancelled')),
    provider_json TEXT NOT NULL,
    model TEXT NOT NULL,
    spec_json TEXT NOT NULL,
    job_file TEXT NOT NULL,
    overrides_json TEXT NOT NULL DEFAULT '[]',
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    finished_at TEXT,
    job_id TEXT,
    fine_tuned_model TEXT,
    error TEXT,
    cancel_asked_at TEXT
);
CREATE INDEX runs_by_key ON runs (key, created_at);
CREATE INDEX runs_by_time ON runs (created_at);
CREATE INDEX runs_by_name ON runs (name, created_at);
CREATE INDEX runs_by_job ON runs (job_id) WHERE job_id IS NOT NULL;
CREATE INDEX runs_by_model ON runs (fine_tuned_model) WHERE fine_tuned_model IS NOT NULL;
CREATE TABLE stages (
    run_id TEXT NOT NULL REFERENCES runs (id),
    stage TEXT NOT NULL
        CHECK (stage IN ('prepare', 'upload', 'create', 'follow', 'results', 'evaluate')),
    status TEXT NOT NULL
        CHECK (status IN ('pending', 'running', 'succeeded', 'failed', 'skipped')),
    attempts INTEGER NOT NULL DEFAULT 0,
    started_at TEXT,
    finished_at TEXT,
    detail_json TEXT NOT NULL DEFAULT '{}',
    error TEXT,
    PRIMARY KEY (run_id, stage)
) WITHOUT ROWID;
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL REFERENCES runs (id),
    job_id TEXT,
    event_id TEXT,
    at TEXT NOT NULL,
    level TEXT NOT NULL,
    type TEXT NOT NULL,
    message TEXT NOT NULL,
    data_json TEXT NOT NULL DEFAULT '{}',
    shown INTEGER NOT NULL DEFAULT 0 CHECK (shown IN (0, 1))
);
CREATE INDEX events_by_run ON events (run_id, id);
CREATE UNIQUE INDEX events_once ON events (run_id, job_id, event_id) WHERE job_id IS NOT NULL;
CREATE INDEX events_unshown ON events (run_id, id) WHERE shown = 0;
CREATE TABLE calls (
    id INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL REFERENCES runs (id),
    stage TEXT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('intent', 'done', 'failed')),
    request_json TEXT NOT NULL,
    remote_id TEXT,
    error TEXT,
    began_at TEXT NOT NULL,
    ended_at TEXT,
    CHECK ((state = 'intent') = (ended_at IS NULL)),
    CHECK (state <> 'done' OR remote_id IS NOT NULL)
);
CREATE INDEX calls_by_run ON calls (run_id, id);
CREATE INDEX calls_by_remote ON calls (remote_id) WHERE remote_id IS NOT NULL;
CREATE TABLE uploads (
    account TEXT NOT NULL,
    file_id TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    filename TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    run_id TEXT NOT NULL REFERENCES runs (id),
    created_at TEXT NOT NULL,
    forgotten_at TEXT,
    PRIMARY KEY (account, sha256, file_id)
) WITHOUT ROWID;
CREATE INDEX uploads_by_file ON uploads (file_id);
CREATE TABLE models (
    name TEXT PRIMARY KEY,
    run_id TEXT NOT NULL REFERENCES runs (id),
    job_id TEXT NOT NULL,
    base TEXT NOT NULL,
    provider_json TEXT NOT NULL,
    created_at TEXT NOT NULL,
    row_format TEXT NOT NULL,
    separator TEXT NOT NULL,
    stop TEXT,
    deleted_at TEXT
) WITHOUT ROWID;
CREATE INDEX models_by_time ON models (created_at);
"""

_VERSION_3 = """
CREATE TABLE parted_uploads (
    call_id INTEGER PRIMARY KEY REFERENCES calls (id),
    upload_id TEXT NOT NULL,
    part_bytes INTEGER NOT NULL,
    expires_at TEXT NOT NULL,
    completing INTEGER NOT NULL DEFAULT 0 CHECK (completing IN (0, 1))
);
CREATE TABLE parts (
    call_id INTEGER NOT NULL REFERENCES parted_uploads (call_id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    part_id TEXT NOT NULL,
    PRIMARY KEY (call_id, number)
) WITHOUT ROWID;
"""

MIGRATIONS: list[Step] = [
    _first,
    _add_wants_own_job,
    _parted_uploads,
    _add_pruned_at,
    _add_job_status,
]
