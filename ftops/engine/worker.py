"""The process that trains one job: `python -m ftops.engine.worker --folder F --job ID`.

It holds the job's lock for as long as it lives, so that a restarted engine can tell a living worker
from a dead one, and it needs no engine to finish. SIGTERM makes it write a checkpoint, put the job
back in the queue and end; so does a pause, but the job then waits for somebody to
resume it. What it prints lands in the job's log.
"""

import argparse
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from ftops.clock import SystemClock
from ftops.engine.generation import GetTrainer
from ftops.engine.settings import EngineFolder
from ftops.engine.store import JobRow, JobStatus, Store
from ftops.engine.trainers import get_trainer as get_known_trainer
from ftops.engine.trainers.protocol import TrainingStopped
from ftops.engine.training import Workshop, train_job
from ftops.engine.worker_exits import EXIT_BUSY, EXIT_STOPPED
from ftops.errors import FtopsError
from ftops.files import storage_error

_LOCK_WAIT_S = 5.0  # an engine that looks whether a worker lives holds the lock for a moment


def main(
    arguments: Sequence[str] | None = None, get_trainer: GetTrainer = get_known_trainer
) -> int:
    """Train the job; the process's exit code."""
    parser = argparse.ArgumentParser(prog="python -m ftops.engine.worker", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="the engine's folder")
    parser.add_argument("--job", required=True, help="the id of a queued job")
    options = parser.parse_args(arguments)
    folder = EngineFolder(options.folder)
    stop = _stop_on_signals()
    try:
        with FileLock(folder.job(options.job).lock, timeout=_LOCK_WAIT_S):
            return _work(options.job, folder, get_trainer, stop)
    except Timeout:
        print(f"another worker has the job {options.job}", file=sys.stderr)  # noqa: T201
        return EXIT_BUSY


def _stop_on_signals() -> threading.Event:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    return stop


def _work(job_id: str, folder: EngineFolder, get_trainer: GetTrainer, stop: threading.Event) -> int:
    clock = SystemClock()
    store = Store(folder.database, clock)
    try:
        job = store.jobs.find(job_id)
        if job is None or job.status is not JobStatus.QUEUED:
            return 0  # cancelled while this process started
        store.jobs.set_worker(job_id, os.getpid())
        return _train(job, Workshop(store, folder, get_trainer, clock, stop.is_set))
    finally:
        store.close()


def _train(job: JobRow, shop: Workshop) -> int:
    try:
        train_job(job, shop)
    except TrainingStopped:
        return EXIT_STOPPED if shop.store.give_back(job.id) else 0
    except FtopsError as error:
        traceback.print_exc()
        shop.store.fail(job.id, "server_error", error.message)
    except OSError as error:
        traceback.print_exc()
        where = Path(error.filename) if isinstance(error.filename, str) else shop.folder.root
        shop.store.fail(job.id, "server_error", storage_error(error, where).message)
    return 0


if __name__ == "__main__":
    sys.exit(main())
