"""The estimate of tokens."""

from pathlib import Path

from ftops.dataset.summary import check_file
from ftops.dataset.tokens import TokenEstimate, estimate_tokens
from tests.dataset.data_files import chat, pair, write_rows


def estimate(folder: Path, *rows: object) -> TokenEstimate:
    return estimate_tokens(check_file(write_rows(folder / "a.jsonl", rows)))


def test_latin_text_has_a_token_for_four_bytes(tmp_path: Path) -> None:
    assert estimate(tmp_path, pair("a" * 396, "b" * 4)).tokens == 100


def test_chinese_text_has_a_token_for_one_and_a_half_characters(tmp_path: Path) -> None:
    assert estimate(tmp_path, pair("世" * 298, "界界")).tokens == 200


def test_mixed_text_lies_between(tmp_path: Path) -> None:
    assert estimate(tmp_path, pair("世" * 150 + "a" * 399, "b")).tokens == 200


def test_chats_cost_three_a_message_and_three_a_row(tmp_path: Path) -> None:
    assert estimate(tmp_path, chat("a" * 40, "b" * 40), chat("c" * 40, "d" * 40)).tokens == 58


def test_every_row_has_a_token(tmp_path: Path) -> None:
    assert estimate(tmp_path, pair("", "a"), pair("", "b")).tokens == 2


def test_dense_scripts_are_estimated_with_less_certainty(tmp_path: Path) -> None:
    latin = estimate(tmp_path, pair("hello", "world"))
    chinese = estimate(tmp_path, pair("世界", "世界"))
    assert 0 < latin.error < chinese.error < 1
    assert "4 bytes a token" in latin.method
