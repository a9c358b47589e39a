"""Events: what the provider's jobs told us, each once, and our own moves between states."""

import sqlite3
from collections.abc import Iterable, Mapping

from ftops.ledger.rows import (
    EVENT_COLUMNS,
    Move,
    StoredEvent,
    to_event,
    to_json,
    to_move,
    to_storable,
    to_text,
)
from ftops.ledger.store import Store
from ftops.records import JobEvent, Json, RunId


class Events(Store):
    """What the ledger knows of events."""

    def add_events(self, run_id: RunId, job_id: str, events: Iterable[JobEvent]) -> None:
        """Store the events, in their order; one that is there already is left as it is."""
        with self._changing("add_events") as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO events"
                " (run_id, job_id, event_id, at, level, type, message, data_json)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        run_id,
                        job_id,
                        event.id,
                        to_text(event.created_at),
                        event.level,
                        event.type,
                        to_storable(event.message),
                        to_json(event.data),
                    )
                    for event in events
                ],
            )

    def list_events(self, run_id: RunId, *, unshown: bool = False) -> list[JobEvent]:
        """The job events of the run, in the order in which they became known."""
        return [stored.event for stored in self.list_stored_events(run_id, unshown=unshown)]

    def list_stored_events(
        self, run_id: RunId, *, unshown: bool = False, after: int = 0
    ) -> list[StoredEvent]:
        """Like `list_events`, with the events' numbers; only those above the number `after`."""
        only_unshown = " AND shown = 0" if unshown else ""
        with self._reading() as connection:
            rows = connection.execute(
                f"SELECT id, {EVENT_COLUMNS} FROM events"
                f" WHERE run_id = ? AND id > ? AND job_id IS NOT NULL{only_unshown} ORDER BY id",
                (run_id, after),
            ).fetchall()
        return [StoredEvent(number=row[0], event=to_event(row[1:])) for row in rows]

    def find_last_number(self, run_id: RunId) -> int:
        """The number of the newest event of the run; 0 when there is none."""
        with self._reading() as connection:
            (number,) = connection.execute(
                "SELECT coalesce(max(id), 0) FROM events WHERE run_id = ?", (run_id,)
            ).fetchone()
        return int(number)

    def list_event_ids(self, run_id: RunId, job_id: str) -> frozenset[str]:
        """The provider's ids of the events of that job which are stored."""
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT event_id FROM events WHERE run_id = ? AND job_id = ?", (run_id, job_id)
            )
            return frozenset(event_id for (event_id,) in rows)

    def mark_shown(self, numbers: Iterable[int]) -> None:
        """Remember that these stored events have been shown to somebody."""
        with self._changing("mark_shown") as connection:
            connection.executemany(
                "UPDATE events SET shown = 1 WHERE id = ?", [(number,) for number in numbers]
            )

    def list_moves(self, run_id: RunId) -> list[Move]:
        """Every change of state of the run and of its stages, oldest first."""
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT at, data_json FROM events WHERE run_id = ? AND job_id IS NULL ORDER BY id",
                (run_id,),
            )
            return [to_move(row) for row in rows]


def record_move(
    connection: sqlite3.Connection, run_id: RunId, now: str, data: Mapping[str, Json]
) -> None:
    """Write down a move from `before` to `after` (of `stage`, or of the run), as it happens."""
    what = data.get("stage") or "run"
    connection.execute(
        "INSERT INTO events (run_id, at, level, type, message, data_json, shown)"
        " VALUES (?, ?, 'info', 'move', ?, ?, 1)",
        (run_id, now, f"{what}: {data['before']} -> {data['after']}", to_json(data)),
    )
