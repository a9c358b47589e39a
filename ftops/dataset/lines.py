"""The lines of a data file, in constant memory whatever the file holds.

A line end is LF; a CR before it is JSON's own white space. A byte order mark is passed over. A line
of more than `MAX_LINE_BYTES` is never held: None stands for it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, TypeAlias

from ftops.errors import DatasetError

MAX_LINE_BYTES = 8 << 20
_PIECE_BYTES = 1 << 18
_BOM = b"\xef\xbb\xbf"
_FOREIGN_STARTS = {
    b"\xff\xfe": ("UTF-16 text, not UTF-8", "Save it as UTF-8."),
    b"\xfe\xff": ("UTF-16 text, not UTF-8", "Save it as UTF-8."),
    b"\x1f\x8b": ("a gzip archive", "Unpack it first."),
    b"PK\x03\x04": ("a zip archive or a spreadsheet", "Export it as JSON lines first."),
    b"PAR1": ("a Parquet file", "Export it as JSON lines first."),
}

OnPiece: TypeAlias = Callable[[bytes], object]


def read_lines(
    path: Path, *, on_piece: OnPiece | None = None
) -> Iterator[tuple[int, bytes | None]]:
    """Each line with its number, from 1, without its LF; `on_piece` sees all bytes as they come.

    Raises DatasetError when the file is missing, is not a file, or cannot be read.
    """
    try:
        with _open(path) as stream:
            yield from _split(_pieces(path, stream, on_piece))
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}") from error


def _open(path: Path) -> BinaryIO:
    try:
        if path.is_dir():
            raise DatasetError(f"{path}: this is a folder, not a data file")
        if path.exists() and not path.is_file():
            raise DatasetError(f"{path}: this is not a regular file")
        return path.open("rb")
    except FileNotFoundError:
        raise DatasetError(
            f"{path}: there is no such file",
            hint="Paths in a job file are relative to the folder that the job file is in.",
        ) from None


def _pieces(path: Path, stream: BinaryIO, on_piece: OnPiece | None) -> Iterator[bytes]:
    first = True
    while piece := stream.read(_PIECE_BYTES):
        if on_piece is not None:
            on_piece(piece)
        if first:
            first = False
            for start, (what, hint) in _FOREIGN_STARTS.items():
                if piece.startswith(start):
                    raise DatasetError(f"{path}: this is {what}", hint=hint)
            piece = piece.removeprefix(_BOM)
        yield piece


def _split(pieces: Iterator[bytes]) -> Iterator[tuple[int, bytes | None]]:
    number = 0
    tail = b""
    skipping = False  # the line that `tail` belongs to is too long already
    for piece in pieces:
        lines = (tail + piece).split(b"\n")
        tail = lines.pop()
        for line in lines:
            number += 1
            if skipping or len(line) > MAX_LINE_BYTES:
                skipping = False
                yield number, None
            else:
                yield number, line
        if skipping or len(tail) > MAX_LINE_BYTES:
            skipping = True
            tail = b""
    if skipping:
        yield number + 1, None
    elif tail:
        yield number + 1, tail
