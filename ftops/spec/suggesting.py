"""What the user probably meant by a value that a field does not take."""

from ftops.spec.reader import resolve_plain
from ftops.spec.section import Wanted
from ftops.text import suggest_name

_FLAGS = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}


def suggest(wanted: Wanted, value: object, shown: str) -> str:
    """What the user probably meant; empty when nobody can tell."""
    if isinstance(value, str) and (suggestion := suggest_name(value, wanted.choices)):
        return suggestion
    if wanted.kind == "text" and isinstance(value, bool | int | float):
        return f'put it in quotes: "{shown}"'
    if wanted.kind == "flag" and isinstance(value, str) and value.lower() in _FLAGS:
        return f"write {_FLAGS[value.lower()]}"
    if wanted.kind in ("number", "flag") and isinstance(value, str):
        plain = resolve_plain(value)
        if not isinstance(plain, str) and plain is not None:
            return f"write it without quotes: {value}"
    return ""
