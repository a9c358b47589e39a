"""Rows of cells become records: one JSON object a row, keyed by the header."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ftops.data.reading.batches import Batch, Batches, Fault
from ftops.data.reading.options import MAX_COLUMNS
from ftops.errors import DatasetError

_BATCH_ROWS = 500
_BATCH_CHARACTERS = 1 << 19


@dataclass(frozen=True, slots=True)
class Table:
    """The columns of a source, and its records."""

    columns: tuple[str, ...]
    batches: Batches


def make_table(name: str, rows: Iterator[tuple[int, Sequence[str]]]) -> Table:
    """A table whose first row is the header; each row comes with its place.

    DatasetError when the header is missing, too wide, or names a column twice.
    """
    place, header = next(rows, (1, ()))
    columns = check_columns(f"{name}:{place}", [cell.strip() for cell in header])
    return Table(columns, _batch(columns, rows))


def check_columns(where: str, columns: Sequence[str]) -> tuple[str, ...]:
    """The names of columns, when they can be told apart; empty ones at the end are left out."""
    named = list(columns)
    while named and not named[-1]:
        named.pop()
    if not named:
        raise DatasetError(f"{where}: there is no header row", hint="The first row names columns.")
    if len(named) > MAX_COLUMNS:
        raise DatasetError(f"{where}: {len(named):,} columns; at most {MAX_COLUMNS:,} are read")
    twice = [one for one in dict.fromkeys(named) if named.count(one) > 1]
    if twice:
        what = "without a name" if twice[0] == "" else f"named {twice[0]!r}"
        raise DatasetError(
            f"{where}: more than one column is {what}",
            hint="The first row names the columns; give each a name of its own.",
        )
    return tuple(named)


def _batch(columns: tuple[str, ...], rows: Iterable[tuple[int, Sequence[str]]]) -> Batches:
    width = len(columns)
    batch = Batch([], places := [])
    size = 0
    for place, cells in rows:
        if len(cells) != width:
            cells = _fit(cells, width)
            if len(cells) != width:
                reason = f"it has {len(cells)} cells, and the header has {width}"
                batch.faults.append(Fault(place, "wrong-cells", reason))
                continue
        batch.values.append(dict(zip(columns, cells, strict=True)))
        places.append(place)
        size += sum(map(len, cells))
        if len(places) >= _BATCH_ROWS or size > _BATCH_CHARACTERS:
            yield batch
            batch = Batch([], places := [])
            size = 0
    if batch.values or batch.faults:
        yield batch


def _fit(cells: Sequence[str], width: int) -> Sequence[str]:
    """The cells without the empty ones that some programs put behind the last column."""
    return cells[:width] if len(cells) > width and not any(cells[width:]) else cells
