"""Makes JSON of what people write for it, where there is only one way to read it.

Keys without quotes, single or curly quotes, and commas that are too many: what blogs and chat
windows do to examples. Anything else is left alone, a line that was cut first of all.
"""

import json
import re

import orjson

_MOST_CHARACTERS = 1 << 20
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<string>"(?:[^"\\]|\\.)*")
      | (?P<single>'(?:[^'\\]|\\.)*')
      | (?P<curly>\u201c[^\u201c\u201d"]*\u201d)
      | (?P<word>[A-Za-z_$][A-Za-z0-9_$]*)
      | (?P<number>-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)
      | (?P<sign>[{}\[\]:,])
    )""",
    re.VERBOSE | re.DOTALL,
)
_WORDS = {"true", "false", "null"}
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def mend_json(text: str) -> object | None:
    """The value that `text` was meant to be; None when that is not certain."""
    if len(text) > _MOST_CHARACTERS:
        return None
    tokens = _split(text.strip().removeprefix("\ufeff"))
    if not tokens:
        return None
    while tokens and tokens[-1] == ",":
        tokens.pop()
    kept = [
        token
        for token, following in zip(tokens, [*tokens[1:], ""], strict=False)
        if not (token == "," and following in ("}", "]"))
    ]
    try:
        value: object = orjson.loads("".join(kept))
    except orjson.JSONDecodeError:
        return None
    return value


def _split(text: str) -> list[str] | None:
    """The tokens of `text` as JSON writes them; None when something in it is no token."""
    tokens: list[str] = []
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            return None
        at = found.end()
        token = _rewrite(found)
        if token is None:
            return None
        if found.lastgroup == "word" and token.startswith('"'):
            rest = text[at:].lstrip()
            if not rest.startswith(":"):  # a word alone is a key, never a value
                return None
        tokens.append(token)
    return tokens


def _rewrite(found: "re.Match[str]") -> str | None:
    token = found[found.lastgroup or 0]
    if found.lastgroup == "single":
        return _requote(token[1:-1])
    if found.lastgroup == "curly":
        return json.dumps(token[1:-1], ensure_ascii=False)
    if found.lastgroup == "word" and token not in _WORDS:
        return json.dumps(token)
    return token


def _requote(inner: str) -> str | None:
    """What stood between single quotes, between double ones."""
    parts = []
    end = 0
    for found in _ESCAPED.finditer(inner):
        parts.append(inner[end : found.start()].replace('"', r"\""))
        parts.append("'" if found[1] == "'" else found[0])
        end = found.end()
    parts.append(inner[end:].replace('"', r"\""))
    return f'"{"".join(parts)}"'
