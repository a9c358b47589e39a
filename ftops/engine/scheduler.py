"""The job queue: validates the files of new jobs, starts workers and detects those that crashed.

Owners take turns (`JobTable.list_queue`). The queue is the table of jobs, so it is durable. On
start the scheduler adopts workers that still run; a job that lost its worker is queued again and
continues from its checkpoint.
"""

import contextlib
import itertools
import logging
import shutil
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from ftops import crashpoints
from ftops.clock import Clock
from ftops.engine.cleanup import delete_unused_models
from ftops.engine.ids import result_file_id
from ftops.engine.legacy import is_legacy
from ftops.engine.model_store import publish_epoch_checkpoints
from ftops.engine.settings import EngineSettings
from ftops.engine.store import JobRow, JobStatus, NewEvent, Store
from ftops.engine.training_file import InvalidTrainingFile
from ftops.engine.validation import FileSummaries, validate_job
from ftops.engine.worker_process import (
    EXIT_BUSY,
    EXIT_STOPPED,
    CrashPolicy,
    WorkerProcess,
    start_worker,
)
from ftops.errors import FtopsError, StorageError
from ftops.files import remove_parts
from ftops.locks import is_locked

_POLL_INTERVAL_S = 0.1  # while there are workers
_IDLE_POLL_INTERVAL_S = 5.0
_PUBLISHED_POSITIONS = 100
_STOP_TIMEOUT_S = 10.0  # for a worker to stop after a signal, or when its job has ended

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _WorkerExit:
    """A worker that has exited, and its job."""

    job: JobRow
    exit_code: int | None

    @property
    def is_expected(self) -> bool:
        """The worker released the job (an adopted one has no exit code)."""
        if self.exit_code is None:
            return self.job.status is JobStatus.QUEUED and self.job.worker_pid is None
        # 0: the job was paused and resumed while its worker started
        was_resumed = self.exit_code == 0 and self.job.status is JobStatus.QUEUED
        return was_resumed or self.exit_code == EXIT_STOPPED


