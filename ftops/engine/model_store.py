"""The folders of fine-tuned models and of their checkpoints, each with a manifest.

models/<job id>/manifest.json          describes the model
models/<job id>/…                      the trainer's files
models/<job id>/checkpoints/step-N/…   the same for the checkpoint after step N

A job that succeeds has checkpoints of its last three epochs beside its model. One that fails or is
cancelled has no model, but the last three checkpoints that were written. Until then they are in the
job's folder, so that a worker that is killed while it publishes them loses none.
"""

import json
import math
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ftops import crashpoints
from ftops.clock import Clock
from ftops.engine import legacy
from ftops.engine.ids import checkpoint_name, model_name
from ftops.engine.settings import CHECKPOINTS, EngineFolder, JobFolder, step_folder
from ftops.engine.step_metrics import COLUMNS, read_steps
from ftops.engine.store import JobRow, ModelRow, Store
from ftops.engine.trainer import StepMetrics
from ftops.engine.training_file import get_request_format, read_rows
from ftops.errors import EngineError
from ftops.files import make_private_dir, rename_dir, storage_error, sync_dir, write_atomic
from ftops.records import RowFormat

_MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class ModelManifest:
    """The description of a model in its folder."""

    name: str
    base: str
    parent: str
    job_id: str
    row_format: RowFormat
    created_at: int
    trained_tokens: int


def read_manifest(folder: Path) -> ModelManifest:
    """Read the manifest of a folder; EngineError when it is missing or damaged."""
    try:
        values = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        return ModelManifest(**{**values, "row_format": RowFormat(values["row_format"])})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise EngineError(f"{folder}: the model cannot be read: {error}") from error


def write_manifest(folder: Path, manifest: ModelManifest) -> None:
    write_atomic(folder / _MANIFEST, json.dumps(asdict(manifest), indent=2).encode() + b"\n")


def publish_folder(temporary: Path, final: Path) -> None:
    """Flush the files of a model and move their folder to `final`.

    An existing folder at `final` is replaced: a worker was killed before it recorded that model.
    """
    make_private_dir(final.parent)
    try:
        for path in temporary.rglob("*"):
            if path.is_file():
                _flush(path)
            else:
                sync_dir(path)
        if final.exists():
            shutil.rmtree(final)
    except OSError as error:
        raise storage_error(error, final) from error
    rename_dir(temporary, final)


def make_empty_dir(path: Path) -> Path:
    """Create an empty folder at `path`; replaces an existing one."""
    shutil.rmtree(path, ignore_errors=True)
    return make_private_dir(path)


def link_file(source: Path, target: Path) -> None:
    """Make `target` a hard link to `source`, or a copy if links are not possible."""
    try:
        target.hardlink_to(source)
    except OSError:
        _copy_file(source, target)


def _copy_file(source: Path, target: Path) -> None:
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        target.unlink(missing_ok=True)
        raise storage_error(error, target) from error


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)  # Windows flushes only files open for writing
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


KEPT_EPOCHS = 3
_SHARE_OF_TIME = 0.05  # for writing checkpoints of epochs before the last three
# Columns of the metrics file, and the API's names.
_METRICS = {
    "train_loss": "train_loss",
    "train_accuracy": "train_mean_token_accuracy",
    "valid_loss": "valid_loss",
    "valid_mean_token_accuracy": "valid_mean_token_accuracy",
    "full_valid_loss": "full_valid_loss",
    "full_valid_mean_token_accuracy": "full_valid_mean_token_accuracy",
}


