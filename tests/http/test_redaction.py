"""A key is removed from responses in any form."""

import base64

import pytest

from ftops.http.redaction import redact, redact_bytes

KEY = "sk-canary-0123456789-abcdefghij"


@pytest.mark.parametrize("before", ["", "u", "Bearer ", "user:", "{'key': '"])
@pytest.mark.parametrize("after", ["", "'}", "\n"])
@pytest.mark.parametrize("altchars", [None, b"-_"])
def test_a_key_inside_base64_is_removed(before: str, after: str, altchars: bytes | None) -> None:
    encoded = base64.b64encode(f"{before}{KEY}{after}".encode(), altchars).decode()
    for shown in (redact(encoded, KEY), redact_bytes(encoded.encode(), KEY).decode()):
        head, mask, tail = shown.partition("***")
        assert mask
        assert len(head + tail) <= len(base64.b64encode((before + after).encode())) + 4


@pytest.mark.parametrize("echo", [f"key {KEY}.", f"key {KEY.encode().hex()}"])
def test_no_form_of_the_key_remains(echo: str) -> None:
    assert redact(echo, KEY).startswith("key ***")
    assert len(redact(echo, KEY)) < 10


def test_other_text_is_unchanged() -> None:
    text = "aGVsbG8gdGhlcmU= 6162 hello"
    assert redact(text, "") == text
    assert redact(text, "ab") == text
    assert redact(text, KEY) == text
