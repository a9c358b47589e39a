"""The process that trains one job: `python -m ftops.engine.worker --folder F --job ID`.

It holds the job's lock while it runs, so that a restarted engine detects it, and it finishes the
job without an engine. On SIGTERM it writes a checkpoint, queues the job again and exits; when its
job is paused it does the same, and the job is paused. Its output goes to the job's log.

Every step may happen twice: a worker that is killed is followed by another one, which continues
from the trainer's checkpoint. So events have keys, training steps have numbers, and the names of
the model and of the results file follow from the job's id.
"""

import argparse
import contextlib
import faulthandler
import math
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout

from ftops import crashpoints
from ftops.clock import Clock, SystemClock
from ftops.engine import legacy
from ftops.engine.classification_metrics import measure_classification
from ftops.engine.generation import GetTrainer
from ftops.engine.hyperparameters import JobHyperparameters, read_hyperparameters, resolved_values
from ftops.engine.ids import model_name, result_file_id
from ftops.engine.model_store import (
    EpochCheckpoints,
    ModelManifest,
    collect_epoch_checkpoints,
    make_empty_dir,
    publish_folder,
    write_manifest,
)
from ftops.engine.settings import EngineFolder, hide_paths
from ftops.engine.step_metrics import (
    MetricsRecorder,
    StepMetricsFile,
    StepsMissingError,
    read_steps,
    render_results,
    result_columns,
)
from ftops.engine.store import FileRow, JobRow, JobStatus, ModelRow, NewEvent, Store
from ftops.engine.tiny.config import PARAMETER_COUNTS
from ftops.engine.trainer import (
    CHECKPOINT_EVERY_S,
    ResolvedHyperparameters,
    Trainer,
    TrainingHooks,
    TrainingRequest,
    TrainingResult,
    TrainingStopped,
)
from ftops.engine.trainer_registry import get_trainer as get_known_trainer
from ftops.engine.training_file import (
    InvalidTrainingFile,
    TrainingRow,
    get_request_format,
    read_rows,
)
from ftops.engine.worker_process import EXIT_BUSY, EXIT_STOPPED
from ftops.errors import EngineError, FtopsError
from ftops.files import PRIVATE_FILE, storage_error, write_atomic
from ftops.records import Method

_STATUS_INTERVAL_S = 0.1  # between two reads of the job's status


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """The dependencies of a worker; `is_stopping` turns true after a signal to its process."""

    store: Store
    folder: EngineFolder
    get_trainer: GetTrainer
    clock: Clock
    is_stopping: Callable[[], bool]
    checkpoint_every_s: float = CHECKPOINT_EVERY_S


@dataclass(frozen=True, slots=True)
class _Rows:
    training: Sequence[TrainingRow]
    validation: Sequence[TrainingRow]


def train_job(job: JobRow, context: WorkerContext) -> None:
    """Train a queued job and publish its model and results.

    Raises TrainingStopped when the job is paused or cancelled, or the worker must stop.
    """
    rows = _read_rows(job, context.folder)
    settings = _read_settings(job, rows)
    trainer = context.get_trainer(job.base)
    request = _build_request(job, settings, rows, context)
    resolved = trainer.resolve(request)
    shown = _convert_to_protocol(job, settings, resolved)
    values = resolved_values(shown)
    data = {"model": job.model, "n_steps": shown.n_steps, **values}
    started = NewEvent("started", f"Training started: {_describe(job, shown)}.", data=data)
    crashpoints.reach("engine.worker.before_begin")
    if not context.store.start(job.id, values, started, *_warnings(job)):
        raise TrainingStopped
    crashpoints.reach("engine.worker.after_begin")
    result = _train(job, trainer, request, resolved, context)
    if result.steps < resolved.n_steps:
        context.store.add_events(job.id, _stopped_early(result, resolved))
    extra: Mapping[str, float] = {}
    if settings.classes is not None and rows.validation:
        model = trainer.load(context.folder.job(job.id).model)
        extra = measure_classification(
            model, rows.validation, settings.classes, _stop_signal(job, context)
        )
    _finish(job, rows, result, extra, context)


def _warnings(job: JobRow) -> Sequence[NewEvent]:
    if job.method is not Method.DPO or job.model not in PARAMETER_COUNTS:
        return []
    message = (
        f"DPO adjusts a trained model, and {job.model} has random weights: train it on the "
        "preferred answers first (method supervised), and start the DPO job from that model."
    )
    return [NewEvent("untrained_base", message, level="warn")]