class EpochCheckpoints:
    """Writes checkpoints at the ends of epochs: always for the job's last three.

    Earlier ones serve a job that fails or is cancelled; writing them takes about 5 % of the time.
    """

    def __init__(self, folder: JobFolder, n_epochs: int, clock: Clock) -> None:
        self._folder = folder
        self._first = n_epochs - KEPT_EPOCHS + 1
        self._clock = clock
        self._due_s = -math.inf

    def write(self, metrics: StepMetrics, write: Callable[[Path], None]) -> None:
        """Write the checkpoint if it is due; a resumed job may write it again."""
        began_s = self._clock.monotonic_s()
        if metrics.epoch < self._first and began_s < self._due_s:
            return
        self._write(self._folder.epochs / step_folder(metrics.step), write)
        for step in _list_steps(self._folder)[:-KEPT_EPOCHS]:
            shutil.rmtree(self._folder.epochs / step_folder(step), ignore_errors=True)
        ended_s = self._clock.monotonic_s()
        self._due_s = ended_s + (ended_s - began_s) / _SHARE_OF_TIME

    def _write(self, final: Path, write: Callable[[Path], None]) -> None:
        temporary = make_empty_dir(self._folder.epochs / ".writing")
        try:
            write(temporary)
            if final.exists():
                shutil.rmtree(final)
        except OSError as error:
            raise storage_error(error, final) from error
        crashpoints.reach("engine.worker.before_epoch_rename")
        rename_dir(temporary, final)
        crashpoints.reach("engine.worker.after_epoch_rename")


def _list_steps(job_folder: JobFolder) -> list[int]:
    """The steps with a checkpoint, ascending."""
    folder = job_folder.epochs
    names = [path.name for path in folder.iterdir()] if folder.exists() else []
    prefix = step_folder(0)[:-1]
    return sorted(int(name.removeprefix(prefix)) for name in names if name.startswith(prefix))


def publish_epoch_checkpoints(job: JobRow, folder: EngineFolder, store: Store) -> None:
    """Publish the checkpoints of a job that failed or was cancelled; once."""
    job_folder = folder.job(job.id)
    if legacy.is_legacy(job.id) or not _list_steps(job_folder):
        return
    manifest = ModelManifest(
        name=model_name(job.base, job.owner, job.suffix, job.id),
        base=job.base,
        parent=job.model,
        job_id=job.id,
        row_format=get_request_format(next(read_rows(job_folder.training))),
        created_at=store.now(),
        trained_tokens=0,  # replaced for each checkpoint
    )
    make_empty_dir(job_folder.model)
    rows = collect_epoch_checkpoints(job_folder, manifest)
    if not rows or any(store.models.find_any(row.name) for row in rows):
        return
    publish_folder(job_folder.model, folder.model(job.id))
    with store.transaction():
        for row in rows:
            store.models.add(replace(row, owner=job.owner))


def collect_epoch_checkpoints(job_folder: JobFolder, model: ModelManifest) -> Sequence[ModelRow]:
    """Link the checkpoints into the folder of the model; returns their rows."""
    rows: list[ModelRow] = []
    for cells in read_steps(job_folder.steps):
        line = dict(zip(COLUMNS, cells, strict=True))
        step = int(line["step"])
        source = job_folder.epochs / step_folder(step)
        if not source.is_dir():
            continue
        manifest = replace(
            model,
            name=checkpoint_name(model.name, step),
            created_at=int(source.stat().st_mtime),
            trained_tokens=int(line["elapsed_tokens"]),
        )
        _link_checkpoint(source, job_folder.model / CHECKPOINTS / step_folder(step), manifest)
        rows.append(_row(manifest, step, line))
    return rows


def _link_checkpoint(source: Path, target: Path, manifest: ModelManifest) -> None:
    make_private_dir(target)
    for path in source.iterdir():
        (target / path.name).unlink(missing_ok=True)
        link_file(path, target / path.name)
    write_manifest(target, manifest)


def _row(manifest: ModelManifest, step: int, line: Mapping[str, str]) -> ModelRow:
    metrics = {name: float(line[column]) for column, name in _METRICS.items() if line[column]}
    return ModelRow(
        name=manifest.name,
        job_id=manifest.job_id,
        base=manifest.base,
        parent=manifest.parent,
        created_at=manifest.created_at,
        step=step,
        metrics=metrics,
    )
