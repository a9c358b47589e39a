"""Check digits of payment cards, bank accounts and national numbers.

Each function takes the number without blanks and dashes and says whether it can be a real one.
Rules: ISO/IEC 7812-1 (Luhn), ISO 13616 (IBAN), ISO/IEC 7064, and the law of each country.
"""

from collections.abc import Sequence
from datetime import date

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
    """Whether the last digit is the one that Luhn's formula gives."""
    total = 0
    for index, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + index % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def is_card(digits: str) -> bool:
    """Whether it has a number range, a length and a check digit of payment cards."""
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
    """Whether it has the length of its country and the right check digits."""
    if IBAN_LENGTHS.get(number[:2]) != len(number):
        return False
    moved = number[4:] + number[:4]
    return int("".join(str(int(one, 36)) for one in moved)) % 97 == 1


def is_american(number: str) -> bool:
    """US social security number: it has no check digit, only areas that are not given."""
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
    """Polish PESEL, eleven digits; the month tells the century, too."""
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
    """Belgian national number, nine digits and a key of two; another key since 2000."""
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
