"""The API keys (only their hashes), all tables together, and changes of more than one table."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from ftops.clock import Clock
from ftops.engine.ids import new_id
from ftops.engine.store.database import Database, Value, render_json
from ftops.engine.store.files import FileRow, FileTable, UploadStatus, UploadTable
from ftops.engine.store.jobs import EventTable, JobRow, JobStatus, JobTable, NewEvent
from ftops.engine.store.models import ModelRow, ModelTable
from ftops.records import Json


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One key. `name` is the owner of objects created with it; `hint` is the key's beginning."""

    name: str
    sha256: str
    hint: str
    created_at: int
    last_used_at: int | None = None


class KeyTable:
    """The keys.

    They are read over a separate connection: every request reads them first, and must not wait for
    a transaction of another thread.
    """

    def __init__(self, database: Database, reader: Database) -> None:
        self._database = database
        self._reader = reader

    def add(self, row: KeyRow) -> bool:
        """Add the key; False when there is one of that name."""
        changed = self._database.change(
            "INSERT OR IGNORE INTO keys (name, sha256, hint, created_at) VALUES (?, ?, ?, ?)",
            (row.name, row.sha256, row.hint, row.created_at),
        )
        return changed == 1

    def list_all(self) -> Sequence[KeyRow]:
        """All keys, by name."""
        rows = self._reader.rows("SELECT * FROM keys ORDER BY name")
        return [KeyRow(**dict(row)) for row in rows]

    def list_hashes(self) -> Sequence[tuple[str, str]]:
        """The name and the hash of each key: all that authentication needs."""
        rows = self._reader.rows("SELECT name, sha256 FROM keys")
        return [(row[0], row[1]) for row in rows]

    def delete(self, name: str) -> bool:
        """Delete the key; False when there is none of that name."""
        return self._database.change("DELETE FROM keys WHERE name = ?", (name,)) == 1

    def set_used(self, name: str, at: int) -> None:
        self._database.change("UPDATE keys SET last_used_at = ? WHERE name = ?", (at, name))


@dataclass(frozen=True, slots=True)
class StorageUsage:
    """The storage of one owner; `bytes` counts files and pending uploads."""

    files: int
    bytes: int
    pending_uploads: int


class _Tables:
    """The tables that have owners, limited to the rows of one owner, or of all (None)."""

    def __init__(self, database: Database, clock: Clock, owner: str | None) -> None:
        self._database = database
        self._clock = clock
        self.files = FileTable(database, owner)
        self.jobs = JobTable(database, owner)
        self.events = EventTable(database, owner)
        self.models = ModelTable(database, owner)
        self.uploads = UploadTable(database, owner)

    def now(self) -> int:
        """The time in seconds since 1970, as in the API."""
        return int(self._clock.now().timestamp())

    def transaction(self) -> AbstractContextManager[None]:
        """All changes inside happen together or not at all; other writers wait."""
        return self._database.transaction()

    def measure(self) -> StorageUsage:
        files, n_bytes = self.files.measure()
        uploads, n_pending_bytes = self.uploads.measure_pending()
        return StorageUsage(files, n_bytes + n_pending_bytes, uploads)

    def add_job(self, job: JobRow, *events: NewEvent) -> None:
        with self._database.transaction():
            self.jobs.add(job)
            self._add_events(job.id, *events)

    def complete_upload(self, upload_id: str, file: FileRow) -> bool:
        """Replace a pending upload by its file; False when it is no longer pending."""
        with self._database.transaction():
            is_completed = self.uploads.finish(upload_id, UploadStatus.COMPLETED, file.id)
            if is_completed:
                self.files.add(file)
        return is_completed

    def _add_events(self, job_id: str, *events: NewEvent) -> None:
        now = self.now()
        if self.events.add(job_id, *events, at=now):
            self.jobs.set_updated(job_id, now)


class TenantStore(_Tables):
    """The rows of one owner; all added rows belong to that owner.

    This is the only store that requests get: every table adds the owner to every statement, so
    that no endpoint can read or change the rows of another owner.
    """

    def __init__(self, database: Database, clock: Clock, owner: str) -> None:
        super().__init__(database, clock, owner)
        self.owner = owner


