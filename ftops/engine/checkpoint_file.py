"""Files of tensors, checkpoints in such files, and the times at which they are written.

The files are in safetensors, a JSON header and numbers, so no file contains code. The format has no
checksum, so one is in the metadata (its only entry: several have no defined order).
"""

import hashlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ftops.clock import Clock
from ftops.engine.trainer import CHECKPOINT_EVERY_S
from ftops.files import open_atomic

_CHECKSUM = "crc32"
_SHARE_OF_TIME = 0.01  # for writing checkpoints


class DamagedFile(Exception):
    """The file is missing, truncated, changed or of another format."""


def write_tensors(path: Path, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Write the arrays atomically. Equal arrays give equal bytes."""
    whole = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    content = save(whole, {_CHECKSUM: _checksum(whole)})
    with open_atomic(path) as stream:
        stream.write(content)


def read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """Read all arrays of the file; DamagedFile when that fails."""
    try:
        with safe_open(path, framework="np") as stored:
            tensors: dict[str, NDArray[Any]] = stored.get_tensors()
            expected = (stored.metadata() or {}).get(_CHECKSUM)
    except OSError as error:
        raise DamagedFile(f"{path}: {error.strerror or error}") from error
    except (
        SafetensorError,
        KeyError,
        TypeError,
        ValueError,
    ) as error:  # KeyError: an unknown dtype
        raise DamagedFile(f"{path}: {error}") from error
    if expected != _checksum(tensors):
        raise DamagedFile(f"{path}: the checksum is wrong")
    return tensors


def _checksum(tensors: Mapping[str, NDArray[Any]]) -> str:
    crc = 0
    for name in sorted(tensors):
        tensor = tensors[name]
        crc = zlib.crc32(f"{name} {tensor.dtype} {tensor.shape}".encode(), crc)
        crc = zlib.crc32(tensor.reshape(-1).view(np.uint8).data, crc)
    return f"{crc:08x}"


def fingerprint_job(settings: str, *files: Sequence[object]) -> str:
    """A hash of the settings of a training and of its rows, by their `repr`."""
    digest = hashlib.sha256(settings.encode())
    for rows in files:
        digest.update(f"{len(rows)} rows".encode())
        for row in rows:
            digest.update(repr(row).encode())
    return digest.hexdigest()


def write_checkpoint_tensors(path: Path, job: str, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Write the checkpoint of `job`, which is its fingerprint, atomically."""
    write_tensors(path, {"job": encode_text(job), **tensors})


def find_checkpoint_tensors(path: Path, job: str) -> dict[str, NDArray[Any]] | None:
    """The arrays of `job`, if there is an intact checkpoint of it."""
    try:
        stored = read_tensors(path)
    except DamagedFile:
        return None
    is_of_job = "job" in stored and stored["job"].tobytes() == job.encode()
    return stored if is_of_job else None


def encode_text(text: str) -> NDArray[np.uint8]:
    """The text as an array of its bytes in UTF-8."""
    return np.frombuffer(text.encode(), dtype=np.uint8)


class CheckpointTimer:
    """Decides when a checkpoint is due: they take about 1 % of the time at most."""

    def __init__(self, clock: Clock, every_s: float) -> None:
        """`every_s`: the least time between two checkpoints."""
        self._clock = clock
        self._every_s = every_s
        self._due_s = clock.monotonic_s() + every_s

    def is_due(self) -> bool:
        return self._clock.monotonic_s() >= self._due_s

    def write(self, write: Callable[[], None]) -> None:
        """Call `write`, and schedule the next checkpoint by the time that this one took."""
        started_s = self._clock.monotonic_s()
        write()
        ended_s = self._clock.monotonic_s()
        self._due_s = ended_s + self._choose_interval_s(ended_s - started_s)

    def _choose_interval_s(self, cost_s: float) -> float:
        if self._every_s < CHECKPOINT_EVERY_S:
            return self._every_s  # as requested, at the cost of speed
        return max(self._every_s, cost_s / _SHARE_OF_TIME)
