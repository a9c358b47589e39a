"""The table of job events: each thing that happens to a job once, by its key."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ftops.engine.ids import new_id
from ftops.engine.store.database import Database, Value
from ftops.records import Json


@dataclass(frozen=True, slots=True)
class NewEvent:
    """What happened. A second event of the same job and key is dropped."""

    key: str
    message: str
    level: str = "info"
    type: str = "message"
    data: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EventRow:
    """One line of a job's history; `seq` orders the events of all jobs."""

    seq: int
    key: str
    id: str
    created_at: int
    level: str
    message: str
    type: str
    data: Mapping[str, Json]


class EventTable:
    """Questions and changes about events."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, job_id: str, event: NewEvent, *, at: int) -> None:
        self._database.change(
            "INSERT OR IGNORE INTO events"
            " (id, job_id, key, created_at, level, message, type, data_json)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                new_id("ftevent"),
                job_id,
                event.key,
                at,
                event.level,
                event.message,
                event.type,
                json.dumps(dict(event.data)),
            ),
        )

    def has(self, job_id: str, event_id: str) -> bool:
        return bool(
            self._database.rows(
                "SELECT 1 FROM events WHERE job_id = ? AND id = ?", (job_id, event_id)
            )
        )

    def page(self, job_id: str, *, after: str | None, limit: int) -> Sequence[EventRow]:
        """Up to `limit` events older than the event `after`, newest first."""
        where, values = "job_id = ?", [job_id]
        if after is not None:
            where += " AND seq < (SELECT seq FROM events WHERE id = ?)"
            values.append(after)
        bound: tuple[Value, ...] = (*values, limit)
        return [
            _event(row)
            for row in self._database.rows(
                f"SELECT * FROM events WHERE {where} ORDER BY seq DESC LIMIT ?", bound
            )
        ]

    def since(self, job_id: str, seq: int = 0) -> Sequence[EventRow]:
        """All events after the one with that number, oldest first."""
        return [
            _event(row)
            for row in self._database.rows(
                "SELECT * FROM events WHERE job_id = ? AND seq > ? ORDER BY seq", (job_id, seq)
            )
        ]

    def last_at(self, job_id: str) -> int | None:
        """When something last happened to the job."""
        sql = "SELECT created_at FROM events WHERE job_id = ? ORDER BY seq DESC LIMIT 1"
        row = self._database.find_row(sql, (job_id,))
        return row["created_at"] if row else None


def _event(row: sqlite3.Row) -> EventRow:
    return EventRow(
        row["seq"],
        row["key"],
        row["id"],
        row["created_at"],
        row["level"],
        row["message"],
        row["type"],
        json.loads(row["data_json"]),
    )
