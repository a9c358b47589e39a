"""The store as one owner sees it: what others made is not there.

This is the only store that requests get, so that no endpoint can forget whose rows it shows. Every
class here offers what the API asks for and nothing that reaches beyond the owner; the whole tables
stay with the queue and the workers.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ftops.engine.store.events import EventRow, EventTable, NewEvent
from ftops.engine.store.files import FileRow, FileTable
from ftops.engine.store.jobs import JobRow, JobTable
from ftops.engine.store.models import ModelRow, ModelTable
from ftops.engine.store.uploads import PartRow, UploadRow, UploadStatus, UploadTable

if TYPE_CHECKING:
    from ftops.engine.store.store import Store


@dataclass(frozen=True, slots=True)
class Usage:
    """How much an owner has; `bytes` are those of files and of pending uploads."""

    files: int
    bytes: int
    pending_uploads: int


class OwnStore:
    """What one owner has in an engine; what is added through it becomes the owner's."""

    def __init__(self, store: "Store", owner: str) -> None:
        self._store = store
        self.owner = owner
        self.files = OwnFiles(store.files, owner)
        self.jobs = OwnJobs(store.jobs, owner)
        self.events = OwnEvents(store.events, self.jobs)
        self.models = OwnModels(store.models, owner)
        self.uploads = OwnUploads(store.uploads, owner)

    def now(self) -> int:
        """The present moment, as the API writes it."""
        return self._store.now()

    def transaction(self) -> AbstractContextManager[None]:
        """As `Store.transaction`."""
        return self._store.transaction()

    def measure(self) -> Usage:
        """How much the owner has now."""
        files, n_bytes = self._store.files.measure(self.owner)
        uploads, coming = self._store.uploads.measure_pending(self.owner)
        return Usage(files, n_bytes + coming, uploads)

    def add_job(self, job: JobRow, *events: NewEvent) -> JobRow:
        """The job as it was added."""
        own = replace(job, owner=self.owner)
        self._store.add_job(own, *events)
        return own

    def complete_upload(self, upload_id: str, file: FileRow) -> bool:
        """As `Store.complete_upload`."""
        if self.uploads.find(upload_id) is None:
            return False
        return self._store.complete_upload(upload_id, replace(file, owner=self.owner))


class OwnFiles:
    """The owner's files; see `FileTable`."""

    def __init__(self, files: FileTable, owner: str) -> None:
        self._files = files
        self._owner = owner

    def add(self, row: FileRow) -> None:
        self._files.add(replace(row, owner=self._owner))

    def find(self, file_id: str) -> FileRow | None:
        row = self._files.find(file_id)
        return row if row is not None and row.owner == self._owner else None

    def remove(self, file_id: str) -> bool:
        """Forget the file; whether it was known."""
        return self.find(file_id) is not None and self._files.remove(file_id)

    def page(
        self, *, after: str | None, limit: int, newest_first: bool, purpose: str | None
    ) -> Sequence[FileRow]:
        """As `FileTable.page`."""
        return self._files.page(
            after=after,
            limit=limit,
            newest_first=newest_first,
            purpose=purpose,
            owner=self._owner,
        )


class OwnUploads:
    """The owner's uploads; see `UploadTable`."""

    def __init__(self, uploads: UploadTable, owner: str) -> None:
        self._uploads = uploads
        self._owner = owner

    def add(self, row: UploadRow) -> None:
        self._uploads.add(replace(row, owner=self._owner))

    def find(self, upload_id: str) -> UploadRow | None:
        row = self._uploads.find(upload_id)
        return row if row is not None and row.owner == self._owner else None

    def end(self, upload_id: str, status: UploadStatus) -> bool:
        """As `UploadTable.end`."""
        return self.find(upload_id) is not None and self._uploads.end(upload_id, status)

    def add_part(self, row: PartRow) -> bool:
        """As `UploadTable.add_part`."""
        return self.find(row.upload_id) is not None and self._uploads.add_part(row)

    def parts(self, upload_id: str) -> Sequence[PartRow]:
        """As `UploadTable.parts`."""
        return self._uploads.parts(upload_id) if self.find(upload_id) is not None else ()


class OwnJobs:
    """The owner's jobs; see `JobTable`."""

    def __init__(self, jobs: JobTable, owner: str) -> None:
        self._jobs = jobs
        self._owner = owner

    def find(self, job_id: str) -> JobRow | None:
        row = self._jobs.find(job_id)
        return row if row is not None and row.owner == self._owner else None

    def page(
        self, *, after: str | None, limit: int, metadata: Mapping[str, str], prefix: str = "ftjob"
    ) -> Sequence[JobRow]:
        """As `JobTable.page`."""
        return self._jobs.page(
            after=after, limit=limit, metadata=metadata, prefix=prefix, owner=self._owner
        )

    def find_by_idempotency_key(self, key: str) -> JobRow | None:
        """As `JobTable.find_by_idempotency_key`."""
        return self._jobs.find_by_idempotency_key(self._owner, key)

    def count_unfinished(self) -> int:
        return self._jobs.count_unfinished(self._owner)

    def list_unfinished(self) -> Sequence[str]:
        """The ids of the jobs that have not ended."""
        return [job.id for job in self._jobs.unfinished() if job.owner == self._owner]


class OwnEvents:
    """The events of the owner's jobs; see `EventTable`."""

    def __init__(self, events: EventTable, jobs: OwnJobs) -> None:
        self._events = events
        self._jobs = jobs

    def has(self, job_id: str, event_id: str) -> bool:
        return self._is_own(job_id) and self._events.has(job_id, event_id)

    def page(self, job_id: str, *, after: str | None, limit: int) -> Sequence[EventRow]:
        """As `EventTable.page`."""
        return self._events.page(job_id, after=after, limit=limit) if self._is_own(job_id) else ()

    def since(self, job_id: str, seq: int = 0) -> Sequence[EventRow]:
        """As `EventTable.since`."""
        return self._events.since(job_id, seq) if self._is_own(job_id) else ()

    def _is_own(self, job_id: str) -> bool:
        return self._jobs.find(job_id) is not None


class OwnModels:
    """The owner's fine-tuned models; see `ModelTable`."""

    def __init__(self, models: ModelTable, owner: str) -> None:
        self._models = models
        self._owner = owner

    def find(self, name: str) -> ModelRow | None:
        """The model, unless it was deleted."""
        return self._if_own(self._models.find(name))

    def find_any(self, name: str) -> ModelRow | None:
        """The model, deleted or not."""
        return self._if_own(self._models.find_any(name))

    def all(self) -> Sequence[ModelRow]:
        """The finished ones."""
        return self._models.owned_by(self._owner)

    def kept(self) -> Sequence[tuple[str, int | None]]:
        """The job and step of each model that was not deleted, checkpoints included."""
        return self._models.kept_by(self._owner)

    def checkpoints(self, job_id: str) -> Sequence[ModelRow]:
        """What is kept of the job's way, latest first."""
        return [row for row in self._models.checkpoints(job_id) if self._if_own(row)]

    def delete(self, name: str, *, at: int) -> Sequence[str]:
        """As `ModelTable.delete`."""
        return self._models.delete(name, at=at) if self.find(name) is not None else ()

    def _if_own(self, row: ModelRow | None) -> ModelRow | None:
        return row if row is not None and row.owner == self._owner else None
