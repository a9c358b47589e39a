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
from ftops.engine.documents import training_document, training_pair
from ftops.engine.epochs import EpochModels, gather_epochs
from ftops.engine.generation import GetTrainer
from ftops.engine.hyperparameters import JobSettings, read_settings, resolved_values
from ftops.engine.ids import model_name, result_file_id
from ftops.engine.model_store import Manifest, fresh_dir, publish, write_manifest
from ftops.engine.recording import Recorder
from ftops.engine.rows import BadFile, PreferenceRow, TrainingRow, read_rows, spoken_format
from ftops.engine.settings import EngineFolder
from ftops.engine.steps import StepFile, StepsMissing, read_steps, render_results, result_columns
from ftops.engine.store import FileRow, JobRow, JobStatus, ModelRow, NewEvent, Store
from ftops.engine.trainer import (
    CHECKPOINT_EVERY_S,
    Document,
    Pair,
    Resolved,
    Trainer,
    TrainingRequest,
    TrainingResult,
    TrainingStopped,
)
from ftops.errors import EngineError
from ftops.files import write_atomic
from ftops.records import Method

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
    if not shop.store.begin(job.id, resolved_values(shown), started, *_warnings(job)):
        raise TrainingStopped
    crashpoints.reach("engine.worker.after_begin")
    result = _train(job, trainer, request, resolved, shop)
    extra: Mapping[str, float] = {}
    if settings.classes is not None and rows.validation:
        model = trainer.load(shop.folder.job(job.id).model)
        extra = classify_rows(model, rows.validation, settings.classes, _stop_signal(job, shop))
    _finish(job, rows, result, extra, shop)


def _warnings(job: JobRow) -> Sequence[NewEvent]:
    if job.method is not Method.DPO or job.model != job.base:
        return []
    message = (
        f"Preference training moves what a model would say already, and {job.model} was never "
        "taught to say anything: tune it on the preferred answers first (method supervised), and "
        "start the preference job from that model."
    )
    return [NewEvent("untaught", message, level="warn")]


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
    multiplier = settings.learning_rate_multiplier
    if legacy.is_legacy(job.id) and not isinstance(multiplier, str):
        multiplier *= legacy.LEGACY_RATE
    return TrainingRequest(
        base=base,
        training=_to_documents(rows.training, settings),
        validation=_to_documents(rows.validation, settings),
        n_epochs=settings.n_epochs,
        batch_size=settings.batch_size,
        learning_rate_multiplier=multiplier,
        seed=job.seed,
        beta=settings.beta,
    )


def _to_documents(
    rows: Sequence[TrainingRow], settings: JobSettings
) -> Sequence[Document] | Sequence[Pair]:
    pairs = [training_pair(row) for row in rows if isinstance(row, PreferenceRow)]
    weight = settings.prompt_loss_weight
    return pairs or [
        training_document(row, weight) for row in rows if not isinstance(row, PreferenceRow)
    ]


def _describe(job: JobRow, resolved: Resolved) -> str:
    return (
        f"{job.model}, {resolved.n_epochs} epochs, {resolved.n_steps} steps, batch size "
        f"{resolved.batch_size}, learning rate multiplier {resolved.learning_rate_multiplier:g}"
        + ("" if resolved.beta is None else f", beta {resolved.beta:g}")
    )


def _train(
    job: JobRow, trainer: Trainer, request: TrainingRequest, resolved: Resolved, shop: Workshop
) -> TrainingResult:
    place = shop.folder.job(job.id)
    epochs = EpochModels(place, resolved.n_epochs, shop.clock)

    def recorder(steps: StepFile) -> Recorder:
        return Recorder(job.id, resolved.n_epochs, steps, shop.store, shop.clock)

    def attempt() -> TrainingResult:
        with StepFile(place.steps) as steps:
            return trainer.train(
                request,
                resolved,
                into=fresh_dir(place.model),
                checkpoint=place.checkpoint,
                on_step=recorder(steps).record,
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
        row_format=spoken_format(rows.training[0]),
        created_at=store.now(),
        trained_tokens=result.trained_tokens,
    )
    crashpoints.reach("engine.worker.before_publish")
    checkpoints = gather_epochs(place, manifest)
    write_manifest(place.model, manifest)
    publish(place.model, shop.folder.model(job.id))
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
    return model_name(job.base, job.owner, job.suffix, job.id)


def _write_results(job: JobRow, steps: Path, extra: Mapping[str, float], shop: Workshop) -> FileRow:
    rows = read_steps(steps)
    name, columns = "step_metrics.csv", result_columns(by_preference=job.method is Method.DPO)
    if legacy.is_legacy(job.id):
        columns = legacy.result_columns(validated=job.validation_file is not None)
        name, extra = legacy.RESULTS_NAME, legacy.result_figures(extra)
    content = render_results(rows, extra, columns).encode()
    file_id = result_file_id(job.id)
    write_atomic(shop.folder.file(file_id), content)
    return FileRow(file_id, name, "fine-tune-results", len(content), shop.store.now())
