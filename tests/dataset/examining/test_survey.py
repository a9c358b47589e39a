"""What may mark the end of a text."""

import pytest

from ftops.dataset.examining.survey import find_ending


@pytest.mark.parametrize(
    ("end", "mark"),
    [
        (" ->", " ->"),
        ("\nAnswer:", "\nAnswer:"),
        (" it is.", ""),
        (" call [PHONE]", ""),
        (" [EMAIL] ->", " ->"),
        (" [END]", " [END]"),
    ],
)
def test_a_common_ending_is_a_mark_when_no_sentence_ends_so(end: str, mark: str) -> None:
    texts = [f"{number}{chr(65 + number)}{end}" for number in range(20)]
    assert find_ending(texts, (" ->",)) == mark
