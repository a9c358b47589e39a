"""The tables of uploads in parts.

The parts stand in `uploads/<upload>/`, named by their ids, or at their places in one file there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from ftops.engine.ids import LOCAL_OWNER
from ftops.engine.store.database import Database


class UploadStatus(StrEnum):
    """How an upload stands; only a pending one changes."""

    PENDING = "pending"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class UploadRow:
    """A file that arrives in parts; `bytes` is its size as announced."""

    id: str
    filename: str
    purpose: str
    mime_type: str
    bytes: int
    created_at: int
    expires_at: int
    file_life_s: int | None = None
    status: UploadStatus = UploadStatus.PENDING
    file_id: str | None = None
    owner: str = LOCAL_OWNER


@dataclass(frozen=True, slots=True)
class PartRow:
    """One part of an upload; `place` is where it stands in the file that all of them become."""

    id: str
    upload_id: str
    bytes: int
    created_at: int
    place: int | None = None  # None: it is a file of its own


class UploadTable:
    """Questions and changes about uploads and their parts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, row: UploadRow) -> None:
        self._database.change(
            "INSERT INTO uploads (id, status, filename, purpose, mime_type, bytes, created_at,"
            " expires_at, file_life_s, owner) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                row.id,
                row.status,
                row.filename,
                row.purpose,
                row.mime_type,
                row.bytes,
                row.created_at,
                row.expires_at,
                row.file_life_s,
                row.owner,
            ),
        )

    def find(self, upload_id: str) -> UploadRow | None:
        row = self._database.find_row("SELECT * FROM uploads WHERE id = ?", (upload_id,))
        if row is None:
            return None
        values = {key: row[key] for key in row.keys() if key != "seq"}  # noqa: SIM118
        return UploadRow(**{**values, "status": UploadStatus(values["status"])})

    def end(self, upload_id: str, status: UploadStatus, file_id: str | None = None) -> bool:
        """Bring a pending upload to its end; False when it has come to one already."""
        changed = self._database.change(
            "UPDATE uploads SET status = ?, file_id = ? WHERE id = ? AND status = 'pending'",
            (status, file_id, upload_id),
        )
        return changed == 1

    def pending_ids(self) -> frozenset[str]:
        rows = self._database.rows("SELECT id FROM uploads WHERE status = 'pending'")
        return frozenset(row["id"] for row in rows)

    def measure_pending(self, owner: str) -> tuple[int, int]:
        """How many pending uploads one owner has, and their bytes: as announced, or as came."""
        came = "(SELECT coalesce(sum(bytes), 0) FROM upload_parts WHERE upload_id = uploads.id)"
        sql = f"SELECT count(*), coalesce(sum(max(bytes, {came})), 0) FROM uploads"
        sql += " WHERE status = 'pending' AND owner = ?"
        return tuple(self._database.rows(sql, (owner,))[0])

    def expire(self, now: int) -> Sequence[str]:
        """End the pending uploads whose time is over; their ids."""
        rows = self._database.rows(
            "SELECT id FROM uploads WHERE status = 'pending' AND expires_at <= ?", (now,)
        )
        return [row["id"] for row in rows if self.end(row["id"], UploadStatus.EXPIRED)]

    def add_part(self, row: PartRow) -> bool:
        """Keep the part; False when its upload takes no more."""
        with self._database.transaction():
            upload = self.find(row.upload_id)
            if upload is None or upload.status is not UploadStatus.PENDING:
                return False
            self._database.change(
                "INSERT INTO upload_parts (id, upload_id, bytes, created_at, place)"
                " VALUES (?, ?, ?, ?, ?)",
                (row.id, row.upload_id, row.bytes, row.created_at, row.place),
            )
        return True

    def parts(self, upload_id: str) -> Sequence[PartRow]:
        """All parts that came, in the order in which they came."""
        rows = self._database.rows(
            "SELECT * FROM upload_parts WHERE upload_id = ? ORDER BY seq", (upload_id,)
        )
        columns = ("id", "upload_id", "bytes", "created_at", "place")
        return [PartRow(**{column: row[column] for column in columns}) for row in rows]
