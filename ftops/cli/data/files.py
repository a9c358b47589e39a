"""Input and output files of data commands: standard input that is read twice, output paths."""

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, cast

from ftops.data.reading.options import ReadOptions
from ftops.data.reading.source import Source, open_source
from ftops.errors import DatasetError, StorageError

_STDIN = "standard input"


def check_is_file(*paths: Path) -> None:
    """Raise DatasetError for standard input, which cannot be read twice."""
    if Path("-") in paths:
        raise DatasetError(
            "this command reads its input more than once",
            hint="Save standard input to a file and name it.",
        )


@contextlib.contextmanager
def buffer_input(file: str) -> Iterator[Path]:
    """The path of the input; copies standard input to a temporary file."""
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


def open_buffered(path: Path, file: str, options: ReadOptions) -> Source:
    """Open the source at `path`, named as on the command line."""
    return name_source(open_source(path, options), file)


def name_source(source: Source, file: str) -> Source:
    """The source, named as on the command line."""
    return replace(source, name=_STDIN) if file == "-" else source


_SUFFIXES = (".jsonl", ".ndjson", ".json", "")


@dataclass(frozen=True, slots=True)
class OutputPaths:
    """The paths of the rows and the plan; neither is the input."""

    rows: Path
    plan: Path


def choose_output_paths(
    file: str, target: Path | None, plan_out: Path | None, *, writing: bool = True
) -> OutputPaths:
    """The output paths; the defaults are named after the input."""
    if target is None and file == "-" and writing:
        raise DatasetError(
            "standard input has no default output name", hint="Name the output with -o OUT."
        )
    source = Path("rows" if file == "-" else file)
    name = source.name.partition(".")[0] or source.name
    rows = target or source.with_name(f"{name}.prepared.jsonl")
    return OutputPaths(rows, plan_out or rows.with_name(f"{rows.name}.plan.yaml"))


def check_output_paths(file: str, targets: OutputPaths, plan: Path | None, *, force: bool) -> None:
    """Raise StorageError for output paths that must not be overwritten."""
    if targets.rows.suffix.lower() not in _SUFFIXES:
        raise StorageError(
            f"{targets.rows}: the output format is JSON lines",
            hint="Name it .jsonl; `ftops data convert` writes CSV.",
        )
    refuse_input(targets.rows, Path(file), force=force)
    if _is_same(targets.rows, targets.plan):
        raise StorageError(
            "the rows and the plan need different files", hint="Name another --plan-out."
        )
    if plan is None:
        refuse_input(targets.plan, Path(file), force=force)
    else:
        refuse_input(targets.rows, plan, force=True)


def refuse_input(path: Path, given: Path, *, force: bool) -> None:
    """Raise StorageError if `path` cannot be written or is the input."""
    if _is_same(path, given):
        raise StorageError(
            f"{path} is the input, which is never changed", hint="Name another file with -o."
        )
    if path.is_dir():
        raise StorageError(f"{path} is a folder", hint="Name a file with -o.")
    if path.exists() and not force:
        raise StorageError(
            f"{path} already exists", hint="Name another file with -o, or pass --force."
        )


def _is_same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:
        return path.absolute() == other.absolute()
