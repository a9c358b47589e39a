"""Maps columns to prompt and completion: by name, or by a template with columns in braces."""

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal
from typing import TypeAlias, cast

from ftops.data.keys import without_keys
from ftops.data.reading.batch import Batch, Batches, RowError
from ftops.data.reading.json_text import WHOLE_NUMBER, get_value_type, read_literally, value_to_text
from ftops.errors import DatasetError
from ftops.rows.json_values import count_quotes, count_strings, duplicate_reason
from ftops.rows.messages import InvalidRow, JsonObject
from ftops.text import find_nearest

Template: TypeAlias = Callable[[Mapping[str, object]], str]
RowMapper: TypeAlias = Callable[[JsonObject], JsonObject]

_PARTS = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_TEXTS = ("prompt", "completion")
_ESCAPES = {r"\n": "\n", r"\t": "\t", r"\\": "\\"}
_ESCAPED = re.compile(r"\\[nt\\]")


class NotTextError(Exception):
    """A `value` that is not text; the message names its type."""

    def __init__(self, column: str, value: object) -> None:
        super().__init__(f"the column {column!r} is {_describe(value)}, not text")
        self.value = value
        self.alone = True  # not inside a template
        self.row: dict[str, object] | None = None  # the row with the original values
        self.code = "null-value" if value is None else "not-text"


class MissingColumnError(Exception):
    """A record lacks a column of a template."""


def create_template(text: str, columns: Sequence[str] | None, flag: str, name: str) -> Template:
    """A function that renders `text`, a column or a template, for a record.

    `columns` are those of the source (None if they differ between records). Raises DatasetError for
    a missing column, with the most similar name.
    """
    if columns is not None and text in columns:
        return _column(text)
    if "{" not in text and columns is None:
        return _column(text)
    if "{" not in text:
        raise _missing(text, columns or (), flag, name)
    return _template(text, columns, flag, name)


def _column(column: str) -> Template:
    def render(record: Mapping[str, object]) -> str:
        value = record.get(column)
        if type(value) is str:
            return value
        if column not in record:
            raise MissingColumnError(f"the column {column!r} is missing")
        return to_text(column, value)

    return render


def _template(text: str, columns: Sequence[str] | None, flag: str, name: str) -> Template:
    parts: list[str | Template] = []
    end = 0
    for found in _PARTS.finditer(text):
        parts.append(_unescape(text[end : found.start()]))
        end = found.end()
        if found.group() in ("{{", "}}"):
            parts.append(found.group()[0])
        elif found.group() in ("{", "}"):
            raise DatasetError(
                f"{flag} {text!r}: unbalanced brace",
                hint="Name columns as {column}; escape a brace by doubling it: {{ }}.",
            )
        elif columns is not None and found.group(1) not in columns:
            raise _missing(found.group(1), columns, flag, name)
        else:
            parts.append(_column(found.group(1)))
    parts.append(_unescape(text[end:]))
    pieces = [part for part in parts if part != ""]

    def render(record: Mapping[str, object]) -> str:
        try:
            return "".join([part if isinstance(part, str) else part(record) for part in pieces])
        except NotTextError as error:
            error.alone = False
            raise

    return render


def _unescape(text: str) -> str:
    """Interpret the escapes \\n and \\t, which shells pass as two characters."""
    return _ESCAPED.sub(lambda found: _ESCAPES[found.group()], text)


def to_text(column: str, value: object) -> str:
    """A cell as text: whole numbers as their digits; NotTextError for other types."""
    if isinstance(value, str):
        return value
    if get_value_type(value) == WHOLE_NUMBER:
        return str(value_to_text(value, (WHOLE_NUMBER,)))
    raise NotTextError(column, value)


def _read_values(
    record: Mapping[str, object], prompt: Template, completion: Template
) -> dict[str, object] | None:
    """The row with the original values of other types; None if they are in a template."""
    pair: dict[str, object] = {}
    for key, render in (("prompt", prompt), ("completion", completion)):
        try:
            pair[key] = render(record)
        except NotTextError as error:
            if not error.alone:
                return None
            pair[key] = error.value
        except MissingColumnError:
            return None
    return pair


def _describe(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, Decimal):
        return "a number"
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
    meant = find_nearest(column, columns)
    shown = ", ".join(columns[:12]) + (", …" if len(columns) > 12 else "")
    return DatasetError(
        f"{name}: {flag} unknown column {column!r}; the columns are {shown}",
        hint=f"Did you mean {meant!r}?" if meant else "Name one of them, or a {template} of them.",
    )


def create_pair_mapper(prompt: Template, completion: Template) -> RowMapper:
    """A function from a record to a completion row."""

    def make(record: JsonObject) -> JsonObject:
        try:
            return {"prompt": prompt(record), "completion": completion(record)}
        except NotTextError as error:
            error.row = _read_values(record, prompt, completion)
            raise

    return make


def drop_keys(batches: Batches, keys: Collection[str]) -> Batches:
    """Records without these keys; numbers keep their digits."""
    for batch in batches:
        out = Batch([], places := [], None, batch.row_errors)
        for index, (record, place) in enumerate(zip(batch.values, batch.places, strict=True)):
            row_error = _find_lost(record, batch.lines[index], place) if batch.lines else None
            if row_error is not None:
                out.row_errors.append(row_error)
                continue
            if isinstance(record, dict):
                if batch.lines and any(type(record.get(key)) is float for key in _TEXTS):
                    record = cast("dict[str, object]", read_literally(batch.lines[index]))
                record = without_keys(record, keys)
            out.values.append(record)
            places.append(place)
        yield out


def _find_lost(record: object, line: bytes, place: int) -> RowError | None:
    """An error that the text of a record shows, but the parsed record does not."""
    strings = count_strings(record)
    if strings is None:
        return RowError(place, "too-deep", "nested too deep")
    if count_quotes(line) != 2 * strings:
        return RowError(place, "duplicate-key", duplicate_reason(line))
    return None


def map_batches(batches: Batches, make: RowMapper) -> Batches:
    """The rows that `make` creates from the records; a record that fails becomes a row error."""
    for batch in batches:
        yield _apply(batch, make)


def _make_exactly(record: JsonObject, line: bytes | None, make: RowMapper) -> JsonObject:
    """The row, with the digits of the line if a parsed number would lose some."""
    try:
        return make(record)
    except NotTextError:
        if line is None:
            raise
        return make(cast(JsonObject, read_literally(line)))


def _apply(batch: Batch, make: RowMapper) -> Batch:
    out = Batch([], places := [], None, batch.row_errors)
    lines = batch.lines
    for index, (record, place) in enumerate(zip(batch.values, batch.places, strict=True)):
        if not isinstance(record, dict):
            out.row_errors.append(RowError(place, "not-an-object", "not an object in braces"))
            continue
        row_error = _find_lost(record, lines[index], place) if lines is not None else None
        if row_error is not None:
            out.row_errors.append(row_error)
            continue
        try:
            row = _make_exactly(record, lines[index] if lines is not None else None, make)
        except NotTextError as error:
            out.row_errors.append(RowError(place, error.code, str(error), record=error.row))
        except InvalidRow as error:
            out.row_errors.append(RowError(place, error.code, str(error)))
        except MissingColumnError as error:
            out.row_errors.append(RowError(place, "missing-key", str(error)))
        else:
            out.values.append(row)
            places.append(place)
    return out
