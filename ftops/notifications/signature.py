"""Signs webhooks by the scheme of Standard Webhooks, so that any receiver's library checks them.

The key is what stands in base64 behind `whsec_`, 24 to 64 bytes; the signature is the HMAC-SHA256
of id, time and body, joined by dots. (standardwebhooks.com, symmetric signatures, v1)
"""

import base64
import binascii
import hashlib
import hmac

PREFIX = "whsec_"
WANTED = f"{PREFIX} and then 24 to 64 bytes in base64"
_LEAST_BYTES = 24
_MOST_BYTES = 64


def find_key(secret: str) -> bytes | None:
    """The key in a secret; None when it is not of the form that `WANTED` names."""
    if not secret.startswith(PREFIX):
        return None
    text = secret.removeprefix(PREFIX).rstrip("=")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if _LEAST_BYTES <= len(key) <= _MOST_BYTES else None


def sign(key: bytes, notice_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """The headers by which the receiver knows who sent the body, and when."""
    signed = b".".join((notice_id.encode(), str(timestamp_s).encode(), body))
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    return {
        "webhook-id": notice_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }
