"""What is wrong with JSON text, beyond what its parser says."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from ftops.data.reading.batches import Fault
from ftops.data.reading.options import MAX_LINE_BYTES

MAX_DEPTH = 64
_ESCAPE = re.compile(rb"\\.", re.DOTALL)


def count_quotes(text: bytes) -> int:
    """The quotes that begin or end a string, in valid JSON (of one record or of many)."""
    quotes = text.count(b'"')
    if b"\\" not in text:
        return quotes
    if b"\\\\" in text:  # pairs of backslashes escape nothing that follows them
        text = text.replace(b"\\\\", b"")
        quotes = text.count(b'"')
    return quotes - text.count(b'\\"')


def count_strings(value: object) -> int | None:
    """How many strings, keys included, JSON text of `value` holds; None when it nests too deep."""
    count = 0
    level = [value]
    for _ in range(MAX_DEPTH):
        below: list[object] = []
        for one in level:
            if isinstance(one, str):
                count += 1
            elif isinstance(one, dict):
                count += len(one)
                below.extend(one.values())
            elif isinstance(one, list):
                below.extend(one)
        if not below:
            return count
        level = below
    return None


@dataclass(frozen=True, slots=True)
class Literal:
    """A number of JSON as it is written, with all its digits."""

    text: str


def read_literally(text: bytes) -> object:
    """The value of valid JSON that does not nest too deep, with literals for numbers."""
    return json.loads(text, parse_int=Literal, parse_float=Literal)


def holds_nul(value: object) -> bool:
    """Whether a string in `value`, keys included, holds the character U+0000."""
    pending = [value]
    while pending:
        one = pending.pop()
        if isinstance(one, str):
            if "\0" in one:
                return True
        elif isinstance(one, dict):
            pending.extend(one)
            pending.extend(one.values())
        elif isinstance(one, list):
            pending.extend(one)
    return False


def holds_null(record: object) -> bool:
    """Whether a key of an object in `record`, itself an object, has no value."""
    if not isinstance(record, dict):
        return False
    pending: list[object] = [record]
    while pending:
        one = pending.pop()
        if isinstance(one, dict):
            if None in one.values():
                return True
            pending.extend(one.values())
        elif isinstance(one, list):
            pending.extend(one)
    return False


def duplicate_reason(text: bytes) -> str:
    """Which keys stand more than once in an object of `text`, in words."""
    duplicates: list[str] = []

    def see(pairs: Sequence[tuple[str, object]]) -> None:
        keys = [key for key, _ in pairs]
        duplicates.extend(key for key in dict.fromkeys(keys) if keys.count(key) > 1)

    json.loads(text, object_pairs_hook=see)
    names = ", ".join(repr(key) for key in duplicates[:3])
    return f"the key {names} stands there more than once"


def syntax_fault(place: int, text: bytes, error: orjson.JSONDecodeError) -> Fault:
    """Why `text` is no JSON, for people."""
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError as wrong:
        byte = f"byte 0x{text[wrong.start]:02x} at byte {wrong.start + 1} of the line"
        return Fault(place, "not-utf8", f"not UTF-8: {byte}")
    if "surrogate" in error.msg:
        return Fault(place, "not-text", "an escape is half of a surrogate pair, so no character")
    if decoded.lstrip().startswith("["):
        reason = "not a row: the file should hold one JSON object a line, not a list"
        return Fault(place, "not-json", reason)
    reason = error.msg.partition(": line")[0]
    return Fault(place, "not-json", f"not JSON: {reason} (column {error.colno})", record=text)


def long_fault(place: int) -> Fault:
    """A line or record that was never held whole."""
    return Fault(place, "too-long", f"the line is longer than {MAX_LINE_BYTES >> 20} MiB")