class Store(_Tables):
    """The rows of all owners, for the queue and the workers; requests get a `TenantStore`.

    Every transition of a job adds its event in the same transaction.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        super().__init__(Database(path), clock, None)
        self._reader = Database(path)
        self.keys = KeyTable(self._database, self._reader)

    def close(self) -> None:
        self._reader.close()
        self._database.close()

    def of(self, owner: str) -> TenantStore:
        """The rows of one owner."""
        return TenantStore(self._database, self._clock, owner)

    def add_events(self, job_id: str, *events: NewEvent) -> None:
        with self._database.transaction():
            self._add_events(job_id, *events)

    def enqueue(self, job_id: str, *events: NewEvent) -> bool:
        """Queue a job whose files are valid, or whose worker has ended."""
        sources = (JobStatus.VALIDATING_FILES, JobStatus.RUNNING)
        return self._move(
            job_id, JobStatus.QUEUED, {"worker_pid": None}, *events, only_from=sources
        )

    def pause(self, job_id: str) -> bool:
        """Pause a queued job at once, and a running one when its worker has stopped."""
        with self._database.transaction():
            values: dict[str, Value] = {"estimated_finish": None}
            event = NewEvent(new_id("pausing"), "Pausing: the worker writes a checkpoint.")
            return self._move(job_id, JobStatus.PAUSING, values, event) or self._set_paused(
                job_id, JobStatus.QUEUED
            )

    def finish_pause(self, job_id: str) -> bool:
        """Pause a job whose worker has ended; False when the job is not pausing."""
        return self._set_paused(job_id, JobStatus.PAUSING)

    def release(self, job_id: str) -> bool:
        """Pause a pausing job, or queue a running one, whose worker ends early."""
        return self.finish_pause(job_id) or self.enqueue(job_id)

    def resume(self, job_id: str) -> bool:
        """Queue a paused job again."""
        event = NewEvent(new_id("resumed"), "Job resumed. Job queued.")
        return self._move(
            job_id, JobStatus.QUEUED, {"worker_pid": None}, event, only_from=(JobStatus.PAUSED,)
        )

    def _set_paused(self, job_id: str, source: JobStatus) -> bool:
        values: dict[str, Value] = {"worker_pid": None, "estimated_finish": None}
        event = NewEvent(new_id("paused"), "Job paused.")
        return self._move(job_id, JobStatus.PAUSED, values, event, only_from=(source,))

    def start(self, job_id: str, resolved: Mapping[str, Json], *events: NewEvent) -> bool:
        """Mark a job as running, with the hyperparameters in use."""
        values = {"resolved_json": render_json(resolved)}
        return self._move(job_id, JobStatus.RUNNING, values, *events)

    def succeed(
        self,
        job_id: str,
        models: Sequence[ModelRow],
        results: FileRow,
        tokens: int,
        *events: NewEvent,
    ) -> bool:
        """Publish the model, the last of `models`, with its checkpoints and the results file."""
        values: dict[str, Value] = {
            "finished_at": self.now(),
            "estimated_finish": None,
            "fine_tuned_model": models[-1].name,
            "result_file": results.id,
            "trained_tokens": tokens,
        }
        with self._database.transaction():
            is_moved = self._move(job_id, JobStatus.SUCCEEDED, values, *events)
            job = self.jobs.find(job_id)
            if is_moved and job is not None:
                self.files.add(replace(results, owner=job.owner))
                for row in models:
                    self.models.add(replace(row, owner=job.owner))
        return is_moved

    def fail(self, job_id: str, code: str, message: str, param: str | None = None) -> bool:
        values: dict[str, Value] = {
            "finished_at": self.now(),
            "estimated_finish": None,
            "error_code": code,
            "error_message": message,
            "error_param": param,
        }
        event = NewEvent(
            "failed", f"The job failed: {message}", level="error", data={"reason": message}
        )
        return self._move(job_id, JobStatus.FAILED, values, event)

    def cancel(self, job_id: str) -> bool:
        """Cancel a job; its worker, if it has one, reads the status and stops."""
        values: dict[str, Value] = {"finished_at": self.now(), "estimated_finish": None}
        event = NewEvent("cancelled", "The job was cancelled.")
        return self._move(job_id, JobStatus.CANCELLED, values, event)

    def _move(
        self,
        job_id: str,
        to: JobStatus,
        values: Mapping[str, Value],
        *events: NewEvent,
        only_from: Collection[JobStatus] = tuple(JobStatus),
    ) -> bool:
        with self._database.transaction():
            is_moved = self.jobs.move(job_id, to, values, only_from=only_from)
            if is_moved:
                self._add_events(job_id, *events)
        return is_moved
