"""Parquet files, and folders written by Hugging Face `datasets`; pyarrow comes with an extra.

A dictionary-encoded value is stored once and may occur in a million rows. So batches are small
where values may be long, and the decoded size is measured before it is held.
"""

import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from ftops.data.reading.batch import Batch
from ftops.data.reading.decoding import check_ratio
from ftops.data.reading.tables import Table, check_columns
from ftops.errors import DatasetError
from ftops.text import find_nearest

_BATCH_ROWS = 500
_BATCH_BYTES = 64 << 20  # of decoded values per batch
_MOST_ROW_BYTES = 1 << 30  # of decoded values per row, unless the file itself is large
_I32 = 0x15  # how a page header starts a 32-bit field directly after the previous field


def read_parquet(name: str, source: Path | bytes) -> Table:
    """The table in a Parquet file; places are row numbers. Raises DatasetError if it is damaged."""
    _import(name)
    import pyarrow.parquet as pq

    with _pyarrow_errors(name), _open(source) as stream:
        columns = check_columns(name, pq.read_schema(stream).names)
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    return Table(columns, _number(name, _read_parquet_batches(name, source, size), size))


def read_folder(name: str, folder: Path, wanted: str | None) -> tuple[Table, str, Sequence[str]]:
    """The table of a split in a datasets folder, the split, and the names of all splits."""
    splits = list_splits(name, folder)
    split = select_split(name, list(splits), wanted)
    _import(name)
    files = splits[split]
    with _pyarrow_errors(name):
        columns = check_columns(name, _columns(files[0]))
        size = sum(file.stat().st_size for file in files)
    return Table(columns, _number(name, _chain(name, files), size)), split, list(splits)


def _import(name: str) -> None:
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise DatasetError(
            f"{name}: reading Parquet and Arrow needs pyarrow, which is not installed",
            hint="Install it with the extra: pip install 'ftops[parquet]'",
        ) from None


class _pyarrow_errors:  # noqa: N801
    """Converts errors of pyarrow to DatasetError."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        import pyarrow as pa

        if isinstance(error, pa.ArrowException | OSError | ValueError | UnicodeError):
            first = str(error).partition("\n")[0]
            raise DatasetError(
                f"{self._name}: cannot read the table: {first}",
                hint="Download or write the file again.",
            ) from error


def _columns(file: Path) -> list[str]:
    if file.suffix == ".parquet":
        import pyarrow.parquet as pq

        return list(pq.read_schema(file).names)
    import pyarrow as pa

    with pa.memory_map(str(file)) as source, pa.ipc.open_stream(source) as reader:
        return list(reader.schema.names)


def _chain(name: str, files: Iterable[Path]) -> Iterator[Any]:
    import pyarrow as pa

    for file in files:
        if file.suffix == ".parquet":
            yield from _read_parquet_batches(name, file, file.stat().st_size)
            continue
        with pa.memory_map(str(file)) as source, pa.ipc.open_stream(source) as reader:
            for batch in reader:
                for start in range(0, batch.num_rows, _BATCH_ROWS):
                    yield batch.slice(start, _BATCH_ROWS)


def _open(source: Path | bytes) -> BinaryIO:
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def _read_parquet_batches(name: str, source: Path | bytes, size: int) -> Iterator[Any]:
    """The rows, in batches that fit in memory even if all rows hold the longest value.

    Raises DatasetError if the metadata exceeds the allowed compression ratio.
    """
    import pyarrow.parquet as pq

    with _open(source) as stream:
        metadata = pq.read_metadata(stream)
        unpacked, longest = 0, 1
        for group in map(metadata.row_group, range(metadata.num_row_groups)):
            bound = 0
            for column in map(group.column, range(group.num_columns)):
                unpacked += max(column.total_uncompressed_size, column.num_values)
                values = -(-column.num_values // max(group.num_rows, 1))  # per row, on average
                bound += values * _bound_value(stream, column)
            longest = max(longest, bound)
        check_ratio(name, unpacked, size)
        if longest > _MOST_ROW_BYTES:
            check_ratio(name, longest, size)
        rows = max(1, min(_BATCH_ROWS, _BATCH_BYTES // longest))
        yield from pq.ParquetFile(stream).iter_batches(batch_size=rows)


def _bound_value(stream: BinaryIO, column: Any) -> int:
    """The maximum size in bytes of a value that may occur in several rows."""
    if "DELTA_BYTE_ARRAY" in column.encodings:  # each value may repeat the previous one
        return int(column.total_uncompressed_size)
    if not column.has_dictionary_page:
        return 0
    stream.seek(column.dictionary_page_offset)
    header, at, size = stream.read(24), 0, 0
    for _ in range(2):  # the page type, and its uncompressed size
        if header[at : at + 1] != bytes([_I32]):
            return int(column.total_uncompressed_size)
        at, size, shift = at + 1, 0, 0
        for byte in header[at:]:
            at, size, shift = at + 1, size | (byte & 0x7F) << shift, shift + 7
            if byte < 0x80:
                break
    return size >> 1


def _count_bytes(array: Any) -> int:
    """The size of the values without dictionary encoding."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = array.type
    if pa.types.is_dictionary(kind):
        if not (pa.types.is_string(kind.value_type) or pa.types.is_binary(kind.value_type)):
            return int(array.nbytes)
        return int(pc.sum(pc.binary_length(array.dictionary).take(array.indices)).as_py() or 0)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _count_bytes(array.flatten())
    if pa.types.is_struct(kind):
        return sum(map(_count_bytes, array.flatten()))
    return int(array.nbytes)


