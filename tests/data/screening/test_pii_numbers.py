"""Check digits of numbers."""

from collections.abc import Callable

import pytest

from ftops.data.screening import pii_numbers

VALID_NUMBERS: list[tuple[Callable[[str], bool], str]] = [
    (pii_numbers.is_card, "4111111111111111"),
    (pii_numbers.is_iban, "FR1420041010050500013M02606"),
    (pii_numbers.is_french, "255081416802538"),
    (pii_numbers.is_spanish, "12345678Z"),
    (pii_numbers.is_brazilian, "52998224725"),
    (pii_numbers.is_chinese, "11010519491231002X"),
    (pii_numbers.is_indian, "234567890124"),
    (pii_numbers.is_korean, "9001011234568"),
    (pii_numbers.is_polish, "44051401359"),
    (pii_numbers.is_swedish, "8112189876"),
    (pii_numbers.is_belgian, "85073003328"),
    (pii_numbers.is_finnish, "131052-308T"),
    (pii_numbers.is_turkish, "10000000146"),
    (pii_numbers.is_canadian, "193456787"),
]


@pytest.mark.parametrize(("test", "number"), VALID_NUMBERS)
def test_one_wrong_digit_makes_a_number_invalid(test: Callable[[str], bool], number: str) -> None:
    assert test(number)
    for position, digit in enumerate(number):
        if digit.isdigit():
            wrong = str((int(digit) + 3) % 10)
            assert not test(number[:position] + wrong + number[position + 1 :])


def test_unassigned_social_security_numbers_are_invalid() -> None:
    assert pii_numbers.is_american("123456789")
    for number in ("000456789", "666456789", "900456789", "123006789", "123450000"):
        assert not pii_numbers.is_american(number)


def test_a_belgian_number_of_this_century_has_another_check_number() -> None:
    key = 97 - int("2" + "170730033") % 97
    assert pii_numbers.is_belgian(f"170730033{key:02}")
