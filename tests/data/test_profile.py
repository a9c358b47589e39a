"""Separators and stops that a profile recognizes."""

import pytest

from ftops.data.profile import (
    OTHER_SEPARATORS,
    SEPARATORS,
    DatasetProfile,
    get_common_ending,
    get_removable_markers,
)


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (" ->", " ->"), (" -> ", " -> "), (" [EMAIL] ->", " ->"), ("\n\n###\n\n", "\n\n###\n\n"),
        ("\n\n", "\n\n"), (" =>", "=>"),
        ("\nAnswer:", ""), (" it is.", ""), (" call [PHONE]", ""), (" [END]", ""), ("</p>", ""),
        ("?\nSolution:", ""), ("}", ""), (" §", ""), ("~~", ""), (" 1.0", ""), ("\n", ""),
    ],
)  # fmt: skip
def test_only_known_separators_are_recognized(end: str, expected: str) -> None:
    texts = [f"{number}{chr(65 + number)}{end}" for number in range(20)]
    assert get_common_ending(texts, SEPARATORS + OTHER_SEPARATORS) == expected


def test_a_separator_ends_four_of_five_texts() -> None:
    ends = [" ->"] * 8 + [""] * 2
    assert get_common_ending([f"{n}{end}" for n, end in enumerate(ends)], SEPARATORS) == " ->"
    assert get_common_ending([f"{n}{end}" for n, end in enumerate([*ends, ""])], SEPARATORS) == ""
    assert get_common_ending([], SEPARATORS) == ""


@pytest.mark.parametrize(
    ("separator", "stop", "expected"),
    [
        (" ->", "\n", (" ->", "\n")), ("\n\n", "\n", ("", "")), ("", "\n", ("", "")),
        ("", " END", ("", " END")), ("\n\n", " END", ("", " END")),
    ],
)  # fmt: skip
def test_white_space_is_removed_only_with_a_visible_separator(
    separator: str, stop: str, expected: tuple[str, str]
) -> None:
    assert get_removable_markers(DatasetProfile(separator=separator, stop=stop)) == expected
