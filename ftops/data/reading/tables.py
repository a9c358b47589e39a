"""Tables: delimited text (CSV) and rows of cells, as records keyed by the header."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from ftops.data.reading.batch import Batch, Batches, RowError
from ftops.data.reading.decoding import Pieces
from ftops.data.reading.lines import split_lines
from ftops.data.reading.options import MAX_COLUMNS, MAX_LINE_BYTES
from ftops.errors import DatasetError

_BATCH_ROWS = 500
_BATCH_CHARACTERS = 1 << 19


@dataclass(frozen=True, slots=True)
class Table:
    """The columns of a source, and its records."""

    columns: tuple[str, ...]
    batches: Batches


def make_table(name: str, rows: Iterator[tuple[int, Sequence[str]]]) -> Table:
    """A table whose first row is the header.

    Raises DatasetError if the header is missing, too wide, or has duplicate names.
    """
    place, header = next(rows, (1, ()))
    columns = check_columns(f"{name}:{place}", [cell.strip() for cell in header])
    return Table(columns, _batch(columns, rows))


def check_columns(where: str, columns: Sequence[str]) -> tuple[str, ...]:
    """Validated column names, without empty ones at the end."""
    named = list(columns)
    while named and not named[-1]:
        named.pop()
    if not named:
        raise DatasetError(
            f"{where}: the header row is missing", hint="The first row names columns."
        )
    if len(named) > MAX_COLUMNS:
        raise DatasetError(f"{where}: {len(named):,} columns; at most {MAX_COLUMNS:,} are read")
    twice = [one for one in dict.fromkeys(named) if named.count(one) > 1]
    if twice:
        what = "without a name" if twice[0] == "" else f"named {twice[0]!r}"
        raise DatasetError(
            f"{where}: more than one column is {what}",
            hint="The first row names the columns; give each a unique name.",
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
                batch.row_errors.append(RowError(place, "wrong-cells", reason))
                continue
        batch.values.append(dict(zip(columns, cells, strict=True)))
        places.append(place)
        size += sum(map(len, cells))
        if len(places) >= _BATCH_ROWS or size > _BATCH_CHARACTERS:
            yield batch
            batch = Batch([], places := [])
            size = 0
    if batch.values or batch.row_errors:
        yield batch


def _fit(cells: Sequence[str], width: int) -> Sequence[str]:
    """The cells without the extra empty ones that some programs write."""
    return cells[:width] if len(cells) > width and not any(cells[width:]) else cells


def read_delimited(name: str, pieces: Pieces, delimiter: str) -> Table:
    """A table from delimited text; places are the first lines of rows. Blank lines are ignored.

    Raises DatasetError with the line for an open quote, invalid UTF-8 or a line over the limit.
    """
    return make_table(name, _read_rows(name, pieces, delimiter))


def _read_rows(name: str, pieces: Pieces, delimiter: str) -> Iterator[tuple[int, Sequence[str]]]:
    csv.field_size_limit(MAX_LINE_BYTES)
    reader = csv.reader(read_text_lines(name, pieces), delimiter=delimiter, strict=True)
    place = 1
    try:
        for cells in reader:
            if cells:
                yield place, cells
            place = reader.line_num + 1
    except csv.Error as error:
        raise DatasetError(f"{name}:{place}: {_say(error)}", hint=_advise(error)) from error


def read_text_lines(name: str, pieces: Pieces) -> Iterator[str]:
    """The lines of UTF-8 text with their ends. Raises DatasetError with the invalid line."""
    for number, lines in split_lines(pieces):
        if None not in lines:
            try:  # all lines at once, in half the time; an error is located below
                whole = b"\n".join(cast("list[bytes]", lines)).decode()
            except UnicodeDecodeError:
                pass
            else:
                yield from [f"{line}\n" for line in whole.split("\n")]
                continue
        for place, line in enumerate(lines, number):
            if line is None:
                raise DatasetError(
                    f"{name}:{place}: the line is longer than {MAX_LINE_BYTES >> 20} MiB"
                )
            try:
                yield line.decode() + "\n"
            except UnicodeDecodeError as error:
                raise DatasetError(
                    f"{name}:{place}: not UTF-8: byte 0x{line[error.start]:02x}"
                    f" at byte {error.start + 1} of the line",
                    hint="Name the encoding, such as --encoding cp1252.",
                ) from error


def _say(error: csv.Error) -> str:
    text = str(error)
    if "unexpected end of data" in text or "field larger" in text:
        return "unclosed quote in this row"
    if "new-line character" in text:
        return "a carriage return without a line feed in the row"
    if "expected after" in text:
        return "text between a closing quote and the next delimiter"
    return f"invalid row: {text}"


def _advise(error: csv.Error) -> str:
    if "new-line character" in str(error):
        return "Put cells with line breaks in quotes, or save the file with LF line endings."
    return 'Escape a quote in a quoted cell by doubling it: "say ""yes""".'