def _stopped_early(result: TrainingResult, resolved: ResolvedHyperparameters) -> NewEvent:
    message = (
        f"Training stopped early, after step {result.steps} of {resolved.n_steps}: the last "
        "evaluations were not better. The model is that of the best one."
    )
    return NewEvent("stopped_early", message, data={"step": result.steps})


def _read_settings(job: JobRow, rows: _Rows) -> JobHyperparameters:
    settings = read_hyperparameters(job.hyperparameters)
    if legacy.is_legacy(job.id):
        return legacy.with_defaults(settings, len(rows.training))
    return settings


def _convert_to_protocol(
    job: JobRow, settings: JobHyperparameters, resolved: ResolvedHyperparameters
) -> ResolvedHyperparameters:
    """The hyperparameters in the units of the protocol that created the job."""
    multiplier = settings.learning_rate_multiplier
    if legacy.is_legacy(job.id) and not isinstance(multiplier, str):
        return replace(resolved, learning_rate_multiplier=multiplier)
    return resolved


def _read_rows(job: JobRow, folder: EngineFolder) -> _Rows:
    place = folder.job(job.id)
    try:
        validation = read_rows(place.validation) if job.validation_file else ()
        return _Rows(list(read_rows(place.training)), list(validation))
    except InvalidTrainingFile as problem:
        raise EngineError(f"a file has changed since its validation: {problem}") from problem


def _build_request(
    job: JobRow, settings: JobHyperparameters, rows: _Rows, context: WorkerContext
) -> TrainingRequest:
    base = job.base
    if job.model != job.base:
        parent = context.store.models.find_any(job.model)
        if parent is None:
            raise EngineError(f"the model {job.model} is not stored any more")
        base = str(context.folder.model(parent.job_id, parent.step))
    multiplier = settings.learning_rate_multiplier
    if legacy.is_legacy(job.id) and not isinstance(multiplier, str):
        settings = replace(settings, learning_rate_multiplier=multiplier * legacy.LEGACY_RATE)
    return replace(settings.make_request(base, rows.training, rows.validation), seed=job.seed)


def _describe(job: JobRow, resolved: ResolvedHyperparameters) -> str:
    return (
        f"{job.model}, {resolved.n_epochs} epochs, {resolved.n_steps} steps, batch size "
        f"{resolved.batch_size}, "
        + (
            f"learning rate multiplier {resolved.learning_rate_multiplier:g}"
            if resolved.learning_rate is None
            else f"learning rate {resolved.learning_rate:g}"
        )
        + ("" if resolved.beta is None else f", beta {resolved.beta:g}")
    )


def _train(
    job: JobRow,
    trainer: Trainer,
    request: TrainingRequest,
    resolved: ResolvedHyperparameters,
    context: WorkerContext,
) -> TrainingResult:
    place = context.folder.job(job.id)
    epochs = EpochCheckpoints(place, resolved.n_epochs, context.clock)

    def recorder(steps: StepMetricsFile) -> MetricsRecorder:
        return MetricsRecorder(job.id, resolved.n_epochs, steps, context.store, context.clock)

    def attempt() -> TrainingResult:
        with StepMetricsFile(place.steps) as steps:
            record = recorder(steps)
            hooks = TrainingHooks(
                on_step=record.record,
                should_stop=_stop_signal(job, context),
                on_epoch=epochs.write,
                on_checkpoint=steps.sync,
                on_samples=record.record_samples,
            )
            return trainer.train(
                request,
                resolved,
                hooks,
                into=make_empty_dir(place.model),
                checkpoint=place.checkpoint,
                checkpoint_every_s=context.checkpoint_every_s,
            )

    try:
        return attempt()
    except StepsMissingError:
        place.checkpoint.unlink(missing_ok=True)
        place.steps.unlink(missing_ok=True)
        return attempt()


def _stop_signal(job: JobRow, context: WorkerContext) -> Callable[[], bool]:
    """Whether to stop: the job no longer runs, or the process must exit.

    The status is read at intervals: trainers call this after every step.
    """
    read_at_s = -math.inf

    def should_stop() -> bool:
        nonlocal read_at_s
        if context.is_stopping():
            return True
        now = context.clock.monotonic_s()
        if now - read_at_s < _STATUS_INTERVAL_S:
            return False
        read_at_s = now
        return context.store.jobs.find_status(job.id) is not JobStatus.RUNNING

    return should_stop


