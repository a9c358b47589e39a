"""Parquet files, and folders that Hugging Face `datasets` wrote; pyarrow comes with an extra."""

import difflib
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftops.dataset.reading.batches import Batch
from ftops.dataset.reading.tables import Table, check_columns
from ftops.errors import DatasetError

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 500
_PARQUET = ("*.parquet", "*/*.parquet", "*/*/*.parquet")  # any folder may be named, and be deep


def read_parquet(name: str, source: Path | bytes) -> Table:
    """The table in a Parquet file; places are rows. DatasetError when it is damaged."""
    _import(name)
    import pyarrow.parquet as pq

    with _told(name):
        file = pq.ParquetFile(io.BytesIO(source) if isinstance(source, bytes) else source)
        columns = check_columns(name, file.schema_arrow.names)
    return Table(columns, _number(name, file.iter_batches(batch_size=_BATCH_ROWS)))


def read_folder(name: str, folder: Path, wanted: str | None) -> tuple[Table, str, Sequence[str]]:
    """The table in a datasets folder, its split, and the names of all splits.

    Such a folder holds Arrow files and a state.json, splits of such folders, or Parquet files.
    """
    splits = _find_splits(folder)
    if not splits:
        raise DatasetError(
            f"{name}: this is a folder, and no data set of Hugging Face `datasets` lies in it",
            hint="Name the data file itself.",
        )
    split = _choose(name, list(splits), wanted)
    _import(name)
    files = splits[split]
    batches = _chain(files)
    with _told(name):
        columns = check_columns(name, _columns(files[0]))
    return Table(columns, _number(name, batches)), split, list(splits)


def _import(name: str) -> None:
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise DatasetError(
            f"{name}: reading Parquet and Arrow needs pyarrow, which is not installed",
            hint="Install it with the extra: pip install 'ftops[parquet]'",
        ) from None


class _told:  # noqa: N801
    """Turns what pyarrow raises inside the block into a DatasetError."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        import pyarrow as pa

        if isinstance(error, pa.ArrowException | OSError | ValueError | UnicodeError):
            first = str(error).partition("\n")[0]
            raise DatasetError(
                f"{self._name}: this table cannot be read: {first}",
                hint="Fetch or write the file again.",
            ) from error


def _find_splits(folder: Path) -> dict[str, list[Path]]:
    if (folder / "state.json").is_file():
        return {"all": _arrow_files(folder)}
    splits = {}
    for inner in sorted(folder.iterdir()):
        if (inner / "state.json").is_file():
            splits[inner.name] = _arrow_files(inner)
    if splits:
        return splits
    for file in sorted(file for depth in _PARQUET for file in folder.glob(depth)):
        inner_name = file.parent.name if file.parent not in (folder, folder / "data") else ""
        splits.setdefault(inner_name or file.stem.partition("-")[0], []).append(file)
    return splits


def _arrow_files(folder: Path) -> list[Path]:
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        files = [folder / Path(part["filename"]).name for part in state["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DatasetError(f"{folder}/state.json: does not say which files there are") from error
    if not files:
        raise DatasetError(f"{folder}: the data set holds no rows")
    return files


def _choose(name: str, splits: Sequence[str], wanted: str | None) -> str:
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


def _columns(file: Path) -> list[str]:
    if file.suffix == ".parquet":
        import pyarrow.parquet as pq

        return list(pq.read_schema(file).names)
    import pyarrow as pa

    with pa.memory_map(str(file)) as source, pa.ipc.open_stream(source) as reader:
        return list(reader.schema.names)


def _chain(files: Iterable[Path]) -> "Iterator[pa.RecordBatch]":
    import pyarrow as pa
    import pyarrow.parquet as pq

    for file in files:
        if file.suffix == ".parquet":
            yield from pq.ParquetFile(file).iter_batches(batch_size=_BATCH_ROWS)
            continue
        with pa.memory_map(str(file)) as source, pa.ipc.open_stream(source) as reader:
            for batch in reader:
                for start in range(0, batch.num_rows, _BATCH_ROWS):
                    yield batch.slice(start, _BATCH_ROWS)


def _number(name: str, batches: "Iterable[pa.RecordBatch]") -> Iterator[Batch]:
    place = 1
    with _told(name):
        for batch in batches:
            values: list[Any] = batch.to_pylist()
            yield Batch(values, range(place, place + len(values)))
            place += len(values)
