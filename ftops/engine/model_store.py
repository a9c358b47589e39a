"""The folders of fine-tuned models: published whole, described by a manifest, removed when unused.

models/<job id>/manifest.json     what the model is
models/<job id>/…                 the trainer's own files
models/<job id>/checkpoints/step-N/…   the same for the model as it was after step N; of a job
                                  that failed or was cancelled there is nothing else
"""

import contextlib
import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from ftops import crashpoints
from ftops.engine.settings import CHECKPOINTS, EngineFolder
from ftops.engine.store import Store
from ftops.errors import EngineError
from ftops.files import make_private_dir, rename_dir, storage_error, sync_dir, write_atomic
from ftops.records import RowFormat

_MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a model folder says about itself."""

    name: str
    base: str
    parent: str
    job_id: str
    row_format: RowFormat
    created_at: int
    trained_tokens: int


def read_manifest(folder: Path) -> Manifest:
    """The folder's manifest; EngineError when there is none or it is not one."""
    try:
        values = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        return Manifest(**{**values, "row_format": RowFormat(values["row_format"])})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise EngineError(f"{folder}: not a readable model: {error}") from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    write_atomic(folder / _MANIFEST, json.dumps(asdict(manifest), indent=2).encode() + b"\n")


def publish(temporary: Path, final: Path) -> None:
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


def fresh_dir(path: Path) -> Path:
    """An empty folder at `path`, whatever stood there."""
    shutil.rmtree(path, ignore_errors=True)
    return make_private_dir(path)


def sweep_models(store: Store, folder: EngineFolder) -> None:
    """Remove the folders of deleted models that no unfinished job starts from."""
    for row in store.models.removable():
        crashpoints.reach("engine.models.before_removal")
        shutil.rmtree(folder.model(row.job_id, row.step), ignore_errors=True)
        for emptied in (folder.model(row.job_id) / CHECKPOINTS, folder.model(row.job_id)):
            with contextlib.suppress(OSError):  # it is gone, or other models are in it
                emptied.rmdir()


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
