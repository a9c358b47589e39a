"""Splits text into lines, in constant memory for any content.

A line ends with LF; a CR before it is kept. A line longer than `MAX_LINE_BYTES` is never held in
memory: None replaces it.
"""

from collections.abc import Iterable, Iterator
from typing import TypeAlias

import orjson

from ftops.data.reading.batch import Batch, Batches, RowError
from ftops.data.reading.decoding import Pieces
from ftops.data.reading.json_text import line_too_long, syntax_error
from ftops.data.reading.options import MAX_LINE_BYTES
from ftops.errors import DatasetError

_GIVE_UP_BYTES = 16 * MAX_LINE_BYTES

Lines: TypeAlias = Iterator[tuple[int, list[bytes | None]]]


def split_lines(pieces: Iterable[bytes]) -> Lines:
    """The lines of a text in pieces, without LF, in lists.

    Each list comes with the number of its first line, from 1. Pieces are shorter than the maximum
    line length, so only the first line of a piece can be too long.
    """
    number = 1
    tail = b""
    skipping = False  # the line of `tail` is already too long
    for piece in pieces:
        lines: list[bytes | None] = []
        lines.extend((tail + piece).split(b"\n"))
        tail = lines.pop() or b""
        if lines:
            if skipping or len(lines[0] or b"") > MAX_LINE_BYTES:
                skipping = False
                lines[0] = None
            yield number, lines
            number += len(lines)
        if skipping or len(tail) > MAX_LINE_BYTES:
            skipping = True
            tail = b""
    if skipping:
        yield number, [None]
    elif tail:
        yield number, [tail]


def limit_line_length(name: str, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces unchanged. Raises DatasetError for a line longer than `_GIVE_UP_BYTES`."""
    line, length = 1, 0
    for piece in pieces:
        breaks = piece.count(b"\n")
        line += breaks
        length = len(piece) - piece.rfind(b"\n") - 1 if breaks else length + len(piece)
        if length > _GIVE_UP_BYTES:
            raise DatasetError(
                f"{name}:{line}: the line is longer than {_GIVE_UP_BYTES >> 20} MiB",
                hint="Write one row per line, or name the format with --format.",
            )
        yield piece


def read_plain_text(pieces: Pieces) -> Batches:
    """A record per line, without blank lines at the end."""
    blank = 0
    for number, lines in split_lines(pieces):
        batch = Batch([], places := [])
        for place, line in enumerate(lines, number):
            if line is None:
                batch.row_errors.append(line_too_long(place))
                continue
            if not line or line.isspace():
                blank += 1
                continue
            if blank:
                row_error = RowError(place - blank, "blank-line", "the line is blank", blank)
                batch.row_errors.append(row_error)
                blank = 0
            try:
                text = line.removesuffix(b"\r").decode()
            except UnicodeDecodeError as error:
                byte = f"byte 0x{line[error.start]:02x} at byte {error.start + 1} of the line"
                batch.row_errors.append(RowError(place, "not-utf8", f"not UTF-8: {byte}"))
                continue
            batch.values.append({"prompt": "", "completion": text})
            places.append(place)
        yield batch


def read_json_lines(pieces: Iterable[bytes]) -> Batches:
    """A batch for each piece of UTF-8 text."""
    blank = 0  # blank lines are errors only if another line follows
    for number, lines in split_lines(pieces):
        try:
            values: list[object] = list(map(orjson.loads, lines))  # type: ignore[arg-type]
        except orjson.JSONDecodeError:  # also for a blank or missing line
            batch, blank = _parse_each(number, lines, blank)
            yield batch
            continue
        batch = Batch(values, range(number, number + len(lines)), lines)  # type: ignore[arg-type]
        if blank:
            batch.row_errors.append(_blank_lines(number, blank))
            blank = 0
        yield batch


def _parse_each(number: int, lines: Iterable[bytes | None], blank: int) -> tuple[Batch, int]:
    batch = Batch([], places := [], kept := [])
    for place, line in enumerate(lines, number):
        if line is not None and (not line or line.isspace()):
            blank += 1
            continue
        if blank:
            batch.row_errors.append(_blank_lines(place, blank))
            blank = 0
        if line is None:
            batch.row_errors.append(line_too_long(place))
            continue
        try:
            batch.values.append(orjson.loads(line))
        except orjson.JSONDecodeError as error:
            batch.row_errors.append(syntax_error(place, line, error))
            continue
        places.append(place)
        kept.append(line)
    return batch, blank


def _blank_lines(after: int, count: int) -> RowError:
    return RowError(after - count, "blank-line", "the line is blank", count)
