"""Texts that are sent for moderation, and the cache of the results."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftops.data.screening.hash_index import HashIndex
from ftops.data.screening.moderation import (
    FILENAME,
    MOST_BYTES,
    MOST_TEXTS,
    ModerationCache,
    Moderator,
    cut_batches,
    cut_text,
)
from ftops.errors import RateLimited


class WordModeration:
    """Flags every text with one of two words; fails at the request `fails_at`."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.requests: list[list[str]] = []
        self._fails_at = fails_at

    def __call__(self, texts: Sequence[str]) -> list[tuple[str, ...]]:
        if len(self.requests) == self._fails_at:
            raise RateLimited("slow down")
        self.requests.append([*texts])
        return [tuple(word for word in ("bite", "kick") if word in text) for text in texts]


def create_moderator(home: Path, moderate: WordModeration, name: str = "me") -> Moderator:
    return Moderator(moderate, ModerationCache(home, name), lambda _: None)


def test_a_row_has_the_flags_of_all_its_texts(tmp_path: Path) -> None:
    rows = [["I bite", "and kick"], ["hello"], [" ", ""], ["hello", "kick"]]
    flags = create_moderator(tmp_path, WordModeration()).judge(rows)
    assert flags == [{"bite", "kick"}, set(), set(), {"kick"}]


def test_a_duplicate_text_is_sent_once_and_a_blank_one_never(tmp_path: Path) -> None:
    moderate = WordModeration()
    moderator = create_moderator(tmp_path, moderate)
    moderator.judge([["a", "b"], ["b", "a"], ["", "\n"]])
    moderator.judge([["b", "c"]])
    assert moderate.requests == [["a", "b"], ["c"]]
    assert moderator.sent == 3


def test_a_repeated_check_sends_nothing_and_has_the_same_result(tmp_path: Path) -> None:
    rows = [[f"text {number}", "bite" * number] for number in range(100)]
    first = create_moderator(tmp_path, WordModeration()).judge(rows)
    second = WordModeration()
    assert create_moderator(tmp_path, second).judge(rows) == first
    assert second.requests == []


def test_texts_that_were_moderated_before_an_error_are_not_sent_again(tmp_path: Path) -> None:
    rows = [[f"text {number}"] for number in range(4 * MOST_TEXTS)]
    first = WordModeration(fails_at=3)
    with pytest.raises(RateLimited):
        create_moderator(tmp_path, first).judge(rows)
    second = WordModeration()
    create_moderator(tmp_path, second).judge(rows)
    assert [len(first.requests), len(second.requests)] == [3, 1]
    assert second.requests[0][0] == f"text {3 * MOST_TEXTS}"


def test_results_are_cached_by_moderation_model(tmp_path: Path) -> None:
    create_moderator(tmp_path, WordModeration(), "me").judge([["a"]])
    other = WordModeration()
    create_moderator(tmp_path, other, "you").judge([["a"]])
    assert other.requests == [["a"]]


def test_batches_are_bounded_in_texts_and_bytes_and_keep_the_order() -> None:
    texts = [*map(str, range(2 * MOST_TEXTS + 1)), "é" * (MOST_BYTES // 2), "x" * 9, "y" * 9]
    batches = list(cut_batches(texts))
    assert [text for batch in batches for text in batch] == texts
    assert [len(batch) for batch in batches] == [MOST_TEXTS, MOST_TEXTS, 1, 1, 2]
    assert max(sum(len(text.encode()) for text in batch) for batch in batches) == MOST_BYTES


@pytest.mark.parametrize("letter", ["x", "é", "語", "🙂"])
def test_a_long_text_is_cut_between_characters_and_moderated_completely(
    tmp_path: Path, letter: str
) -> None:
    text = "a" + letter * MOST_BYTES + " bite"
    pieces = cut_text(text)
    assert "".join(pieces) == text
    assert max(len(piece.encode()) for piece in pieces) <= MOST_BYTES
    assert create_moderator(tmp_path, WordModeration()).judge([[text]]) == [{"bite"}]


def test_half_a_surrogate_pair_is_sent_as_a_question_mark() -> None:
    assert cut_text("a\ud800b") == ["a?b"]


def test_the_cache_contains_no_texts_and_is_private(tmp_path: Path) -> None:
    create_moderator(tmp_path, WordModeration()).judge([["I bite you"]])
    cache_file = tmp_path / FILENAME
    assert b"you" not in cache_file.read_bytes()
    assert cache_file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "damage", [b'{"text": "ab', b"[]\n", b'{"text": 1, "flagged": []}\n', b"\n"]
)
def test_a_damaged_line_of_the_cache_is_ignored(tmp_path: Path, damage: bytes) -> None:
    create_moderator(tmp_path, WordModeration()).judge([["bite"]])
    with (tmp_path / FILENAME).open("ab") as stream:
        stream.write(damage)
    create_moderator(tmp_path, WordModeration()).judge([["kick"]])
    cache = ModerationCache(tmp_path, "me")
    assert [cache.find(text) for text in ("bite", "kick", "x")] == [("bite",), ("kick",), None]


def test_a_large_cache_file_is_rotated_and_still_read(tmp_path: Path) -> None:
    for number in range(3):
        ModerationCache(tmp_path, "me", max_bytes=100).add(
            [f"{number}", f"and {number}"], [(), ("bite",)]
        )
    assert (tmp_path / "moderation.old.jsonl").stat().st_size < 200
    cache = ModerationCache(tmp_path, "me", max_bytes=100)
    assert cache.find("and 2") == ("bite",)
    assert cache.find("0") is None  # only one old file is kept


KEYS = st.one_of(st.integers(0, 20), st.integers(2**64 - 3, 2**64 - 1), st.integers(0, 2**64 - 1))


@given(st.lists(st.tuples(KEYS, st.integers(0, 2**32 - 1))), st.integers(1, 5))
def test_an_index_behaves_like_a_dict(items: list[tuple[int, int]], buffer_size: int) -> None:
    index, expected = HashIndex(buffer_size), dict[int, int]()
    for key, number in items:
        index.put(key, number)
        expected[key] = number
    for key in (*expected, 7, 2**64 - 2):
        assert index.find(key) == expected.get(key)