def _finish(
    job: JobRow,
    rows: _Rows,
    result: TrainingResult,
    extra: Mapping[str, float],
    context: WorkerContext,
) -> None:
    """Publish the model and the results, then finish the job in one transaction."""
    store, place = context.store, context.folder.job(job.id)
    name = _name_model(job, store)
    manifest = ModelManifest(
        name=name,
        base=job.base,
        parent=job.model,
        job_id=job.id,
        row_format=get_request_format(rows.training[0]),
        created_at=store.now(),
        trained_tokens=result.trained_tokens,
    )
    crashpoints.reach("engine.worker.before_publish")
    checkpoints = collect_epoch_checkpoints(place, manifest)
    write_manifest(place.model, manifest)
    publish_folder(place.model, context.folder.model(job.id))
    crashpoints.reach("engine.worker.after_publish")
    results = _write_results(job, place.steps, extra, context)
    crashpoints.reach("engine.worker.after_results")
    model = ModelRow(name, job.id, job.base, job.model, manifest.created_at)
    events = [
        NewEvent("model", f"New fine-tuned model created: {name}", data={"fine_tuned_model": name}),
        NewEvent(
            "succeeded",
            "The job has successfully completed.",
            data={"trained_tokens": result.trained_tokens, "result_file": results.id},
        ),
    ]
    tokens = result.trained_tokens
    if not store.succeed(job.id, [*checkpoints, model], results, tokens, *events):
        make_empty_dir(context.folder.model(job.id)).rmdir()
        context.folder.file(results.id).unlink(missing_ok=True)
        raise TrainingStopped
    crashpoints.reach("engine.worker.after_success")


def _name_model(job: JobRow, store: Store) -> str:
    if legacy.is_legacy(job.id):
        return legacy.free_model_name(
            job, store.now(), lambda name: store.models.find_any(name) is not None
        )
    return model_name(job.base, job.owner, job.suffix, job.id)


def _write_results(
    job: JobRow, steps: Path, extra: Mapping[str, float], context: WorkerContext
) -> FileRow:
    rows = read_steps(steps)
    name, columns = "step_metrics.csv", result_columns(rows, by_preference=job.method is Method.DPO)
    if legacy.is_legacy(job.id):
        columns = legacy.result_columns(validated=job.validation_file is not None)
        name, extra = legacy.RESULTS_NAME, legacy.result_metrics(extra)
    content = render_results(rows, extra, columns).encode()
    file_id = result_file_id(job.id)
    write_atomic(context.folder.file(file_id), content)
    return FileRow(file_id, name, "fine-tune-results", len(content), context.store.now())


_RESERVE_BYTES = 128 << 10
_LOCK_WAIT_S = 5.0  # an engine that checks for a worker holds the lock for a moment


def main(arguments: Sequence[str] | None = None, get_trainer: GetTrainer | None = None) -> int:
    """Train the job; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m ftops.engine.worker", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="the engine's folder")
    parser.add_argument("--job", required=True, help="the id of a queued job")
    parser.add_argument("--checkpoint-every-s", type=float, default=CHECKPOINT_EVERY_S)
    options = parser.parse_args(arguments)
    folder = EngineFolder(options.folder)
    faulthandler.enable()  # a crash in native code leaves a traceback in the log
    stop = _stop_on_signals()
    try:
        lock = folder.job(options.job).lock
        with FileLock(lock, timeout=_LOCK_WAIT_S, mode=PRIVATE_FILE):
            get_trainer = get_trainer or partial(get_known_trainer, folder=folder)
            return _work(options.job, folder, get_trainer, stop, options.checkpoint_every_s)
    except Timeout:
        print(f"another worker holds the lock of {options.job}", file=sys.stderr)  # noqa: T201
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
        context = WorkerContext(store, folder, get_trainer, clock, stop.is_set, checkpoint_every_s)
        return _run_job(job, context)
    finally:
        store.close()


def _run_job(job: JobRow, context: WorkerContext) -> int:
    try:
        context.folder.job(job.id).reserve.write_bytes(os.urandom(_RESERVE_BYTES))
        train_job(job, context)
    except TrainingStopped:
        crashpoints.reach("engine.worker.before_give_back")
        return EXIT_STOPPED if context.store.release(job.id) else 0
    except FtopsError as error:
        _fail(job, f"{error.message}. {error.hint}" if error.hint else error.message, context)
    except OSError as error:
        where = Path(error.filename) if isinstance(error.filename, str) else context.folder.root
        _fail(job, storage_error(error, where).message, context)
    return 0


def _fail(job: JobRow, message: str, context: WorkerContext) -> None:
    """Fail the job; deleting the reserve allows that on a full disk."""
    context.folder.job(job.id).reserve.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        traceback.print_exc()
    context.store.fail(job.id, "server_error", hide_paths(message, context.folder.root))


if __name__ == "__main__":
    sys.exit(main())
