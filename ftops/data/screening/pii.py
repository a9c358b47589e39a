"""Finds and redacts personal data and secrets with a recognisable form.

Names and postal addresses have no such form and are not found.
"""

import functools
import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final

from ftops.data.screening.pii_kind import PiiKind, PiiMatch
from ftops.data.screening.pii_numbers import scan_numbers

_LOCAL = re.compile(rb"[A-Za-z0-9_%+\-](?:[A-Za-z0-9._%+\-]{0,62}[A-Za-z0-9_%+\-])?\Z")
_DOMAIN = re.compile(
    rb"(?:[A-Za-z0-9](?:[A-Za-z0-9\-]{0,61}[A-Za-z0-9])?\.){1,8}(?P<top>[A-Za-z]{2,24})"
    rb"(?![A-Za-z0-9\-])"
)
_LONGEST_LOCAL = 64
_LONGEST_DOMAIN = 255
_NO_MAIL: Final = frozenset(
    # domains of examples (RFC 2606), and file names such as icon@2x.png
    b"example test invalid localhost local png jpg jpeg gif svg webp pdf css js py".split()
)
_EXAMPLES: Final = (b"example.com", b"example.org", b"example.net")
_RANK = {kind: rank for rank, kind in enumerate(PiiKind)}
_ESCAPED_AT = r"\u0040"
_ESCAPE = re.compile(r"\\(?:u(?P<code>[0-9a-fA-F]{4})|.)")  # JSON escapes
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BARE = re.compile(r'[^\s,:\[\]{}"]*')  # a JSON number, true, false or null


def list_pii(text: str) -> list[PiiMatch]:
    """The personal data and secrets in the text, in order and without overlaps."""
    data = text.encode("ascii", "replace")  # a byte per character keeps the offsets
    found = [*scan_secrets(data), *_scan_addresses(data), *scan_numbers(data)]
    if not found:
        return []
    found.sort()
    taken: list[PiiMatch] = []
    together, end = [found[0]], found[0].end
    for place in found[1:]:
        if place.start >= end:
            taken += _choose(together)
            together = []
        together.append(place)
        end = max(end, place.end)
    return taken + _choose(together)


def _choose(together: list[PiiMatch]) -> list[PiiMatch]:
    """Keep the most important kinds of overlapping matches; of equal starts, the longest."""
    taken: list[PiiMatch] = []
    # a match may be cut off where the search for another number ends
    for match in sorted(together, key=lambda one: (_RANK[one.kind], one.start, -one.end)):
        if all(match.end <= one.start or one.end <= match.start for one in taken):
            taken.append(match)
    return sorted(taken)


def redact(text: str, kinds: Collection[PiiKind] = frozenset(PiiKind)) -> str:
    """The text with a placeholder such as [EMAIL] for each piece of personal data and secret.

    The same text always gives the same result, and a search of the result finds none of the
    `kinds`.
    """
    while found := [place for place in list_pii(text) if place.kind in kinds]:
        text = _replace(text, found, lambda place: place.kind.value)
    return text


def blank_escapes(text: str) -> str:
    """Replace JSON escapes, so that none of their letters and digits is part of a match.

    The length is unchanged. White space, quotes and control characters become spaces, other `\\u`
    characters question marks, as in `list_pii` for characters beyond ASCII. A backslash and an
    escaped @ stay.
    """
    return _ESCAPE.sub(_blank_escape, text)


def _blank_escape(match: re.Match[str]) -> str:
    if match["code"]:
        if match.group() == _ESCAPED_AT:
            return match.group()
        return ("?" if int(match["code"], 16) > ord(" ") else " ") * len(match.group())
    return "  " if match.group()[1] in 'bfnrt/"' else match.group()


def redact_json(text: str, kinds: Collection[PiiKind] = frozenset(PiiKind)) -> str:
    """Redact a JSON text, which stays valid: a number with a match becomes a string."""
    while found := [one for one in list_pii(blank_escapes(text)) if one.kind in kinds]:
        strings = [one.span() for one in _STRING.finditer(text)]
        text = _replace(text, [_widen(text, one, strings) for one in found], _write_placeholder)
    return text


def _widen(text: str, place: PiiMatch, strings: Sequence[tuple[int, int]]) -> PiiMatch:
    """The match, or the whole number that contains it; `of` is then empty."""
    if any(start < place.end and place.start < end for start, end in strings):
        return place
    start = place.start
    while start and _BARE.fullmatch(text, start - 1, place.start):
        start -= 1
    bare = _BARE.match(text, place.end)
    return PiiMatch(start, bare.end() if bare else place.end, place.kind, "")


