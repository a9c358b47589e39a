"""Which files of a folder are a data set of Hugging Face `datasets`, and of which split."""

import difflib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ftops.errors import DatasetError

_DEEP = 2  # folders within the folder, as in data/train and default/train
MOST_ENTRIES = 10_000  # any folder may be named: one of a whole machine, or of a camera
_STATE = "state.json"
_DATA = frozenset({".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".xlsx", ".txt", ".gz", ".zst"})


def find_splits(name: str, folder: Path, most_entries: int = MOST_ENTRIES) -> dict[str, list[Path]]:
    """The files of each split; DatasetError, after a bounded look, when it is no such data set.

    Such a folder holds Arrow files and a state.json, splits of such folders, or Parquet files.
    """
    found = list(_list_entries(name, folder, most_entries))
    if folder / _STATE in found:
        return {"all": _find_arrow_files(folder)}
    saved = [path.parent for path in found if path.name == _STATE and path.parent.parent == folder]
    if saved:
        return {inner.name: _find_arrow_files(inner) for inner in sorted(saved)}
    splits: dict[str, list[Path]] = {}
    for file in sorted(path for path in found if path.suffix == ".parquet"):
        inner_name = file.parent.name if file.parent not in (folder, folder / "data") else ""
        splits.setdefault(inner_name or file.stem.partition("-")[0], []).append(file)
    if not splits:
        raise DatasetError(
            f"{name}: this is a folder, and no data set of Hugging Face `datasets` lies in it",
            hint=f"Name the data file itself{_suggest(found)}.",
        )
    return splits


def _suggest(found: Sequence[Path]) -> str:
    """Such as the first file that looks like data."""
    data = sorted(path for path in found if path.suffix.lower() in _DATA)
    return f", such as {data[0]}" if data else ""


def _list_entries(name: str, folder: Path, most: int) -> Iterator[Path]:
    """The files of the folder and of those in it; hidden folders and links are passed by."""
    folders, seen = [(folder, 0)], 0
    while folders:
        inner, depth = folders.pop()
        try:
            with os.scandir(inner) as entries:
                for entry in entries:
                    seen += 1
                    if seen > most:
                        raise _too_many(name, most)
                    if not entry.is_dir(follow_symlinks=False):
                        yield Path(entry.path)
                    elif depth < _DEEP and not entry.name.startswith("."):
                        folders.append((Path(entry.path), depth + 1))
        except OSError as error:
            if inner == folder:
                raise DatasetError(
                    f"{name}: this folder cannot be read: {error.strerror}",
                    hint="Name a data file, or see to the rights of the folder.",
                ) from error


def _too_many(name: str, most: int) -> DatasetError:
    return DatasetError(
        f"{name}: this is a folder of more than {most:,} files, not a data set",
        hint="Name the data file itself, or the folder that `datasets` wrote.",
    )


def _find_arrow_files(folder: Path) -> list[Path]:
    try:
        state = json.loads((folder / _STATE).read_text(encoding="utf-8"))
        files = [folder / Path(part["filename"]).name for part in state["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DatasetError(
            f"{folder}/{_STATE}: does not say which files there are",
            hint="Name the data file itself, or write the data set again.",
        ) from error
    if not files:
        raise DatasetError(f"{folder}: the data set holds no rows", hint="Write it again.")
    return files


def choose_split(name: str, splits: Sequence[str], wanted: str | None) -> str:
    """The split that is wanted, or the one that is meant; DatasetError when nobody can tell."""
    if wanted in splits:
        return str(wanted)
    if wanted is None and len(splits) == 1:
        return splits[0]
    if wanted is None:
        if "train" in splits:
            return "train"
        raise DatasetError(
            f"{name}: there are the splits {', '.join(splits)}", hint="Choose one with --sheet."
        )
    near = difflib.get_close_matches(wanted, splits, n=1, cutoff=0.5)
    raise DatasetError(
        f"{name}: there is no split {wanted!r}; there are {', '.join(splits)}",
        hint=f"Did you mean {near[0]!r}?" if near else "Name one of them with --sheet.",
    )
