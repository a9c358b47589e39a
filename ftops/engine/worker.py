"""The process that trains one job: `python -m ftops.engine.worker --folder F --job ID`.

It holds the job's lock for as long as it lives, so that a restarted engine can tell a living worker
from a dead one, and it needs no engine to finish. SIGTERM makes it write a checkpoint, put the job
back in the queue and end; so does a pause, but the job then waits for somebody to
resume it. What it prints lands in the job's log.
"""

import argparse
import contextlib
import faulthandler
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from ftops import crashpoints
from ftops.clock import SystemClock
from ftops.engine.generation import GetTrainer
from ftops.engine.settings import EngineFolder, hide_paths
from ftops.engine.store import JobRow, JobStatus, Store
from ftops.engine.trainer import CHECKPOINT_EVERY_S, TrainingStopped
from ftops.engine.trainer_registry import get_trainer as get_known_trainer
from ftops.engine.training import Workshop, train_job
from ftops.engine.worker_exits import EXIT_BUSY, EXIT_STOPPED
from ftops.errors import FtopsError
from ftops.files import PRIVATE_FILE, storage_error

_RESERVE_BYTES = 128 << 10
_LOCK_WAIT_S = 5.0  # an engine that looks whether a worker lives holds the lock for a moment


def main(
    arguments: Sequence[str] | None = None, get_trainer: GetTrainer = get_known_trainer
) -> int:
    """Train the job; the process's exit code."""
    parser = argparse.ArgumentParser(prog="python -m ftops.engine.worker", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="the engine's folder")
    parser.add_argument("--job", required=True, help="the id of a queued job")
    parser.add_argument("--checkpoint-every-s", type=float, default=CHECKPOINT_EVERY_S)
    options = parser.parse_args(arguments)
    folder = EngineFolder(options.folder)
    faulthandler.enable()  # whatever kills it, its log says where it was
    stop = _stop_on_signals()
    try:
        lock = folder.job(options.job).lock
        with FileLock(lock, timeout=_LOCK_WAIT_S, mode=PRIVATE_FILE):
            return _work(options.job, folder, get_trainer, stop, options.checkpoint_every_s)
    except Timeout:
        print(f"another worker has the job {options.job}", file=sys.stderr)  # noqa: T201
        return EXIT_BUSY


def _stop_on_signals() -> threading.Event:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    return stop


def _work(
    job_id: str,
    folder: EngineFolder,
    get_trainer: GetTrainer,
    stop: threading.Event,
    checkpoint_every_s: float,
) -> int:
    clock = SystemClock()
    store = Store(folder.database, clock)
    try:
        job = store.jobs.find(job_id)
        if job is None or job.status is not JobStatus.QUEUED:
            return 0  # cancelled while this process started
        crashpoints.reach("engine.worker.after_lock")
        store.jobs.set_worker(job_id, os.getpid())
        shop = Workshop(store, folder, get_trainer, clock, stop.is_set, checkpoint_every_s)
        return _train(job, shop)
    finally:
        store.close()


def _train(job: JobRow, shop: Workshop) -> int:
    try:
        shop.folder.job(job.id).reserve.write_bytes(os.urandom(_RESERVE_BYTES))
        train_job(job, shop)
    except TrainingStopped:
        crashpoints.reach("engine.worker.before_give_back")
        return EXIT_STOPPED if shop.store.give_back(job.id) else 0
    except FtopsError as error:
        _fail(job, error.message, shop)
    except OSError as error:
        where = Path(error.filename) if isinstance(error.filename, str) else shop.folder.root
        _fail(job, storage_error(error, where).message, shop)
    return 0


def _fail(job: JobRow, message: str, shop: Workshop) -> None:
    """Let the job fail; there is room for that also on a full disk."""
    shop.folder.job(job.id).reserve.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        traceback.print_exc()
    shop.store.fail(job.id, "server_error", hide_paths(message, shop.folder.root))


if __name__ == "__main__":
    sys.exit(main())
