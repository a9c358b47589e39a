"""Errors of JSON text beyond what the parser reports, and values that can be converted to text."""

import json
import math
from collections.abc import Collection
from decimal import Decimal

import orjson

from ftops.data.reading.batch import RowError
from ftops.data.reading.options import MAX_LINE_BYTES
from ftops.rows.json_values import Literal


def read_literally(text: bytes) -> object:
    """The value of valid JSON that is not nested too deep, with literals for numbers."""
    return json.loads(text, parse_int=Literal, parse_float=Literal)


def syntax_error(place: int, text: bytes, error: orjson.JSONDecodeError) -> RowError:
    """The error for invalid JSON."""
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError as wrong:
        byte = f"byte 0x{text[wrong.start]:02x} at byte {wrong.start + 1} of the line"
        return RowError(place, "not-utf8", f"not UTF-8: {byte}")
    if "surrogate" in error.msg:
        return RowError(place, "not-text", "an escape is an unpaired surrogate")
    if decoded.lstrip().startswith("["):
        reason = "not a row: the file must have one JSON object per line, not a list"
        return RowError(place, "not-json", reason)
    reason = error.msg.partition(": line")[0]
    return RowError(place, "not-json", f"not JSON: {reason} (column {error.colno})", record=text)


def line_too_long(place: int) -> RowError:
    """The error for a line or record over the size limit."""
    return RowError(place, "too-long", f"the line is longer than {MAX_LINE_BYTES >> 20} MiB")


TEXT, NUMBER, WHOLE_NUMBER, BOOLEAN = "text", "a number", "a whole number", "true or false"
NUMBERS = frozenset({NUMBER, WHOLE_NUMBER})
_EXACT = 1 << 53  # from here on, a floating-point number may have lost digits
_OTHER = "not text"


def get_value_type(value: object) -> str:
    """TEXT, WHOLE_NUMBER, NUMBER or BOOLEAN, or another name for other types."""
    if isinstance(value, str):
        return TEXT
    if isinstance(value, bool):
        return BOOLEAN
    if isinstance(value, Literal):
        return WHOLE_NUMBER if is_whole_number(value.text) else NUMBER
    if isinstance(value, int):
        return WHOLE_NUMBER
    if isinstance(value, Decimal):
        return NUMBER if value.is_finite() else _OTHER
    if isinstance(value, float):
        return NUMBER if math.isfinite(value) and abs(value) < _EXACT else _OTHER
    return _OTHER


def is_whole_number(text: str) -> bool:
    """Whether a text is an integer."""
    return text.removeprefix("-").isdecimal()


def value_to_text(value: object, kinds: Collection[str]) -> object:
    """A value of these types as the text in the file; other values are unchanged."""
    if get_value_type(value) not in kinds or isinstance(value, str):
        return value
    if isinstance(value, Literal):
        return value.text
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
