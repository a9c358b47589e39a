"""The signature, held to an independent reading of the scheme."""

import base64
import hashlib
import hmac

import pytest

from ftops.notifications.signature import find_key, sign
from tests.notifications.receiver import KEY, SECRET


def test_the_signature_is_the_hmac_of_id_time_and_body() -> None:
    headers = sign(KEY, "msg_1", 1_674_087_231, b'{"a":1}')
    expected = hmac.new(KEY, b'msg_1.1674087231.{"a":1}', hashlib.sha256).digest()
    assert headers == {
        "webhook-id": "msg_1",
        "webhook-timestamp": "1674087231",
        "webhook-signature": f"v1,{base64.b64encode(expected).decode()}",
    }


def test_a_signature_that_was_made_elsewhere_is_the_same() -> None:
    """Made by `openssl dgst -sha256 -mac HMAC` over the same key and text."""
    assert sign(KEY, "msg_1", 1, b"{}")["webhook-signature"] == (
        "v1,Fj1xD533GHFGumBeEr9dgQ19EkM44LsDoFaDBQihN4A="
    )


@pytest.mark.parametrize("secret", [SECRET, SECRET.rstrip("=")])
def test_the_key_stands_in_base64_behind_the_prefix(secret: str) -> None:
    assert find_key(secret) == KEY


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        SECRET.removeprefix("whsec_"),
        "whsec_" + base64.b64encode(b"x" * 23).decode(),
        "whsec_" + base64.b64encode(b"x" * 65).decode(),
        "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY!",
        "whsec_ключ" * 8,
        SECRET + "A",
    ],
)
def test_what_is_no_secret_of_that_form_is_none(secret: str) -> None:
    assert find_key(secret) is None
