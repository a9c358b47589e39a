"""All tables together, and the changes that touch more than one of them."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from ftops.clock import Clock
from ftops.engine.ids import new_id
from ftops.engine.store.database import Database, Value
from ftops.engine.store.events import EventTable, NewEvent
from ftops.engine.store.files import FileRow, FileTable
from ftops.engine.store.jobs import JobRow, JobStatus, JobTable
from ftops.engine.store.json_text import render_json
from ftops.engine.store.keys import KeyTable
from ftops.engine.store.models import ModelRow, ModelTable
from ftops.engine.store.own import OwnStore
from ftops.engine.store.uploads import UploadStatus, UploadTable
from ftops.records import Json


class Store:
    """What an engine remembers, of all owners; requests work with the `OwnStore` of one.

    Every move of a job writes its event in the same transaction.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._database = Database(path)
        self._asking = Database(path)
        self._clock = clock
        self.files = FileTable(self._database)
        self.jobs = JobTable(self._database)
        self.events = EventTable(self._database)
        self.models = ModelTable(self._database)
        self.uploads = UploadTable(self._database)
        self.keys = KeyTable(self._database, self._asking)

    def now(self) -> int:
        """The present moment, as the API writes it."""
        return int(self._clock.now().timestamp())

    def close(self) -> None:
        self._asking.close()
        self._database.close()

    def of(self, owner: str) -> OwnStore:
        """What the owner has of it, and sees."""
        return OwnStore(self, owner)

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
        sources = (JobStatus.VALIDATING_FILES, JobStatus.RUNNING)
        return self._move(
            job_id, JobStatus.QUEUED, {"worker_pid": None}, *events, only_from=sources
        )

    def pause(self, job_id: str) -> bool:
        """Somebody wants it to wait: at once, or (if it runs) when its worker has noticed."""
        with self._database.transaction():
            values: dict[str, Value] = {"estimated_finish": None}
            event = NewEvent(new_id("pausing"), "Pausing: the worker writes a checkpoint.")
            return self._move(job_id, JobStatus.PAUSING, values, event) or self._rest(
                job_id, JobStatus.QUEUED
            )

    def settle_pause(self, job_id: str) -> bool:
        """The worker of a job that is to pause is gone."""
        return self._rest(job_id, JobStatus.PAUSING)

    def give_back(self, job_id: str) -> bool:
        """Its worker ends early: it is paused if that was asked for, else it waits for another."""
        return self.settle_pause(job_id) or self.enqueue(job_id)

    def resume(self, job_id: str) -> bool:
        """A paused job waits for a worker again."""
        event = NewEvent(new_id("resumed"), "Job resumed. Job queued.")
        return self._move(
            job_id, JobStatus.QUEUED, {"worker_pid": None}, event, only_from=(JobStatus.PAUSED,)
        )

    def _rest(self, job_id: str, source: JobStatus) -> bool:
        values: dict[str, Value] = {"worker_pid": None, "estimated_finish": None}
        event = NewEvent(new_id("paused"), "Job paused.")
        return self._move(job_id, JobStatus.PAUSED, values, event, only_from=(source,))

    def begin(self, job_id: str, resolved: Mapping[str, Json], *events: NewEvent) -> bool:
        """A worker trains it now, with these figures."""
        values = {"resolved_json": render_json(resolved)}
        return self._move(job_id, JobStatus.RUNNING, values, *events)

    def succeed(
        self,
        job_id: str,
        model: ModelRow,
        results: FileRow,
        tokens: int,
        *events: NewEvent,
        checkpoints: Sequence[ModelRow] = (),
    ) -> bool:
        """The models and the results are on the disk: let everybody see them, all at once."""
        values: dict[str, Value] = {
            "finished_at": self.now(),
            "estimated_finish": None,
            "fine_tuned_model": model.name,
            "result_file": results.id,
            "trained_tokens": tokens,
        }
        with self._database.transaction():
            moved = self._move(job_id, JobStatus.SUCCEEDED, values, *events)
            job = self.jobs.find(job_id)
            if moved and job is not None:
                self.files.add(replace(results, owner=job.owner))
                for row in (*checkpoints, model):
                    self.models.add(replace(row, owner=job.owner))
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
        self,
        job_id: str,
        to: JobStatus,
        values: Mapping[str, Value],
        *events: NewEvent,
        only_from: Collection[JobStatus] = tuple(JobStatus),
    ) -> bool:
        with self._database.transaction():
            moved = self.jobs.move(job_id, to, values, only_from=only_from)
            if moved:
                self._tell(job_id, *events)
        return moved

    def _tell(self, job_id: str, *events: NewEvent) -> None:
        now = self.now()
        if self.events.add(job_id, *events, at=now):
            self.jobs.set_updated(job_id, now)
