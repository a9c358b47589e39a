"""The table of uploaded files and results; their contents stand in `files/`, named by id."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, fields

from ftops.engine.ids import LOCAL_OWNER
from ftops.engine.store.database import Database, Value


@dataclass(frozen=True, slots=True)
class FileRow:
    """One file that clients may see."""

    id: str
    filename: str
    purpose: str
    bytes: int
    created_at: int
    expires_at: int | None = None
    status: str = "processed"
    status_details: str | None = None
    owner: str = LOCAL_OWNER


_COLUMNS = ", ".join(field.name for field in fields(FileRow))


class FileTable:
    """Questions and changes about files."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, row: FileRow) -> None:
        self._database.change(
            "INSERT INTO files"
            " (id, filename, purpose, bytes, created_at, expires_at, status, status_details, owner)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                row.id,
                row.filename,
                row.purpose,
                row.bytes,
                row.created_at,
                row.expires_at,
                row.status,
                row.status_details,
                row.owner,
            ),
        )

    def find(self, file_id: str) -> FileRow | None:
        row = self._database.find_row(f"SELECT {_COLUMNS} FROM files WHERE id = ?", (file_id,))
        return _file(row) if row else None

    def remove(self, file_id: str) -> bool:
        """Forget the file; whether it was known."""
        return self._database.change("DELETE FROM files WHERE id = ?", (file_id,)) == 1

    def set_status(self, file_id: str, status: str, details: str | None) -> None:
        """Keep what looking at the file has shown."""
        self._database.change(
            "UPDATE files SET status = ?, status_details = ? WHERE id = ?",
            (status, details, file_id),
        )

    def in_status(self, status: str) -> Sequence[FileRow]:
        """The files that stand so, oldest first."""
        sql = f"SELECT {_COLUMNS} FROM files WHERE status = ? ORDER BY seq"
        rows = self._database.rows(sql, (status,))
        return [_file(row) for row in rows]

    def take_expired(self, now: int) -> Sequence[str]:
        """Forget the files whose time is over; their ids."""
        rows = self._database.rows("SELECT id FROM files WHERE expires_at <= ?", (now,))
        return [row["id"] for row in rows if self.remove(row["id"])]

    def measure(self, owner: str) -> tuple[int, int]:
        """How many files one owner has, and their bytes."""
        sql = "SELECT count(*), coalesce(sum(bytes), 0) FROM files WHERE owner = ?"
        return tuple(self._database.rows(sql, (owner,))[0])

    def ids(self) -> frozenset[str]:
        return frozenset(row["id"] for row in self._database.rows("SELECT id FROM files"))

    def page(
        self,
        *,
        after: str | None,
        limit: int,
        newest_first: bool,
        purpose: str | None,
        owner: str | None = None,
    ) -> Sequence[FileRow]:
        """Up to `limit` files beyond the file `after`; `owner` None: everybody's."""
        sign, order = ("<", "DESC") if newest_first else (">", "ASC")
        wanted: list[str] = []
        values: list[Value] = []
        if after is not None:
            wanted.append(f"seq {sign} (SELECT seq FROM files WHERE id = ?)")
            values.append(after)
        if purpose is not None:
            wanted.append("purpose = ?")
            values.append(purpose)
        if owner is not None:
            wanted.append("owner = ?")
            values.append(owner)
        where = f"WHERE {' AND '.join(wanted)}" if wanted else ""
        return [
            _file(row)
            for row in self._database.rows(
                f"SELECT {_COLUMNS} FROM files {where} ORDER BY seq {order} LIMIT ?",
                (*values, limit),
            )
        ]


def _file(row: sqlite3.Row) -> FileRow:
    return FileRow(*row)  # by place: lists are long
