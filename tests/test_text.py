"""Text that looks equal is equal; what cannot be seen is shown."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftops.text import all_to_nfc, find_nearest, json_to_nfc, show_hidden, suggest_name, to_nfc

COMPOSED, DECOMPOSED = "caf\u00e9 s\u00e3o", "cafe\u0301 sa\u0303o"


@given(st.lists(st.text(), max_size=5))
def test_texts_get_the_form_that_unicode_defines(texts: list[str]) -> None:
    wanted = [unicodedata.normalize("NFC", text) for text in texts]
    assert [to_nfc(text) for text in texts] == wanted
    assert list(all_to_nfc(texts, "\x1e".join(texts))) == wanted


def test_texts_without_combining_letters_are_handed_back_as_they_are() -> None:
    for texts in (["a", "b"], ["na\u00efve", "caf\u00e9"]):
        assert all_to_nfc(texts, "".join(texts)) is texts


def test_compatibility_forms_stay_different() -> None:
    assert to_nfc("\ufb01x \u00b2 \uff21") == "\ufb01x \u00b2 \uff21"


def test_json_of_equal_texts_has_equal_bytes() -> None:
    one, other = (f'{{"a":"{text}"}}'.encode() for text in (COMPOSED, DECOMPOSED))
    assert one != other
    assert json_to_nfc(one) == json_to_nfc(other) == one
    assert json_to_nfc(b'{"a":1}') == b'{"a":1}'


HIDDEN = [
    *range(0x09), *range(0x0B, 0x20), *range(0x7F, 0xA0), 0x061C, 0x200E, 0x200F,
    *range(0x2028, 0x202F), *range(0x2066, 0x206A),
]  # fmt: skip


@pytest.mark.parametrize("code", HIDDEN)
def test_a_character_that_cannot_be_seen_is_shown_as_an_escape(code: int) -> None:
    assert show_hidden(f"a{chr(code)}b") == f"a\\u{code:04x}b"


def test_what_can_be_seen_stays_and_so_do_lines_and_tabs() -> None:
    text = "a\tb\nc \u00e9 \u0627\u0644 \u6f22 \U0001f600 \\u202e"
    assert show_hidden(text) == text


def test_a_misspelt_name_is_recognised_whatever_its_case() -> None:
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
