"""CSV and its kin, as the standard library's `csv` reads them, strictly: cells stay as written."""

import csv
from collections.abc import Iterator, Sequence
from typing import cast

from ftops.data.reading.lines import split_lines
from ftops.data.reading.options import MAX_LINE_BYTES
from ftops.data.reading.streams import Pieces
from ftops.data.reading.tables import Table, make_table
from ftops.errors import DatasetError


def read_delimited(name: str, pieces: Pieces, delimiter: str) -> Table:
    """A table out of text; places are the lines on which rows begin. Blank lines are passed over.

    DatasetError, with the line, for what is no such table: an open quote, bad UTF-8, a huge line.
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
    """The lines of UTF-8 text, each with its end; DatasetError, with the line, when it is none."""
    for number, lines in split_lines(pieces):
        if None not in lines:
            try:  # all at once, which costs half; what is wrong is looked for below
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
        return "a quote is opened in this row and never closed"
    if "new-line character" in text:
        return "a carriage return stands alone in the row"
    if "expected after" in text:
        return "something stands between a closing quote and the next column"
    return f"not a row of a table: {text}"


def _advise(error: csv.Error) -> str:
    if "new-line character" in str(error):
        return "Put cells with line breaks in quotes, or save the file with ordinary line ends."
    return 'A quote inside a quoted cell is written twice: "say ""yes""".'
