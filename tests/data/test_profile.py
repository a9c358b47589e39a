"""What may mark the end of a text."""

import pytest

from ftops.data.profile import (
    OTHER_SEPARATORS,
    SEPARATORS,
    DatasetProfile,
    get_common_ending,
    get_removable_markers,
)


@pytest.mark.parametrize(
    ("end", "mark"),
    [
        (" ->", " ->"), (" -> ", " -> "), (" [EMAIL] ->", " ->"), ("\n\n###\n\n", "\n\n###\n\n"),
        ("\n\n", "\n\n"), (" =>", "=>"),
        ("\nAnswer:", ""), (" it is.", ""), (" call [PHONE]", ""), (" [END]", ""), ("</p>", ""),
        ("?\nSolution:", ""), ("}", ""), (" §", ""), ("~~", ""), (" 1.0", ""), ("\n", ""),
    ],
)  # fmt: skip
def test_only_a_known_mark_is_taken_for_one(end: str, mark: str) -> None:
    texts = [f"{number}{chr(65 + number)}{end}" for number in range(20)]
    assert get_common_ending(texts, SEPARATORS + OTHER_SEPARATORS) == mark


def test_a_mark_ends_four_of_five_texts() -> None:
    ends = [" ->"] * 8 + [""] * 2
    assert get_common_ending([f"{n}{end}" for n, end in enumerate(ends)], SEPARATORS) == " ->"
    assert get_common_ending([f"{n}{end}" for n, end in enumerate([*ends, ""])], SEPARATORS) == ""
    assert get_common_ending([], SEPARATORS) == ""


@pytest.mark.parametrize(
    ("separator", "stop", "taken"),
    [
        (" ->", "\n", (" ->", "\n")), ("\n\n", "\n", ("", "")), ("", "\n", ("", "")),
        ("", " END", ("", " END")), ("\n\n", " END", ("", " END")),
    ],
)  # fmt: skip
def test_white_space_is_taken_off_beside_a_separator_that_can_be_seen_alone(
    separator: str, stop: str, taken: tuple[str, str]
) -> None:
    assert get_removable_markers(DatasetProfile(separator=separator, stop=stop)) == taken
