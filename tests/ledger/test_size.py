"""Query plans for a large ledger: no query but the list of runs reads a whole table.

Creating 10,000 runs and 1,000,000 events would take too long in a test."""

import sqlite3
from pathlib import Path

import pytest

from ftops.ledger.ledger import Ledger
from ftops.ledger.records import EVENT_COLUMNS, RUN_COLUMNS
from tests.fakes import FakeClock

QUERIES = (
    f"SELECT {RUN_COLUMNS} FROM runs ORDER BY created_at DESC, rowid DESC LIMIT 20",
    f"SELECT {RUN_COLUMNS} FROM runs WHERE key = '' ORDER BY created_at DESC, rowid DESC LIMIT 1",
    f"SELECT {RUN_COLUMNS} FROM runs WHERE name = '' ORDER BY created_at DESC, rowid DESC LIMIT 1",
    f"SELECT {RUN_COLUMNS} FROM runs WHERE job_id = '' LIMIT 1",
    f"SELECT {RUN_COLUMNS} FROM runs WHERE fine_tuned_model = '' LIMIT 1",
    f"SELECT id, {EVENT_COLUMNS} FROM events WHERE run_id = '' AND id > 1"
    " AND job_id IS NOT NULL ORDER BY id",
    f"SELECT id, {EVENT_COLUMNS} FROM events WHERE run_id = '' AND id > 1"
    " AND job_id IS NOT NULL AND shown = 0 ORDER BY id",
    f"SELECT {RUN_COLUMNS} FROM runs WHERE id >= 'run-' AND id < 'run-z' ORDER BY id DESC LIMIT 4",
    "SELECT event_id FROM events WHERE run_id = '' AND job_id = ''",
    "SELECT coalesce(max(id), 0) FROM events WHERE run_id = ''",
    "SELECT 1 FROM calls WHERE remote_id = '' AND name = 'create_job'",
    "SELECT file_id FROM uploads WHERE account = '' AND sha256 = '' AND forgotten_at IS NULL",
    "UPDATE uploads SET forgotten_at = '' WHERE file_id = '' AND forgotten_at IS NULL",
)
KINDS = ("INDEX", "COVERING INDEX", "INTEGER PRIMARY KEY", "PRIMARY KEY")


@pytest.mark.parametrize("query", QUERIES)
def test_no_query_reads_a_whole_table_or_sorts_one(query: str, tmp_path: Path) -> None:
    Ledger(tmp_path / "ledger.db", FakeClock()).close()
    connection = sqlite3.connect(tmp_path / "ledger.db")
    steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}")]
    connection.close()
    assert all(any(f"USING {kind}" in step for kind in KINDS) for step in steps), steps
    assert not any("TEMP B-TREE" in step for step in steps), steps
