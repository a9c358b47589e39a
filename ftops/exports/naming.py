"""Names as a tool takes them: of characters that it allows, not too long, no two alike."""

import hashlib
import re
from collections.abc import Iterable, Mapping

_NOT_ALLOWED = re.compile(r"[^\w\-. ]")
_DIGEST = 8


def fit_names(names: Iterable[str], *, limit: int) -> Mapping[str, str]:
    """Of each name the one to use: the same for the same names, and never one for two of them.

    Letters, digits, `_`, `-`, `.`, blanks and slashes stay; a part between slashes is never empty,
    `.` or `..`, since tools make folders of them.
    """
    fitted: dict[str, str] = {}
    taken: set[str] = set()
    for name in dict.fromkeys(names):
        plain = "/".join(_clean(part) for part in name.split("/"))
        if len(plain) > limit or plain in taken:
            digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:_DIGEST]
            plain = f"{plain[: limit - _DIGEST - 1]}-{digest}"
        taken.add(plain)
        fitted[name] = plain
    return fitted


def cut(text: str, limit: int) -> str:
    """The text, with `…` for what is beyond the limit."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _clean(part: str) -> str:
    plain = _NOT_ALLOWED.sub("_", part).strip()
    return "_" if plain.strip(".") == "" else plain
