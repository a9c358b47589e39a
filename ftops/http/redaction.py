"""Removes a key from responses, in every encoding in which servers repeat it."""

import base64
import functools

MASK = "***"
_SHORTEST_FORM = 16  # shorter base64 occurs in unrelated text


@functools.lru_cache(maxsize=8)
def list_forms(key: str) -> tuple[str, ...]:
    """The key in plain text, in hexadecimal, and in base64 at every offset."""
    if not key:
        return ()
    raw = key.encode()
    forms = {raw.hex()} | {_encode(raw, before) for before in range(3)}
    forms |= {form.replace("+", "-").replace("/", "_") for form in forms}
    return (key, *sorted(form for form in forms if len(form) >= _SHORTEST_FORM))


def redact(text: str, key: str) -> str:
    """The text with asterisks in place of the key."""
    for form in list_forms(key):
        text = text.replace(form, MASK)
    return text


def redact_bytes(content: bytes, key: str) -> bytes:
    """The bytes with asterisks in place of the key."""
    for form in list_forms(key):
        content = content.replace(form.encode(), MASK.encode())
    return content


def _encode(raw: bytes, before: int) -> str:
    """The base64 digits that encode only `raw`, after `before` other bytes."""
    digits = base64.b64encode(bytes(before) + raw).decode()
    return digits[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6]
