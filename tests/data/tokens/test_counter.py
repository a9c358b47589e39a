"""Estimates of tokens without a vocabulary."""

from pathlib import Path

import pytest

from ftops.data.summary import CharCounts, check_file, count_chars
from ftops.data.tokens.counter import Estimator, FileTokenEstimate, estimate_tokens, format_method
from tests.data.data_files import chat, pair, write_rows


def estimate(folder: Path, *rows: object, vocabulary: str = "") -> FileTokenEstimate:
    return estimate_tokens(check_file(write_rows(folder / "a.jsonl", rows)), vocabulary)


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("", CharCounts()),
        ("plain", CharCounts(5)),
        ("naïve café", CharCounts(10)),
        ("да, нет", CharCounts(2, 5)),
        ("नमस्ते", CharCounts(0, 6)),
        ("世界 ok", CharCounts(3, 0, 2)),
        ("안녕 😀", CharCounts(1, 0, 3)),
        ("half \ud800", CharCounts(6)),
    ],
)
def test_letters_are_counted_by_script(text: str, counts: CharCounts) -> None:
    assert count_chars(text) == counts


def test_latin_text_has_about_one_token_for_four_letters(tmp_path: Path) -> None:
    assert estimate(tmp_path, pair("a" * 416, "b" * 4)).tokens == 100


def test_tokens_of_other_scripts_depend_on_the_vocabulary(tmp_path: Path) -> None:
    rows = [pair("世" * 88, "界界"), pair("д" * 80, "д")]
    tokens = [estimate(tmp_path, *rows, vocabulary=name).tokens for name in ("r50k_base",
             "cl100k_base", "o200k_base", "")]  # fmt: skip
    assert tokens == sorted(tokens, reverse=True)
    assert tokens[0] > 3 * tokens[-1]
    assert tokens[-1] == tokens[-2]


def test_chats_add_three_tokens_for_each_message_and_row(tmp_path: Path) -> None:
    assert estimate(tmp_path, chat("a" * 42, "b" * 42), chat("c" * 42, "d" * 42)).tokens == 58


def test_every_row_has_at_least_one_token(tmp_path: Path) -> None:
    assert estimate(tmp_path, pair("", "a"), pair("", "b")).tokens == 2


def test_other_scripts_are_estimated_with_less_certainty(tmp_path: Path) -> None:
    latin = estimate(tmp_path, pair("hello", "world"))
    chinese = estimate(tmp_path, pair("世界", "世界"))
    assert 0 < latin.error < chinese.error < 1
    assert (
        format_method(latin.method, latin.error)
        == "estimated from the letters, within 25% for ordinary text"
    )
    assert format_method("counted", 0.0) == "counted"


def test_a_text_has_a_token_unless_it_is_empty() -> None:
    assert Estimator().count(["", "a", "a" * 42]) == [0, 1, 10]
