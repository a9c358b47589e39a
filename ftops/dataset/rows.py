"""Reads training data row by row; what is wrong is told with file, line and reason.

Every line is parsed by orjson (which refuses NaN, lone surrogates and bad UTF-8) and checked by
hand. Duplicate keys, which orjson would silently overwrite, are found by counting quotes: a row has
exactly two for each of its strings. Blank lines are refused, except at the end of the file.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import orjson

from ftops.dataset.lines import MAX_LINE_BYTES, OnPiece, read_lines
from ftops.dataset.shapes import (
    COMPLETION,
    PREFERENCE,
    BadRow,
    Raw,
    check_shape,
    holds_nul,
    message_text,
)
from ftops.errors import DatasetError
from ftops.records import Message, Prompt, RowFormat

_SHOWN_ROWS = 10
_ESCAPE = re.compile(rb"\\.", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Row:
    """One good row: its line in the file, from 1, its shape, and the JSON object as it stood."""

    line: int
    format: RowFormat
    raw: Raw

    @property
    def prompt(self) -> Prompt:
        """What the model is given: the prompt, or all messages but the answer."""
        if self.format is COMPLETION:
            return cast(str, self.raw["prompt"])
        return tuple(
            Message(role=cast(str, message["role"]), content=message_text(message))
            for message in self.messages[:-1]
        )

    @property
    def completion(self) -> str:
        """What the model should answer: the completion, the last message, the preferred one."""
        if self.format is COMPLETION:
            return cast(str, self.raw["completion"])
        return message_text(self.messages[-1])

    @property
    def messages(self) -> list[Raw]:
        """The messages of a chat, as they stood; of a preference, with the preferred answer."""
        if self.format is PREFERENCE:
            asked = cast(dict[str, list[Raw]], self.raw["input"])
            return asked["messages"] + cast(list[Raw], self.raw["preferred_output"])
        return cast(list[Raw], self.raw["messages"])

    @property
    def other(self) -> str:
        """The answer of a preference row that was not preferred; nothing in other rows."""
        found = cast(list[Raw], self.raw.get("non_preferred_output") or [])
        return "".join(message_text(message) for message in found)


@dataclass(slots=True)
class BadRows:
    """What was wrong in a file: how many rows, and the first ten with their reasons."""

    path: Path
    good: int = 0
    bad: int = 0
    shown: list[str] = field(default_factory=list)

    def add(self, line: int, reason: str) -> None:
        self.bad += 1
        if len(self.shown) < _SHOWN_ROWS:
            self.shown.append(f"{self.path}:{line}: {reason}")

    def error(self) -> DatasetError:
        """All of it as one error."""
        total = self.good + self.bad
        rows = "row is" if total == 1 else "rows are"
        lines = [f"{self.path}: {self.bad} of {total} {rows} bad", *self.shown]
        if self.bad > len(self.shown):
            lines.append(f"… and {self.bad - len(self.shown)} more")
        return DatasetError("\n".join(lines))


def read_rows(path: Path, *, on_piece: OnPiece | None = None) -> Iterator[Row]:
    """The good rows of a file; then, if any was bad, DatasetError with the count and the first ten.

    So only a reader who came to the end knows that the file is good. `on_piece` sees all bytes.
    """
    bad = BadRows(path)
    first: Row | None = None
    blank: list[int] = []
    for number, line in read_lines(path, on_piece=on_piece):
        if line is not None and (not line or line.isspace()):
            blank.append(number)
            if len(blank) > _SHOWN_ROWS:
                blank.pop(0)
            continue
        for empty in blank:
            bad.add(empty, "the line is blank")
        blank.clear()
        try:
            row = _parse(number, line, first)
        except BadRow as error:
            bad.add(number, str(error))
            continue
        if first is None:
            first = row
        bad.good += 1
        yield row
    if bad.bad:
        raise bad.error()
    if first is None:
        raise DatasetError(
            f"{path}: the file holds no rows", hint="One JSON object a line is a row."
        )


def _parse(number: int, line: bytes | None, first: Row | None) -> Row:
    """The row on `line`; BadRow when it is bad, or of another shape than the `first` one."""
    if line is None:
        raise BadRow(f"the line is longer than {MAX_LINE_BYTES >> 20} MiB")
    try:
        raw = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise BadRow(_syntax_reason(line, error)) from None
    found, strings = check_shape(raw)
    quotes = 2 * strings
    # Escaped quotes only add to the count, so equality settles it; else they are left out.
    if line.count(b'"') != quotes and _count_quotes(line) != quotes:
        raise BadRow(_duplicate_reason(line))
    if b"\\u0000" in line and holds_nul(raw):
        raise BadRow("it holds the character U+0000")
    if first is not None and found is not first.format:
        raise BadRow(f"a {found} row; line {first.line} began with {first.format} rows")
    return Row(number, found, raw)


def _count_quotes(line: bytes) -> int:
    """The quotes that begin or end a string, in valid JSON."""
    if b'\\\\"' in line:  # a backslash that may end a string: look at each escape
        return _ESCAPE.sub(b"", line).count(b'"')
    return line.count(b'"') - line.count(b'\\"')


def _duplicate_reason(line: bytes) -> str:
    duplicates: list[str] = []

    def see(pairs: list[tuple[str, object]]) -> None:
        keys = [key for key, _ in pairs]
        duplicates.extend(key for key in dict.fromkeys(keys) if keys.count(key) > 1)

    json.loads(line, object_pairs_hook=see)
    names = ", ".join(repr(key) for key in duplicates[:3])
    return f"the key {names} stands there more than once"


def _syntax_reason(line: bytes, error: orjson.JSONDecodeError) -> str:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as wrong:
        return f"not UTF-8: byte 0x{line[wrong.start]:02x} at byte {wrong.start + 1} of the line"
    if "surrogate" in error.msg:
        return "an escape is half of a surrogate pair, so no character"
    if text.lstrip().startswith("["):
        return "not a row: the file should hold one JSON object a line, not a list"
    reason = error.msg.partition(": line")[0]
    return f"not JSON: {reason} (column {error.colno})"
