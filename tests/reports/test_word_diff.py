"""The words that differ are marked, and no letter of a text is lost."""

from hypothesis import given
from hypothesis import strategies as st

from ftops.reports.word_diff import diff_words, get_similarity


@given(st.text(max_size=200), st.text(max_size=200))
def test_the_pieces_put_together_are_the_texts(expected: str, answer: str) -> None:
    left, right = diff_words(expected, answer)
    assert "".join(piece.text for piece in left) == expected
    assert "".join(piece.text for piece in right) == answer
    assert all(not piece.differs for piece in left) == (expected == answer or not expected)


def test_only_the_words_that_differ_are_marked() -> None:
    left, right = diff_words("in the top drawer", "in the lower drawer")
    assert [piece.text for piece in left if piece.differs] == ["top"]
    assert [piece.text for piece in right if piece.differs] == ["lower"]


def test_texts_too_long_to_compare_differ_as_a_whole() -> None:
    long = "word " * 5_000
    left, right = diff_words(long, long + "x")
    assert left[0].differs and right[0].differs
    assert not diff_words(long, long)[0][0].differs


@given(st.text(max_size=80), st.text(max_size=80))
def test_likeness_lies_between_nothing_and_all_in_common(one: str, other: str) -> None:
    assert 0 <= get_similarity(one, other) <= 1
    assert get_similarity(one, one) == 1
    assert get_similarity(one, other) == get_similarity(other, one)
