"""Numbers that name a person, a phone, a card or an account, told from others by check digits.

Numbers without check digits count only in a form that little else has: a leading plus sign, groups
as people write them, or the word "phone" in front.
"""

import re
from collections.abc import Callable, Iterable, Iterator

from ftops.data.screening import checksums
from ftops.data.screening.kinds import Kind, Place

_LEAST_DIGITS = 8
_SEPARATORS = b" .()-"
_ALIKE = bytes(48 if 48 <= byte <= 57 else 32 for byte in range(256))  # every digit becomes a 0
_DIGITS = re.compile(rb"[0-9](?:[ .()\-]{0,2}[0-9]){%d,}" % (_LEAST_DIGITS - 1))
_BEFORE, _AFTER = 28, 24  # characters around the digits that may belong to the number
_FREE, _ENDS = rb"(?<![0-9A-Za-z.])", rb"(?![0-9A-Za-z])"

_DATE = re.compile(  # most of them are: with year or day in front, and perhaps the hour behind
    rb"(?:[12][0-9]{3}[-.][01]?[0-9][-.][0-3]?[0-9]|[0-3]?[0-9][-.][01]?[0-9][-.][12][0-9]{3})"
    rb"(?:[ .-]{1,2}[0-2][0-9])?"
)
_SIGNS = re.compile("[ .()-]")

_Test = Callable[[str], bool]


def _form(pattern: bytes) -> "re.Pattern[bytes]":
    return re.compile(_FREE + rb"(?:" + pattern + rb")" + _ENDS)


def _any_of(patterns: Iterable[bytes]) -> "re.Pattern[bytes]":
    """What one of the patterns finds; what comes before, which they share, is looked at once."""
    return re.compile(
        _FREE + b"(?:" + b"|".join(one.removeprefix(_FREE) for one in patterns) + b")"
    )


def _always(_: str) -> bool:
    return True


_NANP = rb"(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[.\-])[2-9][0-9]{2}[.\-][0-9]{4}"
_FORMS: tuple[tuple[Kind, str, "re.Pattern[bytes]", _Test], ...] = (
    (Kind.BANK_ACCOUNT, "IBAN",
     _form(rb"[A-Z]{2}[0-9]{2}(?:[A-Z0-9]{11,30}|(?: [A-Z0-9]{4}){2,7}(?: [A-Z0-9]{1,3})?)"),
     checksums.is_iban),
    (Kind.CARD, "card",
     _form(rb"[2-6](?:[0-9]{12,18}|[0-9]{3}(?:[ -][0-9]{4}){3}(?:[ -][0-9]{3})?"
           rb"|[0-9]{3}[ -][0-9]{6}[ -][0-9]{4,5})"),
     checksums.is_card),
    (Kind.NATIONAL_NUMBER, "China", _form(rb"[1-9][0-9]{16}[0-9X]"), checksums.is_chinese),
    (Kind.NATIONAL_NUMBER, "France",
     _form(rb"[12] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}"),
     checksums.is_french),
    (Kind.NATIONAL_NUMBER, "South Korea", _form(rb"[0-9]{6}-[1-8][0-9]{6}"), checksums.is_korean),
    (Kind.NATIONAL_NUMBER, "India",
     _form(rb"[2-9][0-9]{3}(?: [0-9]{4} [0-9]{4}|-[0-9]{4}-[0-9]{4})"),
     checksums.is_indian),
    (Kind.NATIONAL_NUMBER, "Brazil", _form(rb"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}"),
     checksums.is_brazilian),
    (Kind.NATIONAL_NUMBER, "Belgium", _form(rb"[0-9]{2}\.[0-9]{2}\.[0-9]{2}-[0-9]{3}\.[0-9]{2}"),
     checksums.is_belgian),
    (Kind.NATIONAL_NUMBER, "Sweden", _form(rb"[0-9]{6}-[0-9]{4}"), checksums.is_swedish),
    (Kind.NATIONAL_NUMBER, "Finland", _form(rb"[0-3][0-9][01][0-9]{3}[-A][0-9]{3}[0-9A-Y]"),
     checksums.is_finnish),
    (Kind.NATIONAL_NUMBER, "Spain", _form(rb"[0-9]{8}-?[A-Z]"), checksums.is_spanish),
    (Kind.NATIONAL_NUMBER, "United States", _form(rb"[0-8][0-9]{2}-[0-9]{2}-[0-9]{4}"),
     checksums.is_american),
    (Kind.NATIONAL_NUMBER, "Canada",
     _form(rb"[1-79][0-9]{2}(?: [0-9]{3} [0-9]{3}|-[0-9]{3}-[0-9]{3})"),
     checksums.is_canadian),
    (Kind.NATIONAL_NUMBER, "Poland", _form(rb"[0-9]{11}"), checksums.is_polish),
    (Kind.NATIONAL_NUMBER, "Turkey", _form(rb"[1-9][0-9]{10}"), checksums.is_turkish),
    (Kind.PHONE, "phone",
     re.compile(_FREE + rb"\+(?![0-9]+\.[0-9]{5})[1-9][0-9]{0,2}[ .\-]?(?:\([0-9]{1,4}\)[ .\-]?)?"
                rb"[0-9](?:[ .\-]?[0-9]){6,11}(?![0-9])"), _always),
    (Kind.PHONE, "phone", _form(rb"(?:1[ .\-])?" + _NANP), _always),
    (Kind.PHONE, "phone", _form(rb"0[1-9](?:[ .\-][0-9]{2}){4}"), _always),
    (Kind.PHONE, "phone",
     re.compile(_FREE + rb"(?i:tel|phone|fax|mobile|cell|call)(?i:[a-z]{0,8})[ .:#]{1,3}"
                rb"(?P<number>\(?[0-9][0-9() ./\-]{6,16}[0-9])(?![0-9])"), _always),
)  # fmt: skip

_ANY = _any_of(pattern.pattern for _, _, pattern, _ in _FORMS)


def find_numbers(data: bytes) -> Iterator[Place]:
    """Numbers in a text whose characters beyond ASCII were replaced, one byte each."""
    if b"0" * _LEAST_DIGITS not in data.translate(_ALIKE, _SEPARATORS):
        return
    for found in _DIGITS.finditer(data):
        if _DATE.fullmatch(found.group()):
            continue
        begin, end = max(0, found.start() - _BEFORE), found.end() + _AFTER
        if not _ANY.search(data, begin, end):
            continue
        for kind, of, pattern, test in _FORMS:
            yield from _find_form(data, begin, end, kind, of, pattern, test)


def _find_form(
    data: bytes,
    begin: int,
    end: int,
    kind: Kind,
    of: str,
    pattern: "re.Pattern[bytes]",
    test: _Test,
) -> Iterator[Place]:
    while found := pattern.search(data, begin, end):
        name = "number" if "number" in pattern.groupindex else 0
        start, stop = found.span(name)
        if kind is Kind.BANK_ACCOUNT:
            stop = _end_of_iban(data, start, stop)
        written = data[start:stop].decode()
        if test(written if of == "Finland" else _SIGNS.sub("", written)):
            yield Place(start, stop, kind, of)
            begin = stop
        else:
            begin = found.start() + 1


def _end_of_iban(data: bytes, start: int, stop: int) -> int:
    """Where the account ends by its country's length; words in capitals may follow it."""
    left = checksums.IBAN_LENGTHS.get(data[start : start + 2].decode(), 0)
    for at in range(start, stop):
        left -= data[at] != 32
        if left == 0:
            return at + 1
    return stop
