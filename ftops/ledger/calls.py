"""Remote effects (an intent first, its answer after it) and the uploads that came of them."""

import sqlite3
from collections.abc import Collection, Mapping

from ftops.errors import LedgerError
from ftops.ledger.rows import (
    CALL_COLUMNS,
    UPLOAD_COLUMNS,
    RemoteCall,
    Upload,
    only,
    to_call,
    to_json,
    to_text,
    to_upload,
)
from ftops.ledger.store import Store
from ftops.records import Json, RunId, Stage


class Calls(Store):
    """What the ledger knows of requests that change something at a provider."""

    def record_intent(
        self, run_id: RunId, stage: Stage, name: str, request: Mapping[str, Json]
    ) -> RemoteCall:
        """Write down, before it is sent, a request that will have an effect."""
        with self._changing("record_intent") as connection:
            return insert_intent(connection, self._now(), run_id, stage, name, request)

    def record_done(self, call: RemoteCall, remote_id: str, *, shared: bool = False) -> None:
        """The request had its effect: `remote_id` is what it made or changed.

        With `shared`, another process may have ended the call meanwhile; then that stands.
        """
        with self._changing("record_done") as connection:
            self._end_call(connection, call, "done", remote_id=remote_id, shared=shared)

    def record_failed(self, call: RemoteCall, error: str, *, shared: bool = False) -> None:
        """The request certainly had no effect; `shared` as for `record_done`."""
        with self._changing("record_failed") as connection:
            self._end_call(connection, call, "failed", error=error, shared=shared)

    def close_calls(
        self,
        run_id: RunId,
        names: Collection[str],
        *,
        remote_id: str | None = None,
        error: str | None = None,
    ) -> None:
        """End every unanswered request of these names: done with `remote_id`, else failed."""
        if not any(self.find_open_call(run_id, name) for name in names):
            return
        state = "failed" if remote_id is None else "done"
        with self._changing("close_calls") as connection:
            connection.executemany(
                "UPDATE calls SET state = ?, remote_id = ?, error = ?, ended_at = ?"
                " WHERE run_id = ? AND name = ? AND state = 'intent'",
                [(state, remote_id, error, self._now(), run_id, name) for name in names],
            )

    def record_job(self, call: RemoteCall, job_id: str) -> None:
        """The request made this job, which is the run's from now on."""
        with self._changing("record_job") as connection:
            self._end_call(connection, call, "done", remote_id=job_id)
            connection.execute(
                "UPDATE runs SET job_id = ?, job_status = NULL, updated_at = ? WHERE id = ?",
                (job_id, self._now(), call.run_id),
            )

    def record_job_end(self, run_id: RunId, job_id: str, status: str) -> None:
        """The run's job was seen to end with this status; nothing if it has another job by now."""
        with self._changing("record_job_end") as connection:
            connection.execute(
                "UPDATE runs SET job_status = ?, updated_at = ? WHERE id = ? AND job_id = ?",
                (status, self._now(), run_id, job_id),
            )

    def record_upload(self, call: RemoteCall, upload: Upload) -> None:
        """The request made this upload."""
        with self._changing("record_upload") as connection:
            self._end_call(connection, call, "done", remote_id=upload.file_id)
            _insert_upload(connection, upload)

    def list_calls(self, run_id: RunId) -> list[RemoteCall]:
        """The requests of the run, oldest first."""
        with self._reading() as connection:
            rows = connection.execute(
                f"SELECT {CALL_COLUMNS} FROM calls WHERE run_id = ? ORDER BY id", (run_id,)
            )
            return [to_call(row) for row in rows]

    def find_open_call(self, run_id: RunId, name: str) -> RemoteCall | None:
        """The newest request of that name whose answer is not known."""
        with self._reading() as connection:
            row = only(
                connection.execute(
                    f"SELECT {CALL_COLUMNS} FROM calls"
                    " WHERE run_id = ? AND name = ? AND state = 'intent' ORDER BY id DESC LIMIT 1",
                    (run_id, name),
                )
            )
        return to_call(row) if row else None

    def list_open_calls(self, name: str) -> list[RemoteCall]:
        """The requests of that name, of all runs, whose answers are not known; oldest first."""
        with self._reading() as connection:
            rows = connection.execute(
                f"SELECT {CALL_COLUMNS} FROM calls WHERE state = 'intent' AND name = ? ORDER BY id",
                (name,),
            )
            return [to_call(row) for row in rows]

    def is_job_known(self, job_id: str) -> bool:
        """Whether a run has this job, or a request of one is known to have made it."""
        with self._reading() as connection:
            found = connection.execute(
                "SELECT 1 FROM calls WHERE remote_id = ? AND name = 'create_job'"
                " UNION ALL SELECT 1 FROM runs WHERE job_id = ?",
                (job_id, job_id),
            )
            return found.fetchone() is not None

    def is_upload_known(self, file_id: str) -> bool:
        """Whether a request of any run is known to have made this file."""
        with self._reading() as connection:
            found = connection.execute(
                "SELECT 1 FROM calls WHERE remote_id = ? AND stage = 'upload'", (file_id,)
            )
            return found.fetchone() is not None

    def add_upload(self, upload: Upload) -> None:
        """Remember content that lies at an account already."""
        with self._changing("add_upload") as connection:
            _insert_upload(connection, upload)

    def find_upload(self, account: str, sha256: str) -> Upload | None:
        """The newest upload of that content to that account."""
        with self._reading() as connection:
            row = only(
                connection.execute(
                    f"SELECT {UPLOAD_COLUMNS} FROM uploads WHERE account = ? AND sha256 = ?"
                    " AND forgotten_at IS NULL ORDER BY created_at DESC LIMIT 1",
                    (account, sha256),
                )
            )
        return to_upload(row) if row else None

    def list_uploads(self, account: str | None = None) -> list[Upload]:
        """What lies at that account, or at any, as far as is known; oldest first."""
        with self._reading() as connection:
            rows = connection.execute(
                f"SELECT {UPLOAD_COLUMNS} FROM uploads WHERE coalesce(account = ?, 1)"
                " AND forgotten_at IS NULL ORDER BY created_at, file_id",
                (account,),
            )
            return [to_upload(row) for row in rows]

    def forget_upload(self, file_id: str) -> None:
        """The provider has this file no more; nothing happens if it was never known."""
        with self._changing("forget_upload") as connection:
            connection.execute(
                "UPDATE uploads SET forgotten_at = ? WHERE file_id = ? AND forgotten_at IS NULL",
                (self._now(), file_id),
            )

    def _end_call(
        self,
        connection: sqlite3.Connection,
        call: RemoteCall,
        state: str,
        *,
        remote_id: str | None = None,
        error: str | None = None,
        shared: bool = False,
    ) -> None:
        changed = connection.execute(
            "UPDATE calls SET state = ?, remote_id = ?, error = ?, ended_at = ?"
            " WHERE id = ? AND state = 'intent'",
            (state, remote_id, error, self._now(), call.id),
        ).rowcount
        if changed != 1 and not shared:
            raise LedgerError(f"call {call.id} ({call.name}) of {call.run_id} was answered already")
        connection.execute("DELETE FROM parted_uploads WHERE call_id = ?", (call.id,))


def insert_intent(
    connection: sqlite3.Connection,
    now: str,
    run_id: RunId,
    stage: Stage,
    name: str,
    request: Mapping[str, Json],
) -> RemoteCall:
    """Write the intent down inside the open transaction."""
    cursor = connection.execute(
        "INSERT INTO calls (run_id, stage, name, state, request_json, began_at)"
        " VALUES (?, ?, ?, 'intent', ?, ?)",
        (run_id, stage.value, name, to_json(request), now),
    )
    row = only(
        connection.execute(f"SELECT {CALL_COLUMNS} FROM calls WHERE id = ?", (cursor.lastrowid,))
    )
    assert row is not None  # inserted a few lines above
    return to_call(row)


def _insert_upload(connection: sqlite3.Connection, upload: Upload) -> None:
    connection.execute(
        f"INSERT OR REPLACE INTO uploads ({UPLOAD_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            upload.account,
            upload.file_id,
            upload.sha256,
            upload.filename,
            upload.bytes,
            upload.run_id,
            to_text(upload.created_at),
        ),
    )
