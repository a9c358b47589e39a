"""Unicode normalization, escapes of invisible characters, and suggestions of names."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftops.text import all_to_nfc, find_nearest, json_to_nfc, show_hidden, suggest_name, to_nfc

COMPOSED, DECOMPOSED = "caf\u00e9 s\u00e3o", "cafe\u0301 sa\u0303o"


@given(st.lists(st.text(), max_size=5))
def test_texts_are_normalized_to_nfc(texts: list[str]) -> None:
    expected = [unicodedata.normalize("NFC", text) for text in texts]
    assert [to_nfc(text) for text in texts] == expected
    assert list(all_to_nfc(texts, "\x1e".join(texts))) == expected


def test_texts_without_combining_letters_are_returned_unchanged() -> None:
    for texts in (["a", "b"], ["na\u00efve", "caf\u00e9"]):
        assert all_to_nfc(texts, "".join(texts)) is texts


def test_compatibility_forms_stay_different() -> None:
    assert to_nfc("\ufb01x \u00b2 \uff21") == "\ufb01x \u00b2 \uff21"


def test_json_of_equal_texts_has_equal_bytes() -> None:
    composed, decomposed = (f'{{"a":"{text}"}}'.encode() for text in (COMPOSED, DECOMPOSED))
    assert composed != decomposed
    assert json_to_nfc(composed) == json_to_nfc(decomposed) == composed
    assert json_to_nfc(b'{"a":1}') == b'{"a":1}'


HIDDEN = [
    *range(0x09), *range(0x0B, 0x20), *range(0x7F, 0xA0), 0x061C, 0x200E, 0x200F,
    *range(0x2028, 0x202F), *range(0x2066, 0x206A),
]  # fmt: skip


@pytest.mark.parametrize("code", HIDDEN)
def test_an_invisible_character_is_shown_as_an_escape(code: int) -> None:
    assert show_hidden(f"a{chr(code)}b") == f"a\\u{code:04x}b"


def test_visible_characters_line_ends_and_tabs_are_unchanged() -> None:
    text = "a\tb\nc \u00e9 \u0627\u0644 \u6f22 \U0001f600 \\u202e"
    assert show_hidden(text) == text


def test_a_misspelt_name_is_recognised_in_any_case() -> None:
    known = ["learning_rate", "n_epochs", "N_Epochs", "seed"]
    assert find_nearest("n_epoch", known) == "n_epochs"
    assert find_nearest("LEARNING_RATES", known) == "learning_rate"
    assert find_nearest("temperature", known) is None
    assert find_nearest("n_epochs", []) is None
    assert suggest_name("sead", known) == "did you mean 'seed'?"
    assert suggest_name("temperature", known, "known here: seed") == "known here: seed"


def test_a_strict_search_accepts_one_typo() -> None:
    assert find_nearest("sead", ["seed"], strict=True) is None
    assert find_nearest("learning_rat", ["learning_rate"], strict=True) == "learning_rate"
