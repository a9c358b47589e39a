"""Named arrays in one safetensors file: whole or absent, and never code.

The format holds a JSON header and numbers, nothing that could run. It has no checksum of its own,
so one stands in its metadata (the only entry there: with several, their order would be chance).
"""

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ftops.files import open_atomic

_CHECKSUM = "crc32"


class DamagedFile(Exception):
    """The file is missing, cut, changed or something else altogether."""


def write_tensors(path: Path, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Put the arrays at `path`, aside and renamed. Equal arrays make equal bytes."""
    whole = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    content = save(whole, {_CHECKSUM: _checksum(whole)})
    with open_atomic(path) as stream:
        stream.write(content)


def read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of the file, free to be changed; DamagedFile says why there are none."""
    try:
        with safe_open(path, framework="np") as stored:
            tensors: dict[str, NDArray[Any]] = stored.get_tensors()
            expected = (stored.metadata() or {}).get(_CHECKSUM)
    except OSError as error:
        raise DamagedFile(f"{path}: {error.strerror or error}") from error
    except (SafetensorError, KeyError, TypeError, ValueError) as error:  # KeyError: a strange dtype
        raise DamagedFile(f"{path}: {error}") from error
    if expected != _checksum(tensors):
        raise DamagedFile(f"{path}: the content does not agree with its checksum")
    return tensors


def _checksum(tensors: Mapping[str, NDArray[Any]]) -> str:
    crc = 0
    for name in sorted(tensors):
        tensor = tensors[name]
        crc = zlib.crc32(f"{name} {tensor.dtype} {tensor.shape}".encode(), crc)
        crc = zlib.crc32(tensor.reshape(-1).view(np.uint8).data, crc)
    return f"{crc:08x}"
