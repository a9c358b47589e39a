"""Values as YAML that any reader takes for the same: JSON, and what nobody sees escaped."""

import json

from ftops.records import Json


def render_value(value: Json) -> str:
    """The value in one line."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(one if one.isprintable() else _escape(one) for one in text)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
