"""Columns become prompt and completion: by name, or by a template with columns in braces."""

import difflib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from ftops.dataset.messages import BadRow, Raw
from ftops.dataset.reading.batches import Batch, Batches, Fault
from ftops.dataset.reading.json_text import count_quotes, count_strings, duplicate_reason
from ftops.errors import DatasetError

Render: TypeAlias = Callable[[Mapping[str, object]], str]
MakeRow: TypeAlias = Callable[[Raw], Raw]

_PARTS = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_ESCAPES = {r"\n": "\n", r"\t": "\t", r"\\": "\\"}
_ESCAPED = re.compile(r"\\[nt\\]")


class NoText(Exception):
    """A value that is no text; the message says what it is."""

    def __init__(self, column: str, value: object) -> None:
        super().__init__(f"the column {column!r} is {_describe(value)}, not text")
        self.code = "null-value" if value is None else "not-text"


class MissingColumn(Exception):
    """A record lacks a column that a template names."""


def make_render(text: str, columns: Sequence[str] | None, flag: str, name: str) -> Render:
    """What turns a record into the text that `text`, a column or a template, stands for.

    `columns` are those that the source has (None: they differ from record to record). DatasetError
    when a column is missing, with the nearest that is there.
    """
    if columns is not None and text in columns:
        return _column(text)
    if "{" not in text and columns is None:
        return _column(text)
    if "{" not in text:
        raise _missing(text, columns or (), flag, name)
    return _template(text, columns, flag, name)


def _column(column: str) -> Render:
    def render(record: Mapping[str, object]) -> str:
        value = record.get(column)
        if type(value) is str:
            return value
        if column not in record:
            raise MissingColumn(f"the column {column!r} is missing")
        return to_text(column, value)

    return render


def _template(text: str, columns: Sequence[str] | None, flag: str, name: str) -> Render:
    parts: list[str | Render] = []
    end = 0
    for found in _PARTS.finditer(text):
        parts.append(_unescape(text[end : found.start()]))
        end = found.end()
        if found.group() in ("{{", "}}"):
            parts.append(found.group()[0])
        elif found.group() in ("{", "}"):
            raise DatasetError(
                f"{flag} {text!r}: a brace is open or closed alone",
                hint="Name columns as {column}; a brace itself is written twice: {{ }}.",
            )
        elif columns is not None and found.group(1) not in columns:
            raise _missing(found.group(1), columns, flag, name)
        else:
            parts.append(_column(found.group(1)))
    parts.append(_unescape(text[end:]))
    pieces = [part for part in parts if part != ""]

    def render(record: Mapping[str, object]) -> str:
        return "".join([part if isinstance(part, str) else part(record) for part in pieces])

    return render


def _unescape(text: str) -> str:
    """Shells hand over \\n as two characters."""
    return _ESCAPED.sub(lambda found: _ESCAPES[found.group()], text)


def to_text(column: str, value: object) -> str:
    """A cell as text: whole numbers as their digits; NoText for what has no one way to write it."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise NoText(column, value)


def _describe(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, float):
        return "a number with a fraction" if math.isfinite(value) else "not a number"
    return (
        "a list"
        if isinstance(value, list)
        else "an object"
        if isinstance(value, dict)
        else (type(value).__name__)
    )


def _missing(column: str, columns: Sequence[str], flag: str, name: str) -> DatasetError:
    near = difflib.get_close_matches(column, columns, n=1, cutoff=0.5)
    lower = [one for one in columns if one.lower() == column.lower()]
    meant = (lower or near or [""])[0]
    shown = ", ".join(columns[:12]) + (", …" if len(columns) > 12 else "")
    return DatasetError(
        f"{name}: {flag} names the column {column!r}, and there is none; there are {shown}",
        hint=f"Did you mean {meant!r}?" if meant else "Name one of them, or a {template} of them.",
    )


def make_pair(prompt: Render, completion: Render) -> MakeRow:
    """What turns a record into a pair of prompt and completion."""

    def make(record: Raw) -> Raw:
        return {"prompt": prompt(record), "completion": completion(record)}

    return make


def make_rows(batches: Batches, make: MakeRow) -> Batches:
    """Records as the rows that `make` makes of them; what cannot become one is a fault."""
    for batch in batches:
        yield _apply(batch, make)


def _apply(batch: Batch, make: MakeRow) -> Batch:
    out = Batch([], places := [], None, batch.faults)
    lines = batch.lines
    for index, (record, place) in enumerate(zip(batch.values, batch.places, strict=True)):
        if not isinstance(record, dict):
            out.faults.append(Fault(place, "not-an-object", "not an object in braces"))
            continue
        if lines is not None:
            strings = count_strings(record)
            if strings is None:
                out.faults.append(Fault(place, "too-deep", "nested too deep"))
                continue
            if count_quotes(lines[index]) != 2 * strings:
                reason = duplicate_reason(lines[index])
                out.faults.append(Fault(place, "duplicate-key", reason))
                continue
        try:
            row = make(record)
        except (NoText, BadRow) as error:
            out.faults.append(Fault(place, error.code, str(error)))
        except MissingColumn as error:
            out.faults.append(Fault(place, "missing-key", str(error)))
        else:
            out.values.append(row)
            places.append(place)
    return out
