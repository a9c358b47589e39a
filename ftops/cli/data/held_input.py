"""Data that a command reads more than once; standard input can be read only once."""

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, cast

from ftops.data.reading.options import ReadOptions
from ftops.data.reading.source import Source, open_source
from ftops.errors import DatasetError

_STDIN = "standard input"


def check_is_file(*paths: Path) -> None:
    """DatasetError when a path stands for standard input, which can only be read once."""
    if Path("-") in paths:
        raise DatasetError(
            "standard input can be read only once, and this takes more",
            hint="Save it as a file, and name that.",
        )


@contextlib.contextmanager
def hold_input(file: str) -> Iterator[Path]:
    """The path of the input; standard input, which can be read once only, is copied first."""
    if file != "-":
        yield Path(file)
        return
    with tempfile.TemporaryDirectory(prefix="ftops-") as folder:
        path = Path(folder) / "stdin"
        with path.open("wb") as stream:
            shutil.copyfileobj(cast(BinaryIO, sys.stdin.buffer), stream)
        try:
            yield path
        except DatasetError as error:
            error.message = error.message.replace(str(path), _STDIN)
            raise


def open_held(path: Path, file: str, options: ReadOptions) -> Source:
    """The source at `path`, called as the user called it."""
    return name_source(open_source(path, options), file)


def name_source(source: Source, file: str) -> Source:
    """The source, called as the user called it."""
    return replace(source, name=_STDIN) if file == "-" else source
