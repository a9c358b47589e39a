"""Values that are no text: what they are, and how those with one reading as text are written."""

import math
from collections.abc import Collection
from decimal import Decimal

from ftops.rows.json_values import Literal

TEXT, NUMBER, WHOLE_NUMBER, BOOLEAN = "text", "a number", "a whole number", "true or false"
NUMBERS = frozenset({NUMBER, WHOLE_NUMBER})
_EXACT = 1 << 53  # from here on a floating point number may have lost digits
_OTHER = "no text"


def find_kind(value: object) -> str:
    """TEXT, WHOLE_NUMBER, NUMBER or BOOLEAN; another word for what has no one reading as text."""
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
    """Whether a text is digits, perhaps behind a minus sign."""
    return text.removeprefix("-").isdecimal()


def write_value(value: object, kinds: Collection[str]) -> object:
    """A value of these kinds as text, as it stands in the file; any other as it is."""
    if find_kind(value) not in kinds or isinstance(value, str):
        return value
    if isinstance(value, Literal):
        return value.text
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
