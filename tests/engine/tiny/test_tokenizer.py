"""Any text survives the tokenizer, and no text becomes a special token."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftops.engine.tiny.document import TextSpan
from ftops.engine.tiny.tokenizer import SPECIALS, Tokenizer
from ftops.errors import EngineError

TOKENIZER = Tokenizer.train(["the cat sat on the mat"] * 5, vocab_size=300)


def decode(ids: list[int]) -> str:
    return b"".join(TOKENIZER.pieces[token] for token in ids).decode()


@given(st.text())
def test_every_text_comes_back_whole_seen_before_or_not(text: str) -> None:
    encodable = text.encode(errors="replace").decode()
    assert decode(TOKENIZER.encode(text)) == encodable


def test_training_texts_take_fewer_tokens_than_bytes() -> None:
    assert len(TOKENIZER.encode("the cat sat on the mat")) < 10


def test_the_vocabulary_is_no_larger_than_asked_for() -> None:
    assert 256 + len(SPECIALS) < TOKENIZER.vocab_size <= 300


def test_a_lone_surrogate_becomes_a_question_mark() -> None:
    assert decode(TOKENIZER.encode("a\ud800b")) == "a?b"


@pytest.mark.parametrize("text", ["<|end_of_text|>", "end_of_text", "<|user|>", "<unk>", "[PAD]"])
def test_text_that_looks_like_a_special_token_stays_text(text: str) -> None:
    ids = TOKENIZER.encode(text)
    assert max(ids) < TOKENIZER.n_text_tokens
    assert decode(ids) == text


def test_special_segments_become_one_token_with_the_weight_of_the_segment() -> None:
    ids, weights = TOKENIZER.encode_document(
        (
            TextSpan(special="user", weight=0.0),
            TextSpan("the", weight=0.5),
            TextSpan(special="end_of_turn"),
        )
    )
    assert [ids[0], ids[-1]] == [TOKENIZER.special_id("user"), TOKENIZER.special_id("end_of_turn")]
    assert [weights[0], weights[1], weights[-1]] == [0.0, 0.5, 1.0]


def test_an_unknown_special_token_is_refused_by_name() -> None:
    with pytest.raises(EngineError, match="no special token 'wizard'") as caught:
        TOKENIZER.special_id("wizard")
    assert "assistant" in caught.value.hint


def test_a_saved_tokenizer_is_the_same() -> None:
    again = Tokenizer.from_json(TOKENIZER.to_json())
    assert again.pieces == TOKENIZER.pieces
    assert again.encode("the cat and Ünïcode") == TOKENIZER.encode("the cat and Ünïcode")


def test_a_damaged_tokenizer_is_a_clear_error() -> None:
    with pytest.raises(EngineError, match="tokenizer cannot be read"):
        Tokenizer.from_json(TOKENIZER.to_json()[:-40])


def test_tokens_have_names_for_people() -> None:
    assert TOKENIZER.name_token(TOKENIZER.encode("a")[0]) == "a"
    assert TOKENIZER.name_token(TOKENIZER.encode("é")[0]) == r"bytes:\xc3"
    assert TOKENIZER.name_token(TOKENIZER.special_id("system")) == "<|system|>"


def test_training_on_nothing_still_encodes_everything() -> None:
    empty = Tokenizer.train([], vocab_size=320)
    assert len(empty.encode("naïve")) == 6
