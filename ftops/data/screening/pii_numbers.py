"""Finds phone, card, bank account and national numbers, verified by check digits.

Numbers without check digits count only in a distinctive form: a leading plus sign, the usual
groups, or the word "phone" in front. Rules: ISO/IEC 7812-1 (Luhn), ISO 13616 (IBAN), ISO/IEC 7064,
and the law of each country.
"""

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date

from ftops.data.screening.pii_kind import PiiKind, PiiMatch

IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22,
    "BR": 29, "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28,
    "EE": 20, "EG": 29, "ES": 24, "FI": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23,
    "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26,
    "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20,
    "LV": 21, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18,
    "NO": 15, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24,
    "SC": 31, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "ST": 25, "SV": 28, "TL": 23, "TN": 24,
    "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
}  # fmt: skip
_DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
_HETU_LETTERS = "0123456789ABCDEFHJKLMNPRSTUVWXY"
_VERHOEFF_STEP = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def is_luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of Luhn's formula."""
    total = 0
    for index, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + index % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def is_card(digits: str) -> bool:
    """Whether the number has the prefix, length and check digit of a payment card."""
    first4, size = int(digits[:4]), len(digits)
    known = (
        (digits[0] == "4" and size in (13, 16, 19))
        or ((5100 <= first4 <= 5599 or 2221 <= first4 <= 2720) and size == 16)
        or (digits[:2] in ("34", "37") and size == 15)
        or ((first4 == 6011 or 6440 <= first4 <= 6599) and size == 16)
        or (3528 <= first4 <= 3589 and size == 16)
        or ((3000 <= first4 <= 3059 or digits[:2] in ("36", "38")) and size == 14)
        or (digits[:2] == "62" and 16 <= size <= 19)
    )
    return known and is_luhn(digits) and len(set(digits)) > 1


def is_iban(number: str) -> bool:
    """Whether the number has the length for its country and the right check digits."""
    if IBAN_LENGTHS.get(number[:2]) != len(number):
        return False
    moved = number[4:] + number[:4]
    return int("".join(str(int(one, 36)) for one in moved)) % 97 == 1


def is_american(number: str) -> bool:
    """US social security number: no check digit, but some areas are never assigned."""
    area, group, serial = number[:3], number[3:5], number[5:]
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def is_french(number: str) -> bool:
    """French NIR, 13 digits and a key of two."""
    return number[0] in "12" and 97 - int(number[:13]) % 97 == int(number[13:])


def is_spanish(number: str) -> bool:
    """Spanish DNI, eight digits and a letter."""
    return _DNI_LETTERS[int(number[:8]) % 23] == number[8] and len(set(number[:8])) > 1


def is_brazilian(number: str) -> bool:
    """Brazilian CPF, eleven digits."""
    digits = list(map(int, number))
    if len(set(digits)) == 1:
        return False
    return all(
        sum(digit * (size + 1 - index) for index, digit in enumerate(digits[:size])) * 10 % 11 % 10
        == digits[size]
        for size in (9, 10)
    )


def is_chinese(number: str) -> bool:
    """Chinese resident identity number, 17 digits and a check character."""
    total = sum(int(digit) * pow(2, 17 - index, 11) for index, digit in enumerate(number[:17]))
    return _is_day(int(number[6:10]), number[10:14]) and "10X98765432"[total % 11] == number[17]


def is_indian(number: str) -> bool:
    """Indian Aadhaar, twelve digits with Verhoeff's check."""
    check = 0
    for index, digit in enumerate(reversed(number)):
        value = int(digit)
        for _ in range(index % 8):
            value = _VERHOEFF_STEP[value]
        check = _dihedral(check, value)
    return number[0] > "1" and check == 0


