"""The queue: checks the files of new jobs, starts a worker for each job whose turn has come, and
notices workers that died. Owners take turns (`JobTable.waiting`).

The queue itself is the table of jobs, so it survives the engine. On starting, jobs whose worker
still lives are adopted; those whose worker is gone wait again and go on from their checkpoint.
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
from ftops.engine.validation import validate_job
from ftops.engine.worker_process import (
    EXIT_BUSY,
    EXIT_STOPPED,
    CrashPolicy,
    WorkerProcess,
    start_worker,
)
from ftops.errors import FtopsError, StorageError
from ftops.files import sweep_parts
from ftops.locks import is_locked

_LOOK_EVERY_S = 0.1  # while there is a worker to look after
_IDLE_LOOK_EVERY_S = 5.0
_TOLD_POSITIONS = 100
_PATIENCE_S = 10.0  # how long the worker of a cancelled job may take to notice

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _WorkerExit:
    """How a worker that is gone left its job."""

    job: JobRow
    exit_code: int | None

    @property
    def in_order(self) -> bool:
        """It gave the job back by itself (an adopted worker leaves no exit code to ask)."""
        if self.exit_code is None:
            return self.job.status is JobStatus.QUEUED and self.job.worker_pid is None
        # 0: the job was paused, and resumed again, while its worker started
        unused = self.exit_code == 0 and self.job.status is JobStatus.QUEUED
        return unused or self.exit_code == EXIT_STOPPED


class Scheduler:
    """Runs in a thread of its own between `start` and `stop`."""

    def __init__(self, store: Store, settings: EngineSettings, clock: Clock) -> None:
        self._store = store
        self._settings = settings
        self._paths = settings.paths
        self._clock = clock
        self._workers: dict[str, WorkerProcess] = {}
        self._crash_policy = CrashPolicy()
        self._positions: Mapping[str, int] = {}  # in the queue, when it was last looked at
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="scheduler", daemon=True)

    def start(self) -> None:
        """Take up what an earlier engine left, then look after the queue."""
        self._recover()
        self._thread.start()

    def wake(self) -> None:
        """Look at the queue now: something changed."""
        self._wake.set()

    def cancel(self, job_id: str) -> bool:
        """End a job that nobody wants any more; False when it has ended already."""
        cancelled = self._store.cancel(job_id)
        if cancelled and job_id not in self._workers:
            self._clean(job_id)
        self.wake()
        return cancelled

    def pause(self, job_id: str) -> bool:
        """Let a queued or running job wait until it is resumed; False when it is neither."""
        return self._store.pause(job_id)

    def resume(self, job_id: str) -> bool:
        """Queue a paused job; False when it is not paused."""
        resumed = self._store.resume(job_id)
        self.wake()
        return resumed

    def stop(self, patience_s: float = _PATIENCE_S) -> None:
        """Ask the workers to write a checkpoint and end; those that do not will be adopted."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        for worker in self._workers.values():
            self._signal(worker, signal.SIGTERM)
        deadline_s = self._clock.monotonic_s() + patience_s
        while any(worker.is_alive() for worker in self._workers.values()):
            if self._clock.monotonic_s() > deadline_s:
                break
            self._clock.sleep(0.02)
        try:
            self._reap_workers()
        except FtopsError as error:
            _log.error("the next engine has to tidy up: %s", error.message)

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._look()
            except StorageError as error:
                _log.error("the queue waits: %s", error.message)
                self._wake.wait(_IDLE_LOOK_EVERY_S)
            except Exception:
                # The queue must go on whatever one job does; the log says what it was.
                _log.exception("looking after the queue failed")
            self._wake.wait(_LOOK_EVERY_S if self._workers else _IDLE_LOOK_EVERY_S)
            self._wake.clear()

    def _recover(self) -> None:
        known = {job.id: job for job in self._store.jobs.list_unfinished()}
        for job in known.values():
            folder = self._paths.job(job.id)
            if is_locked(folder.lock):
                _log.info("%s: its worker still lives", job.id)
                self._workers[job.id] = WorkerProcess(job.id, folder)
            elif job.status is JobStatus.RUNNING:
                _log.info("%s: its worker is gone; it is queued again", job.id)
                self._store.jobs.return_turn(job.id)
                self._store.enqueue(job.id)
            elif job.status is JobStatus.QUEUED:
                self._store.jobs.return_turn(job.id)
            else:
                self._store.finish_pause(job.id)
        for path in self._paths.jobs.iterdir():
            folder = self._paths.job(path.name)
            if path.name not in known and is_locked(folder.lock):
                self._workers[path.name] = WorkerProcess(
                    path.name, folder
                )  # has not noticed the end yet
            elif path.name not in known:
                self._clean(path.name)
        for path in self._paths.models.iterdir():
            if path.name not in known and path.name not in self._workers:
                self._delete_unpublished(path.name)
        delete_unused_models(self._store, self._paths)

    def _look(self) -> None:
        self._reap_workers()
        self.kill_stale_workers()
        for job in self._store.jobs.list_in_status(JobStatus.VALIDATING_FILES):
            if validate_job(job, self._paths.job(job.id), self._store):
                _log.info("%s: queued", job.id)
            else:
                self._clean(job.id)
            crashpoints.reach("engine.queue.after_checking")
        self._start_workers()
        self._publish_positions()

    def _publish_positions(self) -> None:
        """Let the first legacy jobs of the queue know that they have moved on."""
        waiting = [job.id for job in self._store.jobs.list_queue()]
        waiting = [job_id for job_id in waiting if job_id not in self._workers]
        positions = dict(zip(waiting[:_TOLD_POSITIONS], itertools.count(), strict=False))
        for job_id, position in positions.items():
            if is_legacy(job_id) and position < self._positions.get(job_id, 0):
                self._store.add_events(job_id, NewEvent(f"queue:{position}", f"Queue: {position}."))
        self._positions = positions

    def _start_workers(self) -> None:
        for job in self._store.jobs.list_queue():
            if len(self._workers) >= self._settings.max_concurrent_jobs or self._stopping:
                return
            if job.id in self._workers:
                continue
            folder = self._paths.job(job.id)
            if job.worker_pid is not None:
                self._store.jobs.set_worker(job.id, None)  # by now it may be anybody's
            self._store.jobs.take_turn(job.id)
            crashpoints.reach("engine.queue.before_worker")
            try:
                command = self._settings.worker_command
                worker = start_worker(command, job.id, self._settings.folder, folder)
            except FtopsError as error:
                with contextlib.suppress(OSError), folder.log.open("a", encoding="utf-8") as log:
                    log.write(f"{error.message}\n")
                self._handle_crash(job, exit_code=1)
                self._wake.set()  # the next try, or another job, need not wait
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
                self._clean(worker.job_id)
            elif worker.exit_code == EXIT_BUSY:
                self._workers[job.id] = WorkerProcess(job.id, worker.folder)
                continue
            elif job.status is JobStatus.PAUSED or self._store.finish_pause(job.id):
                _log.info("%s: paused", job.id)
            elif not _WorkerExit(job, worker.exit_code).in_order:
                self._handle_crash(job, worker.exit_code)
            # Only now: had the disk refused to take it down, the next look would try again.
            del self._workers[worker.job_id]
            crashpoints.reach("engine.queue.after_burial")

    def _handle_crash(self, job: JobRow, exit_code: int | None) -> None:
        """Queue the job once more, or fail it when that has been done often enough."""
        death = self._crash_policy.decide(job, self._paths.job(job.id), exit_code)
        _log.warning("%s: its worker died (exit code %s)", job.id, exit_code)
        with self._store.transaction():
            if death.counts:
                self._store.jobs.count_crash(job.id)
            else:
                self._store.jobs.return_turn(job.id)
            if death.verdict is None:
                self._store.enqueue(job.id)
                return
            self._store.fail(job.id, "server_error", death.verdict)
        self._clean(job.id)

    def kill_stale_workers(self, patience_s: float = _PATIENCE_S) -> int:
        """Kill workers that have not noticed for so long that their job was cancelled; how many."""
        now = self._clock.monotonic_s()
        killed = 0
        for worker in list(self._workers.values()):
            job = self._store.jobs.find(worker.job_id)
            if job is None or not job.ended:
                continue
            if worker.stale_since_s is None:
                worker.stale_since_s = now
            elif now - worker.stale_since_s > patience_s:
                self._signal(worker, signal.SIGKILL)
                killed += 1
        return killed

    def _signal(self, worker: WorkerProcess, number: signal.Signals) -> None:
        job = self._store.jobs.find(worker.job_id)
        try:
            worker.send(number, job.worker_pid if job else None)
        except ProcessLookupError:
            return

    def _clean(self, job_id: str) -> None:
        """Remove what an ended job needs no more; of a failed one, keep what its worker printed.

        Of a job that did not succeed, the last epochs become models first.
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
                _log.warning("%s: its last epochs are lost: %s", job_id, error)
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
        """Remove a model and results that were put in their places, but never became known."""
        if not self._store.models.has_any(job_id):
            shutil.rmtree(self._paths.model(job_id), ignore_errors=True)
        if self._store.files.find(result_file_id(job_id)) is None:
            self._paths.file(result_file_id(job_id)).unlink(missing_ok=True)
        sweep_parts(self._paths.file(result_file_id(job_id)))
