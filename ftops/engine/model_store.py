"""The folders of fine-tuned models: published whole, described by a manifest, removed when unused.

models/<job id>/manifest.json     what the model is
models/<job id>/…                 the trainer's own files
models/<job id>/checkpoints/step-N/…   the same for the model as it was after step N; of a job
                                  that failed or was cancelled there is nothing else
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
    """What a model folder says about itself."""

    name: str
    base: str
    parent: str
    job_id: str
    row_format: RowFormat
    created_at: int
    trained_tokens: int


def read_manifest(folder: Path) -> ModelManifest:
    """The folder's manifest; EngineError when there is none or it is not one."""
    try:
        values = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        return ModelManifest(**{**values, "row_format": RowFormat(values["row_format"])})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise EngineError(f"{folder}: not a readable model: {error}") from error


def write_manifest(folder: Path, manifest: ModelManifest) -> None:
    write_atomic(folder / _MANIFEST, json.dumps(asdict(manifest), indent=2).encode() + b"\n")


def publish_folder(temporary: Path, final: Path) -> None:
    """Flush the trained files, the manifest among them, and give them their final place.

    What stands at `final` is the leftover of a worker that died before it could say so.
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
    """An empty folder at `path`, whatever stood there."""
    shutil.rmtree(path, ignore_errors=True)
    return make_private_dir(path)


def link_file(source: Path, target: Path) -> None:
    """Let `target` hold what `source` holds, also after `source` is gone."""
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
    descriptor = os.open(path, os.O_RDWR)  # Windows refuses to flush what is only read
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


KEPT_EPOCHS = 3
_SHARE_OF_TIME = 0.05  # that writing the models of earlier epochs may take
# The API's names of what the step file has.
_METRICS = {
    "train_loss": "train_loss",
    "train_accuracy": "train_mean_token_accuracy",
    "valid_loss": "valid_loss",
    "valid_mean_token_accuracy": "valid_mean_token_accuracy",
    "full_valid_loss": "full_valid_loss",
    "full_valid_mean_token_accuracy": "full_valid_mean_token_accuracy",
}


class EpochCheckpoints:
    """Keeps the models of the latest epochs: of the job's last ones always, of earlier ones (for
    nobody knows whether the job will come to its end) as long as that takes 5 % of the time."""

    def __init__(self, place: JobFolder, n_epochs: int, clock: Clock) -> None:
        self._place = place
        self._first = n_epochs - KEPT_EPOCHS + 1
        self._clock = clock
        self._due_s = -math.inf

    def keep(self, metrics: StepMetrics, write: Callable[[Path], None]) -> None:
        """Write the model down, if it is due; again after a resume."""
        began_s = self._clock.monotonic_s()
        if metrics.epoch < self._first and began_s < self._due_s:
            return
        self._write(self._place.epochs / step_folder(metrics.step), write)
        for step in _list_steps(self._place)[:-KEPT_EPOCHS]:
            shutil.rmtree(self._place.epochs / step_folder(step), ignore_errors=True)
        ended_s = self._clock.monotonic_s()
        self._due_s = ended_s + (ended_s - began_s) / _SHARE_OF_TIME

    def _write(self, final: Path, write: Callable[[Path], None]) -> None:
        temporary = make_empty_dir(self._place.epochs / ".writing")
        try:
            write(temporary)
            if final.exists():
                shutil.rmtree(final)
        except OSError as error:
            raise storage_error(error, final) from error
        crashpoints.reach("engine.worker.before_epoch_rename")
        rename_dir(temporary, final)
        crashpoints.reach("engine.worker.after_epoch_rename")


def _list_steps(place: JobFolder) -> list[int]:
    """After which steps there is a model, in order."""
    names = [path.name for path in place.epochs.iterdir()] if place.epochs.exists() else []
    prefix = step_folder(0)[:-1]
    return sorted(int(name.removeprefix(prefix)) for name in names if name.startswith(prefix))


def publish_epoch_checkpoints(job: JobRow, folder: EngineFolder, store: Store) -> None:
    """Make models of what a job had learned when it failed or was cancelled; once."""
    place = folder.job(job.id)
    if legacy.is_legacy(job.id) or not _list_steps(place):
        return
    manifest = ModelManifest(
        name=model_name(job.base, job.owner, job.suffix, job.id),
        base=job.base,
        parent=job.model,
        job_id=job.id,
        row_format=get_request_format(next(read_rows(place.training))),
        created_at=store.now(),
        trained_tokens=0,  # each says its own
    )
    make_empty_dir(place.model)
    rows = collect_epoch_checkpoints(place, manifest)
    if not rows or any(store.models.find_any(row.name) for row in rows):
        return
    publish_folder(place.model, folder.model(job.id))
    with store.transaction():
        for row in rows:
            store.models.add(replace(row, owner=job.owner))


def collect_epoch_checkpoints(place: JobFolder, model: ModelManifest) -> Sequence[ModelRow]:
    """Lay the epochs' models into the folder of the finished one; what is to be told about them."""
    rows: list[ModelRow] = []
    for cells in read_steps(place.steps):
        line = dict(zip(COLUMNS, cells, strict=True))
        step = int(line["step"])
        source = place.epochs / step_folder(step)
        if not source.is_dir():
            continue
        manifest = replace(
            model,
            name=checkpoint_name(model.name, step),
            created_at=int(source.stat().st_mtime),
            trained_tokens=int(line["elapsed_tokens"]),
        )
        _lay(source, place.model / CHECKPOINTS / step_folder(step), manifest)
        rows.append(_row(manifest, step, line))
    return rows


def _lay(source: Path, target: Path, manifest: ModelManifest) -> None:
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
