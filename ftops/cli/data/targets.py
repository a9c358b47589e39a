"""Where a command writes: beside its input, which it never changes."""

from dataclasses import dataclass
from pathlib import Path

from ftops.errors import DatasetError, StorageError

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
