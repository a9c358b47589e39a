"""All tables together, and the changes that touch more than one of them."""

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from ftops.clock import Clock
from ftops.engine.store.database import Database, Value
from ftops.engine.store.events import EventTable, NewEvent
from ftops.engine.store.files import FileRow, FileTable
from ftops.engine.store.jobs import JobRow, JobStatus, JobTable
from ftops.engine.store.models import ModelRow, ModelTable
from ftops.engine.store.uploads import UploadStatus, UploadTable
from ftops.records import Json


class Store:
    """What an engine remembers. Every move of a job writes its event in the same transaction."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._database = Database(path)
        self._clock = clock
        self.files = FileTable(self._database)
        self.jobs = JobTable(self._database)
        self.events = EventTable(self._database)
        self.models = ModelTable(self._database)
        self.uploads = UploadTable(self._database)

    def now(self) -> int:
        """The present moment, as the API writes it."""
        return int(self._clock.now().timestamp())

    def close(self) -> None:
        self._database.close()

    def transaction(self) -> AbstractContextManager[None]:
        """All changes inside happen together or not at all; nobody else writes meanwhile."""
        return self._database.transaction()

    def complete_upload(self, upload_id: str, file: FileRow) -> bool:
        """The parts have become a file; False when the upload has ended otherwise meanwhile."""
        with self._database.transaction():
            ended = self.uploads.end(upload_id, UploadStatus.COMPLETED, file.id)
            if ended:
                self.files.add(file)
        return ended

    def add_job(self, job: JobRow, *events: NewEvent) -> None:
        with self._database.transaction():
            self.jobs.add(job)
            self._tell(job.id, *events)

    def tell(self, job_id: str, *events: NewEvent) -> None:
        """Add to a job's history."""
        with self._database.transaction():
            self._tell(job_id, *events)

    def enqueue(self, job_id: str, *events: NewEvent) -> bool:
        """Its files are good, or its worker is gone: it waits for (another) one."""
        return self._move(job_id, JobStatus.QUEUED, {"worker_pid": None}, *events)

    def begin(self, job_id: str, resolved: Mapping[str, Json], *events: NewEvent) -> bool:
        """A worker trains it now, with these figures."""
        values = {"resolved_json": json.dumps(dict(resolved))}
        return self._move(job_id, JobStatus.RUNNING, values, *events)

    def succeed(
        self, job_id: str, model: ModelRow, results: FileRow, tokens: int, *events: NewEvent
    ) -> bool:
        """The model and the results are on the disk: let everybody see them, all at once."""
        values: dict[str, Value] = {
            "finished_at": self.now(),
            "estimated_finish": None,
            "fine_tuned_model": model.name,
            "result_file": results.id,
            "trained_tokens": tokens,
        }
        with self._database.transaction():
            moved = self._move(job_id, JobStatus.SUCCEEDED, values, *events)
            if moved:
                self.files.add(results)
                self.models.add(model)
        return moved

    def fail(self, job_id: str, code: str, message: str, param: str | None = None) -> bool:
        """It ended badly, for the reason given."""
        values: dict[str, Value] = {
            "finished_at": self.now(),
            "estimated_finish": None,
            "error_code": code,
            "error_message": message,
            "error_param": param,
        }
        event = NewEvent("failed", f"The job failed: {message}", level="error")
        return self._move(job_id, JobStatus.FAILED, values, event)

    def cancel(self, job_id: str) -> bool:
        """Somebody does not want it any more; a worker notices by itself."""
        values: dict[str, Value] = {"finished_at": self.now(), "estimated_finish": None}
        event = NewEvent("cancelled", "The job was cancelled.")
        return self._move(job_id, JobStatus.CANCELLED, values, event)

    def _move(
        self, job_id: str, to: JobStatus, values: Mapping[str, Value], *events: NewEvent
    ) -> bool:
        with self._database.transaction():
            moved = self.jobs.move(job_id, to, values)
            if moved:
                self._tell(job_id, *events)
        return moved

    def _tell(self, job_id: str, *events: NewEvent) -> None:
        for event in events:
            self.events.add(job_id, event, at=self.now())
