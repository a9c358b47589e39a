"""Private data and secrets in a text: where they are, and the text without them.

What is looked for can be told by its form; names and addresses of people cannot, and are not.
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final

from ftops.data.screening.credentials import find_keys, find_password
from ftops.data.screening.kinds import Kind, Place
from ftops.data.screening.numbers import find_numbers

_LOCAL = re.compile(rb"[A-Za-z0-9_%+\-](?:[A-Za-z0-9._%+\-]{0,62}[A-Za-z0-9_%+\-])?\Z")
_DOMAIN = re.compile(
    rb"(?:[A-Za-z0-9](?:[A-Za-z0-9\-]{0,61}[A-Za-z0-9])?\.){1,8}(?P<top>[A-Za-z]{2,24})"
    rb"(?![A-Za-z0-9\-])"
)
_LONGEST_LOCAL = 64
_LONGEST_DOMAIN = 255
_NO_MAIL: Final = frozenset(
    # of examples (RFC 2606) and of file names such as icon@2x.png
    b"example test invalid localhost local png jpg jpeg gif svg webp pdf css js py".split()
)
_EXAMPLES: Final = (b"example.com", b"example.org", b"example.net")
_RANK = {kind: rank for rank, kind in enumerate(Kind)}
_ESCAPE = re.compile(r"\\[bfnrt/\"]")  # as JSON writes what may stand before a number
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BARE = re.compile(r'[^\s,:\[\]{}"]*')  # a number of JSON, true, false or null


def find_private(text: str) -> list[Place]:
    """Everything private or secret in the text, in its order; places do not overlap."""
    data = text.encode("ascii", "replace")  # one byte a character, so that places are the text's
    found = [*find_keys(data), *_find_addresses(data), *find_numbers(data)]
    if not found:
        return []
    found.sort()
    taken: list[Place] = []
    together, end = [found[0]], found[0].end
    for place in found[1:]:
        if place.start >= end:
            taken += _choose(together)
            together = []
        together.append(place)
        end = max(end, place.end)
    return taken + _choose(together)


def _choose(together: list[Place]) -> list[Place]:
    """Of places that overlap, those of the weightiest kinds that do not."""
    taken: list[Place] = []
    for place in sorted(together, key=lambda place: (_RANK[place.kind], place)):
        if all(place.end <= one.start or one.end <= place.start for one in taken):
            taken.append(place)
    return sorted(taken)


def redact(text: str, kinds: Collection[Kind] = frozenset(Kind)) -> str:
    """The text with a placeholder such as [EMAIL] for each private or secret thing in it.

    The same text always gives the same result, and nothing of the `kinds` is found in a result any
    more.
    """
    while found := [place for place in find_private(text) if place.kind in kinds]:
        text = _replace(text, found, lambda place: place.kind.value)
    return text


def blank_escapes(text: str) -> str:
    """JSON with two blanks in the place of each line end and the like, as long as it was."""
    return _ESCAPE.sub("  ", text)


def redact_json(text: str, kinds: Collection[Kind] = frozenset(Kind)) -> str:
    """The same for a text of JSON, which it stays: what stood as a number becomes a string."""
    while found := [one for one in find_private(blank_escapes(text)) if one.kind in kinds]:
        strings = [one.span() for one in _STRING.finditer(text)]
        text = _replace(text, [_widen(text, one, strings) for one in found], _write_placeholder)
    return text


def _widen(text: str, place: Place, strings: Sequence[tuple[int, int]]) -> Place:
    """The place, or all of the number that it is in; `of` is then empty."""
    if any(start < place.end and place.start < end for start, end in strings):
        return place
    start = place.start
    while start and _BARE.fullmatch(text, start - 1, place.start):
        start -= 1
    bare = _BARE.match(text, place.end)
    return Place(start, bare.end() if bare else place.end, place.kind, "")


def _write_placeholder(place: Place) -> str:
    return place.kind.value if place.of else f'"{place.kind.value}"'


def hide(text: str) -> str:
    """The text to be shown: of all that is private in it the first characters only.

    It may be JSON, in which a line end is two characters.
    """
    found = find_private(blank_escapes(text))
    text = _replace(text, found, lambda place: mask(text[place.start : place.end]))
    return redact(text)


def _replace(text: str, places: Sequence[Place], make: Callable[[Place], str]) -> str:
    parts, end = [], 0
    for place in places:
        parts += [text[end : place.start], make(place)]
        end = place.end
    return "".join([*parts, text[end:]])


def mask(text: str) -> str:
    """The first characters of a secret, at most four and a fifth of it, to know it by."""
    shown = text[: min(4, len(text) // 5)]
    return f"{shown}… ({len(text)} characters)"


def _find_addresses(data: bytes) -> Iterator[Place]:
    """E-mail addresses, and passwords in web addresses, by their @."""
    at = data.find(b"@")
    while at >= 0:
        password = find_password(data, at)
        if password is not None:
            yield password
        else:
            yield from _find_email(data, at)
        at = data.find(b"@", at + 1)


def _find_email(data: bytes, at: int) -> Iterator[Place]:
    domain = _DOMAIN.match(data, at + 1, at + 1 + _LONGEST_DOMAIN)
    if domain is None or domain["top"].lower() in _NO_MAIL:
        return
    name = domain.group().lower()
    if any(name == one or name.endswith(b"." + one) for one in _EXAMPLES):
        return
    before = data[max(0, at - _LONGEST_LOCAL) : at]
    local = _LOCAL.search(before)
    if local is not None:
        yield Place(at - len(local.group()), domain.end(), Kind.EMAIL, "e-mail")