def _number(name: str, batches: Iterable[Any], size: int) -> Iterator[Batch]:
    place, unpacked = 1, 0
    with _pyarrow_errors(name):
        for batch in batches:
            unpacked += sum(map(_count_bytes, batch.columns))
            check_ratio(name, unpacked, size)
            values: list[Any] = batch.to_pylist()
            yield Batch(values, range(place, place + len(values)))
            place += len(values)


_DEEP = 2  # levels of folders, as in data/train and default/train
MOST_ENTRIES = 10_000  # the user may name any folder, such as the root or a photo archive
_STATE = "state.json"
_DATA = frozenset({".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".xlsx", ".txt", ".gz", ".zst"})


def list_splits(name: str, folder: Path, most_entries: int = MOST_ENTRIES) -> dict[str, list[Path]]:
    """The files of each split: Arrow files with a state.json, folders of them, or Parquet files.

    Raises DatasetError, after a bounded search, for any other folder.
    """
    found = list(_list_entries(name, folder, most_entries))
    if folder / _STATE in found:
        return {"all": _list_arrow_files(folder)}
    saved = [path.parent for path in found if path.name == _STATE and path.parent.parent == folder]
    if saved:
        return {inner.name: _list_arrow_files(inner) for inner in sorted(saved)}
    splits: dict[str, list[Path]] = {}
    for file in sorted(path for path in found if path.suffix == ".parquet"):
        inner_name = file.parent.name if file.parent not in (folder, folder / "data") else ""
        splits.setdefault(inner_name or file.stem.partition("-")[0], []).append(file)
    if not splits:
        raise DatasetError(
            f"{name}: this folder is not a Hugging Face dataset",
            hint=f"Name the data file itself{_suggest(found)}.",
        )
    return splits


def _suggest(found: Sequence[Path]) -> str:
    """A suggestion: the first file that looks like data."""
    data = sorted(path for path in found if path.suffix.lower() in _DATA)
    return f", such as {data[0]}" if data else ""


def _list_entries(name: str, folder: Path, most: int) -> Iterator[Path]:
    """The files in the folder and its subfolders, without hidden folders and links."""
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
                    f"{name}: cannot read the folder: {error.strerror}",
                    hint="Name a data file, or check the permissions of the folder.",
                ) from error


def _too_many(name: str, most: int) -> DatasetError:
    return DatasetError(
        f"{name}: this folder has more than {most:,} files and is not a dataset",
        hint="Name the data file itself, or the folder that `datasets` wrote.",
    )


def _list_arrow_files(folder: Path) -> list[Path]:
    try:
        state = json.loads((folder / _STATE).read_text(encoding="utf-8"))
        files = [folder / Path(part["filename"]).name for part in state["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DatasetError(
            f"{folder}/{_STATE}: does not list the data files",
            hint="Name the data file itself, or write the dataset again.",
        ) from error
    if not files:
        raise DatasetError(f"{folder}: the dataset has no rows", hint="Write it again.")
    return files


def select_split(name: str, splits: Sequence[str], wanted: str | None) -> str:
    """The requested split, or the default. Raises DatasetError if there is no default."""
    if wanted in splits:
        return str(wanted)
    if wanted is None and len(splits) == 1:
        return splits[0]
    if wanted is None:
        if "train" in splits:
            return "train"
        raise DatasetError(
            f"{name}: the dataset has the splits {', '.join(splits)}",
            hint="Select one with --sheet.",
        )
    near = find_nearest(wanted, splits)
    raise DatasetError(
        f"{name}: there is no split {wanted!r}; there are {', '.join(splits)}",
        hint=f"Did you mean {near!r}?" if near else "Name one of them with --sheet.",
    )
