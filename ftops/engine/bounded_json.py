"""Parses untrusted JSON in bounded time.

A parser holds the GIL until it is done: 8 MB of empty lists take two seconds. Values and keys are
therefore counted first, in a few fast passes over the bytes. Long strings are cheap and not
limited.
"""

from collections.abc import Iterator
from typing import Any

import orjson

SMALL_BYTES = 1 << 16  # parsed without counting: it takes milliseconds at most
MAX_VALUES = 20_000
MAX_KEYS = 5_000
_PIECE_BYTES = 1 << 19


class TooManyValues(ValueError):
    """The JSON has too many values or keys."""


def read_bounded(data: bytes) -> Any:
    """Parse `data`.

    Raises TooManyValues, or orjson.JSONDecodeError if it is not JSON in UTF-8.
    """
    if len(data) > SMALL_BYTES:
        _check_size(data)
    return orjson.loads(data)


def _check_size(data: bytes) -> None:
    """Raise TooManyValues; invalid JSON is left to the parser."""
    if _count(data, b",[{") > MAX_VALUES or _count(data, b":") > MAX_KEYS:
        data = _drop_strings(data)
        if _count(data, b",[{") > MAX_VALUES:
            raise TooManyValues(f"more than {MAX_VALUES:,} values")
        if _count(data, b":") > MAX_KEYS:
            raise TooManyValues(f"more than {MAX_KEYS:,} keys")


def _count(data: bytes, marks: bytes) -> int:
    return sum(piece.count(mark) for piece in _cut(data) for mark in marks)


def _drop_strings(data: bytes) -> bytes:
    """The JSON without its strings; TooManyValues for too many of them."""
    outside: list[bytes] = []
    inside, n_marks, carried = 0, 0, b""
    for piece in _cut(data):
        piece = carried + piece
        # A backslash at the end belongs to the next chunk, with its escaped character.
        cut = len(piece) - (len(piece) - len(piece.rstrip(b"\\"))) % 2
        piece, carried = piece[:cut], piece[cut:]
        piece = piece.replace(b"\\\\", b"").replace(b'\\"', b"")
        n_marks += piece.count(b'"')
        if n_marks > 2 * (MAX_VALUES + MAX_KEYS):
            raise TooManyValues(f"more than {MAX_VALUES:,} values")
        texts = piece.split(b'"')
        outside += texts[inside::2]
        inside = (inside + len(texts) - 1) % 2
    return b"".join(outside)


def _cut(data: bytes) -> Iterator[bytes]:
    """Split into chunks, between which other threads can run."""
    for start in range(0, len(data), _PIECE_BYTES):
        yield data[start : start + _PIECE_BYTES]
