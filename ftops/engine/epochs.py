"""The models at the ends of a job's last epochs: kept while it trains, published with its model.

Each is written aside and renamed. They stay in the job's folder until the job has ended, so that a
worker that is killed while it publishes leaves the next one all of them.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ftops import crashpoints
from ftops.engine.ids import checkpoint_name
from ftops.engine.model_store import Manifest, fresh_dir, link_file, write_manifest
from ftops.engine.settings import CHECKPOINTS, JobFolder, step_folder
from ftops.engine.steps import COLUMNS, read_steps
from ftops.engine.store import ModelRow
from ftops.engine.trainers.protocol import StepMetrics
from ftops.files import make_private_dir, rename_dir, storage_error

KEPT_EPOCHS = 3
# The API's names of what the step file has.
_METRICS = {
    "train_loss": "train_loss",
    "train_accuracy": "train_mean_token_accuracy",
    "valid_loss": "valid_loss",
    "valid_mean_token_accuracy": "valid_mean_token_accuracy",
}


class EpochModels:
    """Keeps the models of the last epochs; earlier ones are never written."""

    def __init__(self, place: JobFolder, n_epochs: int) -> None:
        self._place = place
        self._first = n_epochs - KEPT_EPOCHS + 1

    def keep(self, metrics: StepMetrics, write: Callable[[Path], None]) -> None:
        """Write the model down, if its epoch is one of the last; again after a resume."""
        if metrics.epoch < self._first:
            return
        final = self._place.epochs / step_folder(metrics.step)
        temporary = fresh_dir(self._place.epochs / ".writing")
        try:
            write(temporary)
            if final.exists():
                shutil.rmtree(final)
        except OSError as error:
            raise storage_error(error, final) from error
        crashpoints.reach("engine.worker.before_epoch_rename")
        rename_dir(temporary, final)
        crashpoints.reach("engine.worker.after_epoch_rename")


def gather_epochs(place: JobFolder, model: Manifest) -> Sequence[ModelRow]:
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


def _lay(source: Path, target: Path, manifest: Manifest) -> None:
    make_private_dir(target)
    for path in source.iterdir():
        (target / path.name).unlink(missing_ok=True)
        link_file(path, target / path.name)
    write_manifest(target, manifest)


def _row(manifest: Manifest, step: int, line: Mapping[str, str]) -> ModelRow:
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