class Scheduler:
    """Runs in its own thread between `start` and `stop`."""

    def __init__(
        self, store: Store, settings: EngineSettings, clock: Clock, summaries: FileSummaries
    ) -> None:
        self._store = store
        self._summaries = summaries
        self._settings = settings
        self._paths = settings.paths
        self._clock = clock
        self._workers: dict[str, WorkerProcess] = {}
        self._crash_policy = CrashPolicy()
        self._positions: Mapping[str, int] = {}  # in the queue, at the last poll
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="scheduler", daemon=True)

    def start(self) -> None:
        """Adopt the jobs of an earlier engine, then start the thread."""
        self._recover()
        self._thread.start()

    def is_training(self) -> bool:
        """Whether a worker is running."""
        return bool(self._workers)

    def wake(self) -> None:
        """Poll now: the queue has changed."""
        self._wake.set()

    def cancel(self, job_id: str) -> bool:
        """Cancel a job; False when it has ended."""
        cancelled = self._store.cancel(job_id)
        if cancelled and job_id not in self._workers:
            self._delete_job_files(job_id)
        self.wake()
        return cancelled

    def pause(self, job_id: str) -> bool:
        """Pause a queued or running job; False when it is neither."""
        return self._store.pause(job_id)

    def resume(self, job_id: str) -> bool:
        """Queue a paused job; False when it is not paused."""
        resumed = self._store.resume(job_id)
        self.wake()
        return resumed

    def stop(self, timeout_s: float = _STOP_TIMEOUT_S) -> None:
        """Stop the workers; the next engine adopts those that are still running."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        for worker in self._workers.values():
            self._signal(worker, signal.SIGTERM)
        deadline_s = self._clock.monotonic_s() + timeout_s
        while any(worker.is_alive() for worker in self._workers.values()):
            if self._clock.monotonic_s() > deadline_s:
                break
            self._clock.sleep(0.02)
        try:
            self._reap_workers()
        except FtopsError as error:
            _log.error("cleanup is left to the next engine: %s", error.message)

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._poll()
            except StorageError as error:
                _log.error("the queue is blocked: %s", error.message)
                self._wake.wait(_IDLE_POLL_INTERVAL_S)
            except Exception:
                # An error of one job must not stop the queue.
                _log.exception("polling the queue failed")
            self._wake.wait(_POLL_INTERVAL_S if self._workers else _IDLE_POLL_INTERVAL_S)
            self._wake.clear()

    def _recover(self) -> None:
        known = {job.id: job for job in self._store.jobs.list_unfinished()}
        for job in known.values():
            folder = self._paths.job(job.id)
            if is_locked(folder.lock):
                _log.info("%s: its worker is running", job.id)
                self._workers[job.id] = WorkerProcess(job.id, folder)
            elif job.status is JobStatus.RUNNING:
                _log.info("%s: its worker is gone; the job is queued again", job.id)
                self._store.jobs.return_turn(job.id)
                self._store.enqueue(job.id)
            elif job.status is JobStatus.QUEUED:
                self._store.jobs.return_turn(job.id)
            else:
                self._store.finish_pause(job.id)
        for path in self._paths.jobs.iterdir():
            folder = self._paths.job(path.name)
            if path.name not in known and is_locked(folder.lock):
                self._workers[path.name] = WorkerProcess(path.name, folder)  # its job has ended
            elif path.name not in known:
                self._delete_job_files(path.name)
        for path in self._paths.models.iterdir():
            if path.name not in known and path.name not in self._workers:
                self._delete_unpublished(path.name)
        delete_unused_models(self._store, self._paths)

    def _poll(self) -> None:
        self._reap_workers()
        self.kill_stale_workers()
        for job in self._store.jobs.list_in_status(JobStatus.VALIDATING_FILES):
            if validate_job(job, self._paths, self._store, self._summaries):
                _log.info("%s: queued", job.id)
            else:
                self._delete_job_files(job.id)
            crashpoints.reach("engine.queue.after_checking")
        self._start_workers()
        self._publish_positions()

    def _publish_positions(self) -> None:
        """Add an event to each of the first legacy jobs in the queue that has moved up."""
        waiting = [job.id for job in self._store.jobs.list_queue()]
        waiting = [job_id for job_id in waiting if job_id not in self._workers]
        positions = dict(zip(waiting[:_PUBLISHED_POSITIONS], itertools.count(), strict=False))
        for job_id, position in positions.items():
            if is_legacy(job_id) and position < self._positions.get(job_id, 0):
                self._store.add_events(job_id, _queue_event(position))
        self._positions = positions

    def _start_workers(self) -> None:
        for job in self._store.jobs.list_queue():
            if len(self._workers) >= self._settings.max_concurrent_jobs or self._stopping:
                return
            if job.id in self._workers:
                continue
            folder = self._paths.job(job.id)
            if job.worker_pid is not None:
                self._store.jobs.set_worker(job.id, None)  # another process may have that pid now
            self._store.jobs.take_turn(job.id)
            crashpoints.reach("engine.queue.before_worker")
            try:
                command = self._settings.worker_command
                worker = start_worker(command, job.id, self._settings.folder, folder)
            except FtopsError as error:
                with contextlib.suppress(OSError), folder.log.open("a", encoding="utf-8") as log:
                    log.write(f"{error.message}\n")
                self._handle_crash(job, exit_code=1)
                self._wake.set()  # for the next try, or another job
                continue
            self._workers[job.id] = worker
            crashpoints.reach("engine.queue.after_worker")
            _log.info("%s: worker started", job.id)

    def _reap_workers(self) -> None:
        for worker in [worker for worker in self._workers.values() if not worker.is_alive()]:
            crashpoints.reach("engine.queue.before_burial")
            job = self._store.jobs.find(worker.job_id)
            if job is None or job.ended:
                _log.info("%s: %s", worker.job_id, job.status if job else "unknown")
                self._delete_job_files(worker.job_id)
            elif worker.exit_code == EXIT_BUSY:
                self._workers[job.id] = WorkerProcess(job.id, worker.folder)
                continue
            elif job.status is JobStatus.PAUSED or self._store.finish_pause(job.id):
                _log.info("%s: paused", job.id)
            elif not _WorkerExit(job, worker.exit_code).is_expected:
                self._handle_crash(job, worker.exit_code)
            # Last: after a storage error the next poll tries again.
            del self._workers[worker.job_id]
            crashpoints.reach("engine.queue.after_burial")

    def _handle_crash(self, job: JobRow, exit_code: int | None) -> None:
        """Queue the job again, or fail it after too many crashes."""
        decision = self._crash_policy.decide(job, self._paths.job(job.id), exit_code)
        _log.warning("%s: its worker crashed (exit code %s)", job.id, exit_code)
        with self._store.transaction():
            if decision.is_crash:
                self._store.jobs.count_crash(job.id)
            else:
                self._store.jobs.return_turn(job.id)
            if decision.failure is None:
                self._store.enqueue(job.id)
                return
            self._store.fail(job.id, "server_error", decision.failure)
        self._delete_job_files(job.id)

    def kill_stale_workers(self, timeout_s: float = _STOP_TIMEOUT_S) -> int:
        """Kill workers that still run long after the end of their job; returns their number."""
        now = self._clock.monotonic_s()
        killed = 0
        for worker in list(self._workers.values()):
            job = self._store.jobs.find(worker.job_id)
            if job is None or not job.ended:
                continue
            if worker.stale_since_s is None:
                worker.stale_since_s = now
            elif now - worker.stale_since_s > timeout_s:
                self._signal(worker, signal.SIGKILL)
                killed += 1
        return killed

    def _signal(self, worker: WorkerProcess, number: signal.Signals) -> None:
        job = self._store.jobs.find(worker.job_id)
        try:
            worker.send_signal(number, job.worker_pid if job else None)
        except ProcessLookupError:
            return

    def _delete_job_files(self, job_id: str) -> None:
        """Delete the files of an ended job; a failed one keeps the log of its worker.

        The last epochs of a job that did not succeed are published as checkpoints first.
        """
        crashpoints.reach("engine.queue.before_cleaning")
        folder = self._paths.job(job_id)
        job = self._store.jobs.find(job_id)
        self._crash_policy.forget(job_id)
        self._delete_unpublished(job_id)
        if job is not None and job.status in (JobStatus.FAILED, JobStatus.CANCELLED):
            try:
                publish_epoch_checkpoints(job, self._paths, self._store)
            except (FtopsError, OSError, InvalidTrainingFile) as error:
                _log.warning("%s: its checkpoints are lost: %s", job_id, error)
        delete_unused_models(self._store, self._paths)
        if job is None or job.status is not JobStatus.FAILED:
            shutil.rmtree(folder.root, ignore_errors=True)
            return
        for path in (
            folder.training,
            folder.validation,
            folder.checkpoint,
            folder.steps,
            folder.reserve,
        ):
            path.unlink(missing_ok=True)
        for path in (folder.model, folder.epochs):
            shutil.rmtree(path, ignore_errors=True)

    def _delete_unpublished(self, job_id: str) -> None:
        """Delete a model and results whose job did not record them."""
        if not self._store.models.has_any(job_id):
            shutil.rmtree(self._paths.model(job_id), ignore_errors=True)
        if self._store.files.find(result_file_id(job_id)) is None:
            self._paths.file(result_file_id(job_id)).unlink(missing_ok=True)
        remove_parts(self._paths.file(result_file_id(job_id)))


def _queue_event(position: int) -> NewEvent:
    message = f"Jobs ahead in the queue: {position}."
    return NewEvent(f"queue:{position}", message, data={"queue_position": position})
