"""Compares text by its appearance, and shows or removes invisible characters.

Two spellings of one character (é as one code point, or as e with an accent) are equal text: they
have the same NFC form. Compatibility forms (ﬁ and fi, ² and 2) look different and stay different.
"""

import difflib
import re
from collections.abc import Iterable, Sequence
from unicodedata import normalize

# C0 and C1 controls without tab and new line, marks and overrides of the writing direction, line
# and paragraph separators, halves of surrogate pairs, and noncharacters
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def to_nfc(text: str) -> str:
    """The NFC form of `text`, for comparisons only; files keep the original form."""
    return text if text.isascii() else normalize("NFC", text)


def all_to_nfc(texts: Sequence[str], joined: str) -> Sequence[str]:
    """The NFC forms of `texts`; `joined` holds all of them. Returns `texts` if nothing changes."""
    if joined.isascii() or _is_latin1(joined):
        return texts
    return list(map(to_nfc, texts))


def json_to_nfc(data: bytes) -> bytes:
    """The NFC form of JSON: equal texts have equal bytes."""
    return data if data.isascii() else normalize("NFC", data.decode()).encode()


def _is_latin1(text: str) -> bool:
    """Whether all characters are below U+0100, so that the text is in NFC; faster than a check."""
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True


def show_hidden(text: str) -> str:
    r"""The text with its hidden characters written as escapes, such as \u202e."""
    return _HIDDEN.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def to_one_line(text: str) -> str:
    """The text on one line, without characters that move a terminal's cursor."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def format_count(number: int, noun: str) -> str:
    """The number with its noun: 1 row, 2,000 rows."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def find_nearest(name: str, known: Iterable[str], *, strict: bool = False) -> str | None:
    """The known name that is most similar to `name`, ignoring case; None if none is similar.

    `strict` accepts hardly more than one typo, for known names that are unlikely to be meant.
    """
    by_lower = {candidate.lower(): candidate for candidate in reversed(list(known))}
    cutoff = 0.8 if strict else 0.6
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=cutoff)
    return by_lower[near[0]] if near else None


def suggest_name(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """A "did you mean" question for a message, or `otherwise` if no known name is similar."""
    nearest = find_nearest(name, known)
    return f"did you mean '{nearest}'?" if nearest else otherwise


def format_usd(usd: float) -> str:
    """The amount with as many digits as needed: $0.0012, $3.40."""
    return f"${usd:,.2f}" if usd >= 0.1 or usd == 0 else f"${usd:.2g}"
