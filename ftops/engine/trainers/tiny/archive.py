"""Named arrays in one file: a NumPy archive without pickles, whole or absent."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ftops.files import open_atomic


class DamagedArchive(Exception):
    """The file is missing, cut, changed or something else altogether."""


def write_archive(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Put the arrays at `path`, aside and renamed."""
    with open_atomic(path) as stream:
        np.savez(stream, allow_pickle=False, **arrays)


def read_archive(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of the file; DamagedArchive says why there are none."""
    try:
        with path.open("rb") as stream:
            loaded = np.load(stream, allow_pickle=False)
            if not isinstance(loaded, np.lib.npyio.NpzFile):
                raise DamagedArchive(f"{path}: not an archive")
            with loaded as archive:
                return dict(archive)
    except OSError as error:
        raise DamagedArchive(f"{path}: {error.strerror or error}") from error
    except DamagedArchive:
        raise
    except (
        Exception
    ) as error:  # a damaged zip file can fail in a dozen ways, all of them equal here
        raise DamagedArchive(f"{path}: {error}") from error
