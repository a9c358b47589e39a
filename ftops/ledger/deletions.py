"""What old runs left behind: which files they need, and how these go."""

from collections.abc import Sequence
from datetime import datetime

from ftops.errors import RunBusy
from ftops.ledger.calls import insert_intent
from ftops.ledger.rows import RemoteCall, Upload, to_text
from ftops.ledger.store import Store
from ftops.records import Json, Run, RunId, RunStatus, Stage

FILE_CALL = "delete_file"
_OPEN = f"status IN ('{RunStatus.PENDING}', '{RunStatus.RUNNING}')"


def _collect(table: str, column: str, names: Sequence[str], condition: str) -> str:
    return " UNION ALL ".join(
        f"SELECT run_id, {name} AS name FROM {table} WHERE run_id IN chosen AND {condition}"
        for name in (f"json_extract({column}, '$.{name}')" for name in names)
    )


# The runs in `chosen`, each with every file id and every SHA-256 of prepared content that it is
# known to need.
_NEEDS = " UNION ALL ".join(
    (
        _collect("stages", "detail_json", ("training_file", "validation_file"), "stage = 'upload'"),
        _collect(
            "stages", "detail_json", ("training.sha256", "validation.sha256"), "stage = 'prepare'"
        ),
        _collect("calls", "request_json", ("sha256",), "name = 'upload_file'"),
        _collect(
            "calls", "request_json", ("training_file", "validation_file"), "name = 'create_job'"
        ),
        "SELECT run_id, remote_id FROM calls WHERE run_id IN chosen AND name = 'upload_file'",
        "SELECT run_id, file_id FROM uploads WHERE run_id IN chosen",
        "SELECT id, json_extract(spec_json, '$.training_file') FROM runs WHERE id IN chosen",
        "SELECT id, json_extract(spec_json, '$.validation_file') FROM runs WHERE id IN chosen",
    )
)


class Deletions(Store):
    """What the ledger knows of files that are to go."""

    def list_needs(self) -> list[tuple[RunId, str]]:
        """Each run that was not pruned, with each file id and each content (SHA-256) it needs."""
        with self._reading() as connection:
            rows = connection.execute(
                "WITH chosen AS MATERIALIZED (SELECT id FROM runs WHERE pruned_at IS NULL)"
                f" SELECT DISTINCT run_id, name FROM ({_NEEDS}) WHERE name IS NOT NULL"
            )
            return [(RunId(run_id), name) for run_id, name in rows]

    def begin_file_deletion(
        self, run_id: RunId, upload: Upload, *, since: datetime
    ) -> RemoteCall | None:
        """Write down that the file is about to be deleted, and forget it as an upload.

        None, and nothing is changed, when a run needs it that is not at its end, or that has been
        changed since the caller looked. No run can begin to rely on the file in between.
        """
        with self._changing("begin_deletion") as connection:
            needed = connection.execute(
                "WITH chosen AS MATERIALIZED (SELECT id FROM runs WHERE id <> ?"
                f" AND pruned_at IS NULL AND ({_OPEN} OR updated_at >= ?))"
                f" SELECT 1 FROM ({_NEEDS}) WHERE name IN (?, ?) LIMIT 1",
                (run_id, to_text(since), upload.file_id, upload.sha256),
            ).fetchone()
            if needed:
                return None
            connection.execute(
                "UPDATE uploads SET forgotten_at = ? WHERE file_id = ? AND forgotten_at IS NULL",
                (self._now(), upload.file_id),
            )
            request: dict[str, Json] = {
                "id": upload.file_id,
                "account": upload.account,
                "filename": upload.filename,
                "bytes": upload.bytes,
            }
            return insert_intent(connection, self._now(), run_id, Stage.UPLOAD, FILE_CALL, request)

    def is_deletion_begun(self, file_id: str) -> bool:
        """Whether a command has deleted that file, or is about to, or may have."""
        with self._reading() as connection:
            found = connection.execute(
                "SELECT 1 FROM calls WHERE remote_id = ? AND name = ? UNION ALL"
                " SELECT 1 FROM calls WHERE state = 'intent' AND name = ?"
                " AND json_extract(request_json, '$.id') = ?",
                (file_id, FILE_CALL, FILE_CALL, file_id),
            )
            return found.fetchone() is not None

    def mark_pruned(self, seen: Run) -> None:
        """The files of this run are about to go; RunBusy if it is no longer as the caller saw it.

        A run that is opened again is not pruned any more.
        """
        with self._changing("mark_pruned") as connection:
            changed = connection.execute(
                "UPDATE runs SET pruned_at = coalesce(pruned_at, ?) WHERE id = ? AND status = ?",
                (self._now(), seen.id, seen.status.value),
            ).rowcount
            if changed != 1:
                raise RunBusy(
                    f"{seen.id} is no longer {seen.status}: it was opened again",
                    hint=f"Look at it with `ftops show {seen.id}`.",
                )
