"""What is sent to a judge, and what is remembered of his verdicts."""

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


class WordJudge:
    """Takes every text for harmful that holds one of his words; gives up when told to."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.asked: list[list[str]] = []
        self._fails_at = fails_at

    def __call__(self, texts: Sequence[str]) -> list[tuple[str, ...]]:
        if len(self.asked) == self._fails_at:
            raise RateLimited("slow down")
        self.asked.append([*texts])
        return [tuple(word for word in ("bite", "kick") if word in text) for text in texts]


def hold_court(home: Path, judge: WordJudge, name: str = "me") -> Moderator:
    return Moderator(judge, ModerationCache(home, name), lambda _: None)


def test_a_row_is_judged_by_all_of_its_texts(tmp_path: Path) -> None:
    rows = [["I bite", "and kick"], ["hello"], [" ", ""], ["hello", "kick"]]
    found = hold_court(tmp_path, WordJudge()).judge(rows)
    assert found == [{"bite", "kick"}, set(), set(), {"kick"}]


def test_a_text_that_stands_twice_is_sent_once_and_a_blank_one_never(tmp_path: Path) -> None:
    judge = WordJudge()
    court = hold_court(tmp_path, judge)
    court.judge([["a", "b"], ["b", "a"], ["", "\n"]])
    court.judge([["b", "c"]])
    assert judge.asked == [["a", "b"], ["c"]]
    assert court.sent == 3


def test_a_repeated_check_sends_nothing_and_says_the_same(tmp_path: Path) -> None:
    rows = [[f"text {number}", "bite" * number] for number in range(100)]
    first = hold_court(tmp_path, WordJudge()).judge(rows)
    again = WordJudge()
    assert hold_court(tmp_path, again).judge(rows) == first
    assert again.asked == []


def test_what_was_judged_before_an_error_is_not_sent_again(tmp_path: Path) -> None:
    rows = [[f"text {number}"] for number in range(4 * MOST_TEXTS)]
    first = WordJudge(fails_at=3)
    with pytest.raises(RateLimited):
        hold_court(tmp_path, first).judge(rows)
    second = WordJudge()
    hold_court(tmp_path, second).judge(rows)
    assert [len(first.asked), len(second.asked)] == [3, 1]
    assert second.asked[0][0] == f"text {3 * MOST_TEXTS}"


def test_another_judge_is_asked_for_himself(tmp_path: Path) -> None:
    hold_court(tmp_path, WordJudge(), "me").judge([["a"]])
    other = WordJudge()
    hold_court(tmp_path, other, "you").judge([["a"]])
    assert other.asked == [["a"]]


def test_batches_are_bounded_in_texts_and_bytes_and_keep_the_order() -> None:
    texts = [*map(str, range(2 * MOST_TEXTS + 1)), "é" * (MOST_BYTES // 2), "x" * 9, "y" * 9]
    batches = list(cut_batches(texts))
    assert [text for batch in batches for text in batch] == texts
    assert [len(batch) for batch in batches] == [MOST_TEXTS, MOST_TEXTS, 1, 1, 2]
    assert max(sum(len(text.encode()) for text in batch) for batch in batches) == MOST_BYTES


@pytest.mark.parametrize("letter", ["x", "é", "語", "🙂"])
def test_a_long_text_is_cut_between_characters_and_judged_whole(
    tmp_path: Path, letter: str
) -> None:
    text = "a" + letter * MOST_BYTES + " bite"
    pieces = cut_text(text)
    assert "".join(pieces) == text
    assert max(len(piece.encode()) for piece in pieces) <= MOST_BYTES
    assert hold_court(tmp_path, WordJudge()).judge([[text]]) == [{"bite"}]


def test_half_a_surrogate_pair_is_sent_as_a_question_mark() -> None:
    assert cut_text("a\ud800b") == ["a?b"]


def test_no_text_stands_in_the_file_and_others_cannot_read_it(tmp_path: Path) -> None:
    hold_court(tmp_path, WordJudge()).judge([["I bite you"]])
    kept = tmp_path / FILENAME
    assert b"you" not in kept.read_bytes()
    assert kept.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "damage", [b'{"text": "ab', b"[]\n", b'{"text": 1, "flagged": []}\n', b"\n"]
)
def test_a_damaged_line_is_passed_over_and_the_others_hold(tmp_path: Path, damage: bytes) -> None:
    hold_court(tmp_path, WordJudge()).judge([["bite"]])
    with (tmp_path / FILENAME).open("ab") as stream:
        stream.write(damage)
    hold_court(tmp_path, WordJudge()).judge([["kick"]])
    verdicts = ModerationCache(tmp_path, "me")
    assert [verdicts.find(text) for text in ("bite", "kick", "x")] == [("bite",), ("kick",), None]


def test_a_file_that_has_grown_large_becomes_the_old_one_and_is_still_read(tmp_path: Path) -> None:
    for number in range(3):
        ModerationCache(tmp_path, "me", max_bytes=100).add(
            [f"{number}", f"and {number}"], [(), ("bite",)]
        )
    assert (tmp_path / "moderation.old.jsonl").stat().st_size < 200
    verdicts = ModerationCache(tmp_path, "me", max_bytes=100)
    assert verdicts.find("and 2") == ("bite",)
    assert verdicts.find("0") is None  # the one before the old one is gone


KEYS = st.one_of(st.integers(0, 20), st.integers(2**64 - 3, 2**64 - 1), st.integers(0, 2**64 - 1))


@given(st.lists(st.tuples(KEYS, st.integers(0, 2**32 - 1))), st.integers(1, 5))
def test_a_shelf_holds_what_a_dict_would(put: list[tuple[int, int]], fresh: int) -> None:
    shelf, known = HashIndex(fresh), dict[int, int]()
    for key, number in put:
        shelf.put(key, number)
        known[key] = number
    for key in (*known, 7, 2**64 - 2):
        assert shelf.find(key) == known.get(key)
