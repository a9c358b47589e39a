"""The table of job events: each thing that happens to a job once, by its key."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ftops.engine.ids import new_id
from ftops.engine.store.database import Database, Value
from ftops.engine.store.json_text import read_json, render_json
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


# In the order of EventRow's fields: by place is cheaper than by name, and lists are long.
_COLUMNS = "seq, key, id, created_at, level, message, type, data_json"


class EventTable:
    """Questions and changes about events."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, job_id: str, *events: NewEvent, at: int) -> int:
        """Keep what is new; how many of the events were."""
        return self._database.change_all(
            "INSERT OR IGNORE INTO events"
            " (id, job_id, key, created_at, level, message, type, data_json)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    new_id("ftevent"),
                    job_id,
                    event.key,
                    at,
                    event.level,
                    event.message,
                    event.type,
                    render_json(event.data),
                )
                for event in events
            ],
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
                f"SELECT {_COLUMNS} FROM events WHERE {where} ORDER BY seq DESC LIMIT ?", bound
            )
        ]

    def since(self, job_id: str, seq: int = 0) -> Sequence[EventRow]:
        """All events after the one with that number, oldest first."""
        return [
            _event(row)
            for row in self._database.rows(
                f"SELECT {_COLUMNS} FROM events WHERE job_id = ? AND seq > ? ORDER BY seq",
                (job_id, seq),
            )
        ]


def _event(row: sqlite3.Row) -> EventRow:
    values = list(row)
    values[-1] = read_json(values[-1])
    return EventRow(*values)
