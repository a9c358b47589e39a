"""The lines of a text, in constant memory whatever the text holds.

A line end is LF; a CR before it is left where it is. A line of more than `MAX_LINE_BYTES` is never
held: None stands for it.
"""

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from ftops.dataset.reading.options import MAX_LINE_BYTES

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
