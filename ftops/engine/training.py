"""One job from its files to a model, inside a worker process.

Whatever is written here may be written twice: a worker that is killed is followed by another one
that goes on from the trainer's checkpoint. Events have keys, steps have numbers, the model and the
results file have names that follow from the job's id.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ftops import crashpoints
from ftops.clock import Clock
from ftops.engine import legacy
from ftops.engine.classifying import classify_rows
from ftops.engine.documents import training_document
from ftops.engine.epochs import EpochModels, gather_epochs
from ftops.engine.generation import GetTrainer
from ftops.engine.hyperparameters import JobSettings, read_settings, resolved_values
from ftops.engine.ids import model_name, result_file_id
from ftops.engine.model_store import Manifest, fresh_dir, publish
from ftops.engine.rows import BadFile, TrainingRow, format_of, read_rows
from ftops.engine.settings import EngineFolder
from ftops.engine.steps import StepFile, StepsMissing, read_steps, render_results
from ftops.engine.store import FileRow, JobRow, JobStatus, ModelRow, NewEvent, Store
from ftops.engine.trainers.protocol import (
    CHECKPOINT_EVERY_S,
    Resolved,
    StepMetrics,
    Trainer,
    TrainingRequest,
    TrainingResult,
    TrainingStopped,
)
from ftops.errors import EngineError
from ftops.files import write_atomic

_METRIC_EVENTS = 100  # a job tells about that many steps; the results file has them all
_EPOCH_EVENTS = 50
_ASK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Workshop:
    """What a worker works with; `told_to_stop` turns true when its process is asked to end."""

    store: Store
    folder: EngineFolder
    get_trainer: GetTrainer
    clock: Clock
    told_to_stop: Callable[[], bool]
    checkpoint_every_s: float = CHECKPOINT_EVERY_S


@dataclass(frozen=True, slots=True)
class _Rows:
    training: Sequence[TrainingRow]
    validation: Sequence[TrainingRow]


def train_job(job: JobRow, shop: Workshop) -> None:
    """Bring a queued job to its end.

    Raises TrainingStopped when the job was cancelled, or the worker told to stop, on the way.
    """
    rows = _read_rows(job, shop.folder)
    settings = _read_settings(job, rows)
    trainer = shop.get_trainer(job.base)
    request = _build_request(job, settings, rows, shop)
    resolved = trainer.resolve(request)
    shown = _as_asked(job, settings, resolved)
    started = NewEvent("started", f"Training started: {_describe(job, shown)}.")
    crashpoints.reach("engine.worker.before_begin")
    if not shop.store.begin(job.id, resolved_values(shown), started):
        raise TrainingStopped
    crashpoints.reach("engine.worker.after_begin")
    result = _train(job, trainer, request, resolved, shop)
    extra: Mapping[str, float] = {}
    if settings.classes is not None and rows.validation:
        model = trainer.load(shop.folder.job(job.id).model)
        extra = classify_rows(model, rows.validation, settings.classes, _stop_signal(job, shop))
    _finish(job, rows, result, extra, shop)


def _read_settings(job: JobRow, rows: _Rows) -> JobSettings:
    settings = read_settings(job.hyperparameters)
    if legacy.is_legacy(job.id):
        return legacy.with_defaults(settings, len(rows.training))
    return settings


def _as_asked(job: JobRow, settings: JobSettings, resolved: Resolved) -> Resolved:
    """The figures in the units of the protocol by which the job came."""
    multiplier = settings.learning_rate_multiplier
    if legacy.is_legacy(job.id) and not isinstance(multiplier, str):
        return replace(resolved, learning_rate_multiplier=multiplier)
    return resolved


def _read_rows(job: JobRow, folder: EngineFolder) -> _Rows:
    place = folder.job(job.id)
    try:
        validation = read_rows(place.validation) if job.validation_file else ()
        return _Rows(list(read_rows(place.training)), list(validation))
    except BadFile as problem:
        raise EngineError(f"a file that was good before is bad now: {problem}") from problem


def _build_request(
    job: JobRow, settings: JobSettings, rows: _Rows, shop: Workshop
) -> TrainingRequest:
    base = job.base
    if job.model != job.base:
        parent = shop.store.models.find_any(job.model)
        if parent is None:
            raise EngineError(f"the model {job.model} is gone")
        base = str(shop.folder.model(parent.job_id, parent.step))
    weight = settings.prompt_loss_weight
    multiplier = settings.learning_rate_multiplier
    if legacy.is_legacy(job.id) and not isinstance(multiplier, str):
        multiplier *= legacy.LEGACY_RATE
    return TrainingRequest(
        base=base,
        training=[training_document(row, weight) for row in rows.training],
        validation=[training_document(row, weight) for row in rows.validation],
        n_epochs=settings.n_epochs,
        batch_size=settings.batch_size,
        learning_rate_multiplier=multiplier,
        seed=job.seed,
    )


def _describe(job: JobRow, resolved: Resolved) -> str:
    return (
        f"{job.model}, {resolved.n_epochs} epochs, {resolved.n_steps} steps, batch size "
        f"{resolved.batch_size}, learning rate multiplier {resolved.learning_rate_multiplier:g}"
    )


def _train(
    job: JobRow, trainer: Trainer, request: TrainingRequest, resolved: Resolved, shop: Workshop
) -> TrainingResult:
    place = shop.folder.job(job.id)
    epochs = EpochModels(place, resolved.n_epochs)

    def attempt() -> TrainingResult:
        with StepFile(place.steps) as steps:
            return trainer.train(
                request,
                resolved,
                into=fresh_dir(place.model),
                checkpoint=place.checkpoint,
                on_step=_Recorder(job, steps, resolved, shop).record,
                should_stop=_stop_signal(job, shop),
                on_epoch=epochs.keep,
                on_checkpoint=steps.sync,
                checkpoint_every_s=shop.checkpoint_every_s,
            )

    try:
        return attempt()
    except StepsMissing:
        place.checkpoint.unlink(missing_ok=True)
        place.steps.unlink(missing_ok=True)
        return attempt()


def _stop_signal(job: JobRow, shop: Workshop) -> Callable[[], bool]:
    """Whether to stop: the job runs no more, or the process shall end.

    Asks the store only now and then: trainers call this after every step.
    """
    asked_at = -math.inf

    def should_stop() -> bool:
        nonlocal asked_at
        if shop.told_to_stop():
            return True
        now = shop.clock.monotonic_s()
        if now - asked_at < _ASK_EVERY_S:
            return False
        asked_at = now
        return shop.store.jobs.status(job.id) is not JobStatus.RUNNING

    return should_stop


class _Recorder:
    """Writes down each step: all of them to the step file, some to the events."""

    def __init__(self, job: JobRow, steps: StepFile, resolved: Resolved, shop: Workshop) -> None:
        self._job = job
        self._steps = steps
        self._n_epochs = resolved.n_epochs
        self._shop = shop
        self._first: tuple[int, float] | None = None

    def record(self, metrics: StepMetrics) -> None:
        self._steps.add(metrics)
        crashpoints.reach("engine.worker.before_step_events")
        events = [*_due_metrics(metrics), *self._epoch_end(metrics)]
        if events:
            with self._shop.store.transaction():
                self._shop.store.tell(self._job.id, *events)
                self._estimate(metrics)
        crashpoints.reach("engine.worker.after_step")

    def _epoch_end(self, metrics: StepMetrics) -> list[NewEvent]:
        """What the last step of an epoch has to tell.

        It follows from the step alone: a worker that died in between is followed by one that
        tells the same.
        """
        if metrics.step * self._n_epochs % metrics.total_steps:
            return []
        every = math.ceil(self._n_epochs / _EPOCH_EVENTS)
        is_due = metrics.epoch % every == 0 or metrics.step == metrics.total_steps
        message = f"Epoch {metrics.epoch}/{self._n_epochs} completed."
        return [NewEvent(f"epoch:{metrics.epoch}", message)] if is_due else []

    def _estimate(self, metrics: StepMetrics) -> None:
        """Say when the job will end, by the speed since this worker began."""
        now = self._shop.clock.monotonic_s()
        if self._first is None:
            self._first = (metrics.step, now)
            return
        first_step, began = self._first
        step_s = (now - began) / (metrics.step - first_step)
        left_s = step_s * (metrics.total_steps - metrics.step)
        self._shop.store.jobs.set_estimate(self._job.id, self._shop.store.now() + round(left_s))


def _due_metrics(metrics: StepMetrics) -> list[NewEvent]:
    every = math.ceil(metrics.total_steps / _METRIC_EVENTS)
    is_due = metrics.step % every == 0 or metrics.step in (1, metrics.total_steps)
    return [_metrics_event(metrics)] if is_due or metrics.valid_loss is not None else []


def _metrics_event(metrics: StepMetrics) -> NewEvent:
    message = f"Step {metrics.step}/{metrics.total_steps}: training loss={metrics.train_loss:.4f}"
    figures = {
        "train_loss": metrics.train_loss,
        "train_mean_token_accuracy": metrics.train_token_accuracy,
        "valid_loss": metrics.valid_loss,
        "valid_mean_token_accuracy": metrics.valid_token_accuracy,
    }
    if metrics.valid_loss is not None:
        message += f", validation loss={metrics.valid_loss:.4f}"
    known = {name: round(value, 6) for name, value in figures.items() if value is not None}
    data = {"step": metrics.step, "total_steps": metrics.total_steps, **known}
    return NewEvent(f"step:{metrics.step}", message, type="metrics", data=data)


def _finish(
    job: JobRow, rows: _Rows, result: TrainingResult, extra: Mapping[str, float], shop: Workshop
) -> None:
    """Put model and results in their places, then let the job succeed in one transaction."""
    store, place = shop.store, shop.folder.job(job.id)
    name = _name_model(job, store)
    manifest = Manifest(
        name=name,
        base=job.base,
        parent=job.model,
        job_id=job.id,
        row_format=format_of(rows.training[0]),
        created_at=store.now(),
        trained_tokens=result.trained_tokens,
    )
    crashpoints.reach("engine.worker.before_publish")
    checkpoints = gather_epochs(place, manifest)
    publish(place.model, shop.folder.model(job.id), manifest)
    crashpoints.reach("engine.worker.after_publish")
    results = _write_results(job, place.steps, extra, shop)
    crashpoints.reach("engine.worker.after_results")
    model = ModelRow(name, job.id, job.base, job.model, manifest.created_at)
    events = [
        NewEvent("model", f"New fine-tuned model created: {name}"),
        NewEvent("succeeded", "The job has successfully completed."),
    ]
    tokens = result.trained_tokens
    if not store.succeed(job.id, model, results, tokens, *events, checkpoints=checkpoints):
        fresh_dir(shop.folder.model(job.id)).rmdir()
        shop.folder.file(results.id).unlink(missing_ok=True)
        raise TrainingStopped
    crashpoints.reach("engine.worker.after_success")


def _name_model(job: JobRow, store: Store) -> str:
    if legacy.is_legacy(job.id):
        return legacy.free_model_name(
            job, store.now(), lambda name: store.models.find_any(name) is not None
        )
    return model_name(job.base, job.suffix, job.id)


def _write_results(job: JobRow, steps: Path, extra: Mapping[str, float], shop: Workshop) -> FileRow:
    rows = read_steps(steps)
    name, text = "step_metrics.csv", render_results(rows, extra)
    if legacy.is_legacy(job.id):
        columns = legacy.result_columns(validated=job.validation_file is not None)
        name = legacy.RESULTS_NAME
        text = render_results(rows, legacy.result_figures(extra), columns)
    content = text.encode()
    file_id = result_file_id(job.id)
    write_atomic(shop.folder.file(file_id), content)
    return FileRow(file_id, name, "fine-tune-results", len(content), shop.store.now())
