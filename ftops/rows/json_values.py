"""Measures JSON: nesting depth, number of strings, nulls, NUL characters and duplicate keys."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

MAX_DEPTH = 64


@dataclass(frozen=True, slots=True)
class Literal:
    """A JSON number as written, with all its digits."""

    text: str


def count_strings(value: object) -> int | None:
    """The number of strings in `value`, keys included; None if nested deeper than MAX_DEPTH."""
    count = 0
    level = [value]
    for _ in range(MAX_DEPTH):
        below: list[object] = []
        for item in level:
            if isinstance(item, str):
                count += 1
            elif isinstance(item, dict):
                count += len(item)
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        if not below:
            return count
        level = below
    return None


def has_nul(value: object) -> bool:
    """Whether a string in `value`, keys included, contains the character U+0000."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            if "\0" in item:
                return True
        elif isinstance(item, dict):
            pending.extend(item)
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)
    return False


def has_null(record: object) -> bool:
    """Whether `record`, or an object in it, has a null member."""
    if not isinstance(record, dict):
        return False
    pending: list[object] = [record]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            if None in item.values():
                return True
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)
    return False


def count_quotes(text: bytes) -> int:
    """The number of quotes that begin or end a string, in valid JSON."""
    quotes = text.count(b'"')
    if b"\\" not in text:
        return quotes
    if b"\\\\" in text:  # a pair of backslashes does not escape the next character
        text = text.replace(b"\\\\", b"")
        quotes = text.count(b'"')
    return quotes - text.count(b'\\"')


def duplicate_reason(text: bytes) -> str:
    """A message with the duplicate keys of an object in `text`."""
    duplicates: list[str] = []

    def see(pairs: Sequence[tuple[str, object]]) -> None:
        keys = [key for key, _ in pairs]
        duplicates.extend(key for key in dict.fromkeys(keys) if keys.count(key) > 1)

    json.loads(text, object_pairs_hook=see)
    names = ", ".join(repr(key) for key in duplicates[:3])
    return f"the key {names} is duplicated"