def _dihedral(one: int, other: int) -> int:
    """The product of two elements of the dihedral group of order ten."""
    low, high = one % 5, one // 5
    turned = (low - other if high else low + other) % 5
    return turned + 5 * (high ^ (other // 5))


def is_korean(number: str) -> bool:
    """Korean resident registration number, thirteen digits."""
    weights = (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)
    century = 1900 if number[6] in "1256" else 2000
    day = _is_day(century + int(number[:2]), number[2:6])
    return day and (11 - _weigh(number, weights) % 11) % 10 == int(number[12])


def is_polish(number: str) -> bool:
    """Polish PESEL, eleven digits; the month also encodes the century."""
    month = int(number[2:4])
    century = {0: 1900, 1: 2000, 2: 2100, 3: 2200, 4: 1800}[month // 20]
    day = _is_day(century + int(number[:2]), f"{month % 20:02}{number[4:6]}")
    return day and -_weigh(number, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) % 10 == int(number[10])


def is_swedish(number: str) -> bool:
    """Swedish personnummer, ten digits; days from 61 are coordination numbers."""
    day = int(number[4:6])
    if day > 60:
        day -= 60
    return _is_day(1900 + int(number[:2]), f"{number[2:4]}{day:02}") and is_luhn(number)


def is_belgian(number: str) -> bool:
    """Belgian national number, nine digits and a key of two; since 2000 with another key."""
    before, key = number[:9], int(number[9:])
    return key in (97 - int(before) % 97, 97 - int(f"2{before}") % 97)


def is_finnish(number: str) -> bool:
    """Finnish henkilötunnus: day, month, year, a sign, three digits and a check character."""
    day = _is_day(1900 + int(number[4:6]), number[2:4] + number[:2])
    return day and _HETU_LETTERS[int(number[:6] + number[7:10]) % 31] == number[10]


def is_turkish(number: str) -> bool:
    """Turkish identity number, eleven digits."""
    digits = list(map(int, number))
    tenth = (7 * sum(digits[0:9:2]) - sum(digits[1:8:2])) % 10
    return digits[0] > 0 and digits[9] == tenth and sum(digits[:10]) % 10 == digits[10]


def is_canadian(number: str) -> bool:
    """Canadian social insurance number, nine digits."""
    return number[0] not in "08" and is_luhn(number)


def _weigh(number: str, weights: Sequence[int]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(number, weights, strict=False))


def _is_day(year: int, month_and_day: str) -> bool:
    try:
        date(year, int(month_and_day[:2]), int(month_and_day[2:]))
    except ValueError:
        return False
    return True


_LEAST_DIGITS = 8
_SEPARATORS = b" .()-"
_ALIKE = bytes(48 if 48 <= byte <= 57 else 32 for byte in range(256))  # every digit becomes 0
_DIGITS = re.compile(rb"[0-9](?:[ .()\-]{0,2}[0-9]){%d,}" % (_LEAST_DIGITS - 1))
_BEFORE, _AFTER = 28, 24  # characters around the digits that may belong to the number
_FREE, _ENDS = rb"(?<![0-9A-Za-z.])", rb"(?![0-9A-Za-z])"

_DATE = re.compile(  # most candidates: year or day first, then perhaps an hour
    rb"(?:[12][0-9]{3}[-.][01]?[0-9][-.][0-3]?[0-9]|[0-3]?[0-9][-.][01]?[0-9][-.][12][0-9]{3})"
    rb"(?:[ .-]{1,2}[0-2][0-9])?"
)
_SIGNS = re.compile("[ .()-]")

_Test = Callable[[str], bool]


def _form(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(_FREE + rb"(?:" + pattern + rb")" + _ENDS)


def _any_of(patterns: Iterable[bytes]) -> re.Pattern[bytes]:
    """A pattern that matches any of the patterns, with their common prefix only once."""
    return re.compile(
        _FREE + b"(?:" + b"|".join(one.removeprefix(_FREE) for one in patterns) + b")"
    )


def _always(_: str) -> bool:
    return True


_NANP = rb"(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[.\-])[2-9][0-9]{2}[.\-][0-9]{4}"


@functools.cache  # compiling takes 20 ms
def _compile_forms() -> tuple[tuple[PiiKind, str, re.Pattern[bytes], _Test], ...]:
    return (
        (PiiKind.BANK_ACCOUNT, "IBAN",
         _form(rb"[A-Z]{2}[0-9]{2}(?:[A-Z0-9]{11,30}|(?: [A-Z0-9]{4}){2,7}(?: [A-Z0-9]{1,3})?)"),
         is_iban),
        (PiiKind.CARD, "card",
         _form(rb"[2-6](?:[0-9]{12,18}|[0-9]{3}(?:[ -][0-9]{4}){3}(?:[ -][0-9]{3})?"
               rb"|[0-9]{3}[ -][0-9]{6}[ -][0-9]{4,5})"),
         is_card),
        (PiiKind.NATIONAL_NUMBER, "China", _form(rb"[1-9][0-9]{16}[0-9X]"), is_chinese),
        (PiiKind.NATIONAL_NUMBER, "France",
         _form(rb"[12] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}"),
         is_french),
        (PiiKind.NATIONAL_NUMBER, "South Korea", _form(rb"[0-9]{6}-[1-8][0-9]{6}"), is_korean),
        (PiiKind.NATIONAL_NUMBER, "India",
         _form(rb"[2-9][0-9]{3}(?: [0-9]{4} [0-9]{4}|-[0-9]{4}-[0-9]{4})"),
         is_indian),
        (PiiKind.NATIONAL_NUMBER, "Brazil", _form(rb"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}"),
         is_brazilian),
        (PiiKind.NATIONAL_NUMBER, "Belgium",
         _form(rb"[0-9]{2}\.[0-9]{2}\.[0-9]{2}-[0-9]{3}\.[0-9]{2}"),
         is_belgian),
        (PiiKind.NATIONAL_NUMBER, "Sweden", _form(rb"[0-9]{6}-[0-9]{4}"), is_swedish),
        (PiiKind.NATIONAL_NUMBER, "Finland", _form(rb"[0-3][0-9][01][0-9]{3}[-A][0-9]{3}[0-9A-Y]"),
         is_finnish),
        (PiiKind.NATIONAL_NUMBER, "Spain", _form(rb"[0-9]{8}-?[A-Z]"), is_spanish),
        (PiiKind.NATIONAL_NUMBER, "United States", _form(rb"[0-8][0-9]{2}-[0-9]{2}-[0-9]{4}"),
         is_american),
        (PiiKind.NATIONAL_NUMBER, "Canada",
         _form(rb"[1-79][0-9]{2}(?: [0-9]{3} [0-9]{3}|-[0-9]{3}-[0-9]{3})"),
         is_canadian),
        (PiiKind.NATIONAL_NUMBER, "Poland", _form(rb"[0-9]{11}"), is_polish),
        (PiiKind.NATIONAL_NUMBER, "Turkey", _form(rb"[1-9][0-9]{10}"), is_turkish),
        (PiiKind.PHONE, "phone",
         re.compile(_FREE + rb"\+(?![0-9]+\.[0-9]{5})[1-9][0-9]{0,2}[ .\-]?"
                    rb"(?:\([0-9]{1,4}\)[ .\-]?)?[0-9](?:[ .\-]?[0-9]){6,11}(?![0-9])"), _always),
        (PiiKind.PHONE, "phone", _form(rb"(?:1[ .\-])?" + _NANP), _always),
        (PiiKind.PHONE, "phone", _form(rb"0[1-9](?:[ .\-][0-9]{2}){4}"), _always),
        (PiiKind.PHONE, "phone",
         re.compile(_FREE + rb"(?i:tel|phone|fax|mobile|cell|call)(?i:[a-z]{0,8})[ .:#]{1,3}"
                    rb"(?P<number>\(?[0-9][0-9() ./\-]{6,16}[0-9])(?![0-9])"), _always),
    )  # fmt: skip


@functools.cache
def _compile_any() -> re.Pattern[bytes]:
    return _any_of(pattern.pattern for _, _, pattern, _ in _compile_forms())


def scan_numbers(data: bytes) -> Iterator[PiiMatch]:
    """Numbers in a text in which each character beyond ASCII is replaced by one byte."""
    if b"0" * _LEAST_DIGITS not in data.translate(_ALIKE, _SEPARATORS):
        return
    for found in _DIGITS.finditer(data):
        if _DATE.fullmatch(found.group()):
            continue
        begin, end = max(0, found.start() - _BEFORE), found.end() + _AFTER
        if not _compile_any().search(data, begin, end):
            continue
        for kind, of, pattern, test in _compile_forms():
            yield from _match_form(data, begin, end, kind, of, pattern, test)


def _match_form(
    data: bytes,
    begin: int,
    end: int,
    kind: PiiKind,
    of: str,
    pattern: re.Pattern[bytes],
    test: _Test,
) -> Iterator[PiiMatch]:
    while found := pattern.search(data, begin, end):
        name = "number" if "number" in pattern.groupindex else 0
        start, stop = found.span(name)
        if kind is PiiKind.BANK_ACCOUNT:
            stop = _end_of_iban(data, start, stop)
        written = data[start:stop].decode()
        if test(written if of == "Finland" else _SIGNS.sub("", written)):
            yield PiiMatch(start, stop, kind, of)
            begin = stop
        else:
            begin = found.start() + 1


def _end_of_iban(data: bytes, start: int, stop: int) -> int:
    """Where the account ends by its country's length; words in capitals may follow it."""
    left = IBAN_LENGTHS.get(data[start : start + 2].decode(), 0)
    for at in range(start, stop):
        left -= data[at] != 32
        if left == 0:
            return at + 1
    return stop