def _write_placeholder(place: PiiMatch) -> str:
    return place.kind.value if place.of else f'"{place.kind.value}"'


def hide(text: str) -> str:
    """The text for display, with only the first characters of each match.

    It may be JSON, in which a line end is two characters.
    """
    found = list_pii(blank_escapes(text))
    text = _replace(text, found, lambda place: mask(text[place.start : place.end]))
    return redact(text)


def _replace(text: str, places: Sequence[PiiMatch], make: Callable[[PiiMatch], str]) -> str:
    parts, end = [], 0
    for place in places:
        parts += [text[end : place.start], make(place)]
        end = place.end
    return "".join([*parts, text[end:]])


def mask(text: str) -> str:
    """The first characters of a secret to identify it: at most four, and at most a fifth."""
    shown = text[: min(4, len(text) // 5)]
    return f"{shown}… ({len(text)} characters)"


def _scan_addresses(data: bytes) -> Iterator[PiiMatch]:
    """E-mail addresses, and passwords in web addresses, by their @."""
    for sign in (b"@", _ESCAPED_AT.encode()):
        at = data.find(sign)
        while at >= 0:
            end = at + len(sign)
            password = find_password(data, at, end)
            if password is not None:
                yield password
            else:
                yield from _scan_email(data, at, end)
            at = data.find(sign, end)


def _scan_email(data: bytes, at: int, end: int) -> Iterator[PiiMatch]:
    domain = _DOMAIN.match(data, end, end + _LONGEST_DOMAIN)
    if domain is None or domain["top"].lower() in _NO_MAIL:
        return
    name = domain.group().lower()
    if any(name == one or name.endswith(b"." + one) for one in _EXAMPLES):
        return
    before = data[max(0, at - _LONGEST_LOCAL) : at]
    local = _LOCAL.search(before)
    if local is not None:
        yield PiiMatch(at - len(local.group()), domain.end(), PiiKind.EMAIL, "e-mail")


_RUN = 20
_WORD = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
_CLASSES = bytes(97 if byte in _WORD else 32 for byte in range(256))
_BEFORE = 60
_AFTER = 4096
_LEAST_ENTROPY = 3.5  # bits per character; words and dates with dashes have less, or no digits
_NOT_WITHIN = rb"(?<![A-Za-z0-9])"

_PREFIXED = (
    _NOT_WITHIN
    + rb"(?:"
    + rb"|".join(
        (
            rb"(?P<AWS>A(?:KIA|SIA)[A-Z2-7]{16})",
            rb"(?P<GitHub>gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{60,255})",
            rb"(?P<GitLab>glpat-[A-Za-z0-9_\-]{20,64})",
            rb"(?P<model_provider>sk-(?:[a-z0-9]{2,10}-){1,2}[A-Za-z0-9_\-]{20,200}"
            rb"|sk-[A-Za-z0-9]{20,64}|gsk_[A-Za-z0-9]{40,64}|xai-[A-Za-z0-9]{60,100})",
            rb"(?P<Slack>xox[abeprs]-[A-Za-z0-9\-]{16,250})",
            rb"(?P<Google>AIza[A-Za-z0-9_\-]{35}|GOCSPX-[A-Za-z0-9_\-]{28}"
            rb"|ya29\.[A-Za-z0-9_\-]{20,500})",
            rb"(?P<Stripe>[rs]k_(?:live|test)_[A-Za-z0-9]{16,247})",
            rb"(?P<Hugging_Face>hf_[A-Za-z]{34})",
            rb"(?P<npm>npm_[A-Za-z0-9]{36})",
            rb"(?P<PyPI>pypi-AgEI[A-Za-z0-9_\-]{50,500})",
            rb"(?P<SendGrid>SG\.[A-Za-z0-9_\-]{22}\.[A-Za-z0-9_\-]{43})",
            rb"(?P<DigitalOcean>do[opr]_v1_[a-f0-9]{64})",
            rb"(?P<Shopify>shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32})",
            rb"(?P<Telegram>[0-9]{8,10}:AA[A-Za-z0-9_\-]{33})",
            rb"(?P<Replicate>r8_[A-Za-z0-9]{37})",
            rb"(?P<Slack_hook>T[A-Z0-9]{8,12}/B[A-Z0-9]{8,12}/[A-Za-z0-9]{24})",
        )
    )
    + rb")(?![A-Za-z0-9])"
)
_WEB_TOKEN = rb"(?<![A-Za-z0-9_\-])eyJ[A-Za-z0-9_\-]{10,}\.eyJ[A-Za-z0-9_\-]{10,}\.[A-Za-z0-9_\-]*"
_ASSIGNED = (
    rb"(?i:api[_ \-]?key|(?:access|secret)[_ \-]?key|(?:auth|access|api)[_ \-]?token"
    rb"|client[_ \-]?secret|accountkey|secret|password|passwd|bearer)"
    rb"[\"']?[ ]{0,3}(?:=>|[:= ])[ ]{0,3}[\"']?(?P<value>[A-Za-z0-9_\-+/]{20,200}={0,2})"
)
_BLOCK = (
    rb"-----BEGIN [A-Z0-9 ]{0,24}PRIVATE KEY(?: BLOCK)?-----"
    rb"(?:[\\rn \t\r\n]*[A-Z][A-Za-z\-]{2,20}: [^\n\\]{0,200})*"
    rb"[A-Za-z0-9+/=\\ \t\r\n]{40,}[A-Za-z0-9+/=]"
    rb"(?:[ \t\r\n]*-----END [A-Z0-9 ]{0,24}PRIVATE KEY(?: BLOCK)?-----)?"
)
_IN_ADDRESS = rb"[a-z][a-z0-9+.\-]{1,20}://[^\s\x1e:/@?#\[]{1,64}:(?P<value>[^\s\x1e/@\[]{3,128}?)(?:@|\\u0040)[A-Za-z0-9]"
_NO_PASSWORDS = frozenset(  # values used in examples
    b"password mypassword passwd pass pwd pw secret token key xxx xxxx repo".split()
)
_SOME_DIGIT = re.compile(rb"[0-9]")
_LONGEST_ADDRESS = 220


@functools.cache
def _compile(pattern: bytes) -> re.Pattern[bytes]:
    """Compile on first use: all patterns take 10 ms."""
    return re.compile(pattern)


def scan_secrets(data: bytes) -> Iterator[PiiMatch]:
    """Private keys, tokens and API keys."""
    if b"PRIVATE KEY" in data:
        for found in _compile(_BLOCK).finditer(data):
            yield PiiMatch(found.start(), found.end(), PiiKind.PRIVATE_KEY, "PEM")
    classes = data.translate(_CLASSES)
    end = 0
    while (start := classes.find(b"a" * _RUN, end)) >= 0:
        end = classes.find(b" ", start)
        end = len(data) if end < 0 else end
        yield from _look_around(data, start, end)


def _look_around(data: bytes, start: int, end: int) -> Iterator[PiiMatch]:
    """The secrets that include the run of letters and digits from `start` to `end`."""
    begin = max(0, start - _BEFORE)
    if data.find(b"eyJ", begin, end) >= 0:
        for found in _compile(_WEB_TOKEN).finditer(data, begin, end + _AFTER):
            if found.start() <= start < found.end():
                yield PiiMatch(found.start(), found.end(), PiiKind.WEB_TOKEN, "JWT")
    if not _SOME_DIGIT.search(data, start, end) and data.find(b"hf_", start, end) < 0:
        return  # a long identifier in source code
    for found in _compile(_PREFIXED).finditer(data, begin, end + 64):
        if found.end() > start:
            of = (found.lastgroup or "").replace("_", " ")
            yield PiiMatch(found.start(), found.end(), PiiKind.API_KEY, of)
    for found in _compile(_ASSIGNED).finditer(data, begin, end + 100):
        if found.end() > start and is_random(found["value"]):
            yield PiiMatch(*found.span("value"), PiiKind.API_KEY, "assigned")


def is_random(value: bytes) -> bool:
    """Whether letters and digits look random, by their entropy."""
    counts = Counter(value)
    if not any(48 <= byte <= 57 for byte in counts) or all(48 <= byte <= 57 for byte in counts):
        return False
    size = len(value)
    entropy = -sum(count / size * math.log2(count / size) for count in counts.values())
    return entropy >= _LEAST_ENTROPY


def find_password(data: bytes, at: int, end: int) -> PiiMatch | None:
    """The password in a URL such as https://name:password@host; the @ is from `at` to `end`."""
    begin = max(0, at - _LONGEST_ADDRESS)
    if data.find(b"://", begin, at) < 0:
        return None
    for found in _compile(_IN_ADDRESS).finditer(data, begin, end + 1):
        if found.end() == end + 1 and found["value"].lower() not in _NO_PASSWORDS:
            return PiiMatch(*found.span("value"), PiiKind.PASSWORD, "address")
    return None
