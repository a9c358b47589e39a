"""Where results are to be written: looked at before the work begins that they come of."""

from pathlib import Path

from ftops.errors import StorageError


def check_target(target: Path, source: Path | None) -> None:
    """StorageError where nothing can be written at `target`, or it is what is read."""
    if target.is_dir():
        raise StorageError(f"{target}: is a folder", hint="Name a file in it.")
    if source is not None and target.exists() and source.exists() and target.samefile(source):
        raise StorageError(
            f"{target}: is the file that is read, and would be lost", hint="Name another file."
        )
