"""Data that a command reads more than once; standard input can be read only once."""

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


_SUFFIXES = (".jsonl", ".ndjson", ".json", "")


@dataclass(frozen=True, slots=True)
class Targets:
    """Where the rows and the plan go; the input is neither."""

    rows: Path
    plan: Path


def choose_targets(
    file: str, target: Path | None, plan_out: Path | None, *, writing: bool = True
) -> Targets:
    """OUT and its plan, named after the input where they are not said."""
    if target is None and file == "-" and writing:
        raise DatasetError("there is no name for the rows of standard input", hint="Say -o OUT.")
    source = Path("rows" if file == "-" else file)
    name = source.name.partition(".")[0] or source.name
    rows = target or source.with_name(f"{name}.prepared.jsonl")
    return Targets(rows, plan_out or rows.with_name(f"{rows.name}.plan.yaml"))


def check_targets(file: str, targets: Targets, plan: Path | None, *, force: bool) -> None:
    """StorageError when something would be overwritten that must not be."""
    if targets.rows.suffix.lower() not in _SUFFIXES:
        raise StorageError(
            f"{targets.rows}: what is written is JSON lines",
            hint="Name it .jsonl; `ftops data convert` makes CSV of it.",
        )
    refuse_input(targets.rows, Path(file), force=force)
    if _is_same(targets.rows, targets.plan):
        raise StorageError("the rows and their plan are two files", hint="Name another --plan-out.")
    if plan is None:
        refuse_input(targets.plan, Path(file), force=force)
    else:
        refuse_input(targets.rows, plan, force=True)


def refuse_input(path: Path, given: Path, *, force: bool) -> None:
    """StorageError when `path` cannot be written, or is the input, which is never changed."""
    if _is_same(path, given):
        raise StorageError(
            f"{path} is the input, which is never changed", hint="Name another with -o."
        )
    if path.is_dir():
        raise StorageError(f"{path} is a folder", hint="Name a file with -o.")
    if path.exists() and not force:
        raise StorageError(
            f"{path} is there already", hint="Name another with -o, or overwrite it with --force."
        )


def _is_same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:
        return path.absolute() == other.absolute()
