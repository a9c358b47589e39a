"""The lines of a text, in constant memory whatever the text holds.

A line end is LF; a CR before it is left where it is. A line of more than `MAX_LINE_BYTES` is never
held: None stands for it.
"""

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from ftops.data.reading.options import MAX_LINE_BYTES
from ftops.errors import DatasetError

_GIVE_UP_BYTES = 16 * MAX_LINE_BYTES

Lines: TypeAlias = Iterator[tuple[int, list[bytes | None]]]


def split_lines(pieces: Iterable[bytes]) -> Lines:
    """The lines of the text that `pieces` are, without their LF, some at a time.

    Each list comes with the number, from 1, of its first line. Pieces are shorter than the longest
    line that may be, so only the first line of a piece can be too long.
    """
    number = 1
    tail = b""
    skipping = False  # the line that `tail` belongs to is too long already
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


def refuse_endless(name: str, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces as they are; DatasetError for a line so long that no good one can follow it."""
    line, length = 1, 0
    for piece in pieces:
        breaks = piece.count(b"\n")
        line += breaks
        length = len(piece) - piece.rfind(b"\n") - 1 if breaks else length + len(piece)
        if length > _GIVE_UP_BYTES:
            raise DatasetError(
                f"{name}:{line}: the line is longer than {_GIVE_UP_BYTES >> 20} MiB",
                hint="Write one row a line, or name the format with --format.",
            )
        yield piece
