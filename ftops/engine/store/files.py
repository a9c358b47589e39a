"""The tables of files and of uploads in parts.

The content of a file is in `files/`, named by its id. The parts of a pending upload are in
`uploads/<upload>/`: each in a separate file, or at its offset in a common file.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields, replace
from enum import StrEnum

from ftops.engine.ids import LOCAL_OWNER
from ftops.engine.store.database import Table, Value


@dataclass(frozen=True, slots=True)
class FileRow:
    """An uploaded file, or the results of a job."""

    id: str
    filename: str
    purpose: str
    bytes: int
    created_at: int
    expires_at: int | None = None
    status: str = "processed"
    status_details: str | None = None
    owner: str = LOCAL_OWNER


# Rows are read by position: that is faster than by name, and lists are long.
_FILE_COLUMNS = ", ".join(field.name for field in fields(FileRow))


class FileTable(Table):
    """The files."""

    def add(self, row: FileRow) -> None:
        row = replace(row, owner=self._owner or row.owner)
        marks = ", ".join("?" * len(fields(FileRow)))
        self._database.change(f"INSERT INTO files ({_FILE_COLUMNS}) VALUES ({marks})", astuple(row))

    def find(self, file_id: str) -> FileRow | None:
        rows = self._select("id = ?", file_id)
        return rows[0] if rows else None

    def delete(self, file_id: str) -> bool:
        """Delete the row; False when there is none."""
        sql = f"DELETE FROM files WHERE id = ?{self._scope}"
        return self._database.change(sql, (file_id, *self._scope_values)) == 1

    def set_status(self, file_id: str, status: str, details: str | None) -> None:
        """Record the result of the file's validation."""
        self._database.change(
            f"UPDATE files SET status = ?, status_details = ? WHERE id = ?{self._scope}",
            (status, details, file_id, *self._scope_values),
        )

    def list_in_status(self, status: str) -> Sequence[FileRow]:
        """The files with that status, oldest first."""
        return self._select("status = ?", status, then=" ORDER BY seq")

    def delete_expired(self, now: int) -> Sequence[str]:
        """Delete the files that have expired; returns their ids."""
        expired = self._select("expires_at <= ?", now)
        return [row.id for row in expired if self.delete(row.id)]

    def measure(self) -> tuple[int, int]:
        """The number of files, and the sum of their bytes."""
        sql = f"SELECT count(*), coalesce(sum(bytes), 0) FROM files WHERE true{self._scope}"
        return tuple(self._database.rows(sql, self._scope_values)[0])

    def list_ids(self) -> frozenset[str]:
        rows = self._database.rows(
            f"SELECT id FROM files WHERE true{self._scope}", self._scope_values
        )
        return frozenset(row["id"] for row in rows)

    def list_page(
        self, *, after: str | None, limit: int, newest_first: bool, purpose: str | None
    ) -> Sequence[FileRow]:
        """Up to `limit` files (-1: all) that follow the file `after`."""
        sign, order = ("<", "DESC") if newest_first else (">", "ASC")
        conditions: list[str] = ["true"]
        values: list[Value] = []
        if after is not None:
            conditions.append(f"seq {sign} (SELECT seq FROM files WHERE id = ?)")
            values.append(after)
        if purpose is not None:
            conditions.append("purpose = ?")
            values.append(purpose)
        then = f" ORDER BY seq {order} LIMIT {limit:d}"
        return self._select(" AND ".join(conditions), *values, then=then)

    def _select(self, where: str, *values: Value, then: str = "") -> Sequence[FileRow]:
        sql = f"SELECT {_FILE_COLUMNS} FROM files WHERE {where}{self._scope}{then}"
        return [_file(row) for row in self._database.rows(sql, (*values, *self._scope_values))]


def _file(row: sqlite3.Row) -> FileRow:
    return FileRow(*row)


