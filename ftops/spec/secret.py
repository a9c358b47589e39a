"""Recognises text that looks like a secret: job files must not contain it, messages mask it.

The patterns match keys with the prefix of their issuer; a random-looking word alone does not count
as a secret.
"""

import re

_SECRET = re.compile(
    r"""(?<![A-Za-z0-9])(?:
        sk-[A-Za-z0-9_-]{20,}                              # OpenAI and others
      | sk-(?:[a-z]+-)?(?=[A-Za-z_]*[0-9])[A-Za-z0-9_]{8,}
      | (?:hf|gsk|tgp|r8)_[A-Za-z0-9_]{16,}                # Hugging Face, Groq, Together, Replicate
      | (?:AKIA|ASIA)[A-Z0-9]{12,}                         # AWS
      | whsec_[A-Za-z0-9+/_-]{16,}                         # webhooks
      | gh[opsur]_[A-Za-z0-9]{16,} | github_pat_[A-Za-z0-9_]{16,}
      | xox[abprs]-[A-Za-z0-9-]{10,}                       # Slack
      | AIza[A-Za-z0-9_-]{20,}                             # Google
      | eyJ[A-Za-z0-9_-]{10,500}\.eyJ[A-Za-z0-9_-]{10,}    # a signed web token
    )
    | -----BEGIN[A-Z ]*\ PRIVATE\ KEY-----
    | (?<=://)[^\s/@:]*:[^\s/@]+(?=@)                      # user:password@ in an address
    """,
    re.VERBOSE,
)
# Parts of addresses that may be secret: a user, a query, the path of a webhook.
_PRIVATE_PART = re.compile(
    r"""(://)[^\s/@'"]+(?=@)
      | (://[^\s'"?]*\?)[^\s'",}\]]+
      | (webhook_url['"]?\s*[:=]\s*['"]?https?://[^\s/'"]+/)[^\s'",}]+""",
    re.VERBOSE,
)
_SECRET_FIELD = re.compile(
    r"(?:^|[_-])(?:api_?-?key|key|secret|passw(?:or)?d|token|authorization|bearer)$", re.IGNORECASE
)


def list_secrets(text: str) -> list[tuple[int, int]]:
    """The (start, end) pairs of all parts of `text` that look like a secret."""
    return [match.span() for match in _SECRET.finditer(text)]


def mask_secrets(text: str) -> str:
    """`text` with an asterisk for every character that looks like part of a secret.

    In an address, the user, the query, and the path of a `webhook_url` count as well.
    """
    text = _SECRET.sub(lambda match: "*" * len(match[0]), text)
    return _PRIVATE_PART.sub(_mask_private_part, text)


def _mask_private_part(match: re.Match[str]) -> str:
    prefix = match[match.lastindex or 0]
    return prefix + "*" * (len(match[0]) - len(prefix))


def is_secret_field(name: str) -> bool:
    """Whether a field of this name holds a secret."""
    return _SECRET_FIELD.search(name) is not None
