"""The table of uploaded files and results; their contents stand in `files/`, named by id."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from ftops.engine.store.database import Database, Value


@dataclass(frozen=True, slots=True)
class FileRow:
    """One file that clients may see."""

    id: str
    filename: str
    purpose: str
    bytes: int
    created_at: int


class FileTable:
    """Questions and changes about files."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, row: FileRow) -> None:
        self._database.change(
            "INSERT INTO files (id, filename, purpose, bytes, created_at) VALUES (?, ?, ?, ?, ?)",
            (row.id, row.filename, row.purpose, row.bytes, row.created_at),
        )

    def find(self, file_id: str) -> FileRow | None:
        row = self._database.find_row("SELECT * FROM files WHERE id = ?", (file_id,))
        return _file(row) if row else None

    def remove(self, file_id: str) -> bool:
        """Forget the file; whether it was known."""
        return self._database.change("DELETE FROM files WHERE id = ?", (file_id,)) == 1

    def ids(self) -> frozenset[str]:
        return frozenset(row["id"] for row in self._database.rows("SELECT id FROM files"))

    def page(
        self, *, after: str | None, limit: int, newest_first: bool, purpose: str | None
    ) -> Sequence[FileRow]:
        """Up to `limit` files beyond the file `after`."""
        sign, order = ("<", "DESC") if newest_first else (">", "ASC")
        wanted: list[str] = []
        values: list[Value] = []
        if after is not None:
            wanted.append(f"seq {sign} (SELECT seq FROM files WHERE id = ?)")
            values.append(after)
        if purpose is not None:
            wanted.append("purpose = ?")
            values.append(purpose)
        where = f"WHERE {' AND '.join(wanted)}" if wanted else ""
        return [
            _file(row)
            for row in self._database.rows(
                f"SELECT * FROM files {where} ORDER BY seq {order} LIMIT ?", (*values, limit)
            )
        ]


def _file(row: sqlite3.Row) -> FileRow:
    return FileRow(row["id"], row["filename"], row["purpose"], row["bytes"], row["created_at"])