class UploadStatus(StrEnum):
    """The status of an upload; only a pending one changes."""

    PENDING = "pending"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class UploadRow:
    """A file that is uploaded in parts; `bytes` is its announced size."""

    id: str
    filename: str
    purpose: str
    mime_type: str
    bytes: int
    created_at: int
    expires_at: int
    expires_after_s: int | None = None
    status: UploadStatus = UploadStatus.PENDING
    file_id: str | None = None
    owner: str = LOCAL_OWNER


@dataclass(frozen=True, slots=True)
class PartRow:
    """One part of an upload."""

    id: str
    upload_id: str
    bytes: int
    created_at: int
    start: int | None = None  # of its first byte in the assembled file; None: in a separate file


_UPLOAD_COLUMNS = ", ".join(field.name for field in fields(UploadRow))
_PART_COLUMNS = ", ".join(field.name for field in fields(PartRow))


class UploadTable(Table):
    """The uploads and their parts."""

    def add(self, row: UploadRow) -> None:
        row = replace(row, owner=self._owner or row.owner)
        marks = ", ".join("?" * len(fields(UploadRow)))
        self._database.change(
            f"INSERT INTO uploads ({_UPLOAD_COLUMNS}) VALUES ({marks})", astuple(row)
        )

    def find(self, upload_id: str) -> UploadRow | None:
        row = self._database.find_row(
            f"SELECT {_UPLOAD_COLUMNS} FROM uploads WHERE id = ?{self._scope}",
            (upload_id, *self._scope_values),
        )
        if row is None:
            return None
        return UploadRow(**{**dict(row), "status": UploadStatus(row["status"])})

    def finish(self, upload_id: str, status: UploadStatus, file_id: str | None = None) -> bool:
        """Set the final status of a pending upload; False when it has one already."""
        changed = self._database.change(
            "UPDATE uploads SET status = ?, file_id = ?"
            f" WHERE id = ? AND status = 'pending'{self._scope}",
            (status, file_id, upload_id, *self._scope_values),
        )
        return changed == 1

    def list_pending_ids(self) -> frozenset[str]:
        sql = f"SELECT id FROM uploads WHERE status = 'pending'{self._scope}"
        return frozenset(row["id"] for row in self._database.rows(sql, self._scope_values))

    def measure_pending(self) -> tuple[int, int]:
        """The number of pending uploads and their bytes: as announced, or received if more."""
        received = "(SELECT coalesce(sum(bytes), 0) FROM upload_parts WHERE upload_id = uploads.id)"
        sql = f"SELECT count(*), coalesce(sum(max(bytes, {received})), 0) FROM uploads"
        sql += f" WHERE status = 'pending'{self._scope}"
        return tuple(self._database.rows(sql, self._scope_values)[0])

    def expire(self, now: int) -> Sequence[str]:
        """Finish the pending uploads that have expired; returns their ids."""
        rows = self._database.rows(
            f"SELECT id FROM uploads WHERE status = 'pending' AND expires_at <= ?{self._scope}",
            (now, *self._scope_values),
        )
        return [row["id"] for row in rows if self.finish(row["id"], UploadStatus.EXPIRED)]

    def add_part(self, row: PartRow) -> bool:
        """Add the part; False when its upload is not pending."""
        with self._database.transaction():
            upload = self.find(row.upload_id)
            if upload is None or upload.status is not UploadStatus.PENDING:
                return False
            self._database.change(
                f"INSERT INTO upload_parts ({_PART_COLUMNS}) VALUES (?, ?, ?, ?, ?)", astuple(row)
            )
        return True

    def list_parts(self, upload_id: str) -> Sequence[PartRow]:
        """All parts of an upload, in the order of their arrival."""
        if self.find(upload_id) is None:
            return ()
        rows = self._database.rows(
            f"SELECT {_PART_COLUMNS} FROM upload_parts WHERE upload_id = ? ORDER BY seq",
            (upload_id,),
        )
        return [PartRow(*row) for row in rows]
