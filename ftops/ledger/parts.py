"""Uploads in parts that are under way, and which parts the provider has confirmed."""

from ftops.errors import LedgerError
from ftops.ledger.rows import RemoteCall, only, to_parted_upload, to_text
from ftops.ledger.store import Store
from ftops.records import MultipartUpload


class Parts(Store):
    """What the ledger knows of an upload in parts; it is forgotten when its call is answered."""

    def begin_parts(self, call: RemoteCall, upload: MultipartUpload) -> None:
        """The call sends parts of this upload from now on; an earlier one is forgotten."""
        with self._changing("begin_parts") as connection:
            connection.execute("DELETE FROM parted_uploads WHERE call_id = ?", (call.id,))
            connection.execute(
                "INSERT INTO parted_uploads (call_id, upload_id, part_bytes, expires_at)"
                " VALUES (?, ?, ?, ?)",
                (call.id, upload.id, upload.part_bytes, to_text(upload.expires_at)),
            )

    def add_part(self, call: RemoteCall, number: int, part_id: str) -> None:
        """The provider has confirmed this part."""
        with self._changing("add_part") as connection:
            connection.execute(
                "INSERT INTO parts (call_id, number, part_id) VALUES (?, ?, ?)",
                (call.id, number, part_id),
            )

    def mark_completing(self, call: RemoteCall) -> None:
        """All parts may have become a file from now on."""
        with self._changing("mark_completing") as connection:
            changed = connection.execute(
                "UPDATE parted_uploads SET completing = 1 WHERE call_id = ?", (call.id,)
            ).rowcount
            if changed != 1:
                raise LedgerError(f"call {call.id} ({call.name}) has begun no upload in parts")

    def find_parts(self, call: RemoteCall) -> MultipartUpload | None:
        """The upload in parts that the call has begun."""
        with self._reading() as connection:
            row = only(
                connection.execute(
                    "SELECT upload_id, part_bytes, expires_at, completing FROM parted_uploads"
                    " WHERE call_id = ?",
                    (call.id,),
                )
            )
            parts = connection.execute(
                "SELECT number, part_id FROM parts WHERE call_id = ?", (call.id,)
            ).fetchall()
        return to_parted_upload((*row, dict(parts))) if row else None
