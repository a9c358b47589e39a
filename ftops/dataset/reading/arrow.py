"""Parquet files, and folders that Hugging Face `datasets` wrote; pyarrow comes with an extra."""

import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftops.dataset.reading.batches import Batch
from ftops.dataset.reading.folders import choose_split, find_splits
from ftops.dataset.reading.tables import Table, check_columns
from ftops.errors import DatasetError

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 500


def read_parquet(name: str, source: Path | bytes) -> Table:
    """The table in a Parquet file; places are rows. DatasetError when it is damaged."""
    _import(name)
    import pyarrow.parquet as pq

    with _told(name):
        file = pq.ParquetFile(io.BytesIO(source) if isinstance(source, bytes) else source)
        columns = check_columns(name, file.schema_arrow.names)
    return Table(columns, _number(name, file.iter_batches(batch_size=_BATCH_ROWS)))


def read_folder(name: str, folder: Path, wanted: str | None) -> tuple[Table, str, Sequence[str]]:
    """The table in a datasets folder, its split, and the names of all splits."""
    splits = find_splits(name, folder)
    split = choose_split(name, list(splits), wanted)
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
