"""Rows cut into pieces, and the tokens of each."""

from collections.abc import Iterable
from pathlib import Path

from ftops.data.rows import Row
from ftops.data.tokens.segments import (
    FileTokens,
    RowSegment,
    TokenCounts,
    count_file_tokens,
    count_segments,
    split_row,
    sum_trained,
)
from tests.data.data_files import call_row, pair, preference, read_all, write_rows


class WordCounter:
    """Counts words, exactly."""

    vocabulary, method, error = "words", "counted in words", 0.0

    def count(self, texts: Iterable[str]) -> list[int]:
        return [len(text.split()) for text in texts]


def row_of(folder: Path, raw: object) -> Row:
    (row,) = read_all(write_rows(folder / "one.jsonl", [raw]))
    return row


def test_of_a_pair_the_completion_is_learned(tmp_path: Path) -> None:
    assert split_row(row_of(tmp_path, pair("what ->", " this"))) == [
        RowSegment("prompt", "what ->", trained=False),
        RowSegment("completion", " this", trained=True),
    ]


def test_of_a_chat_what_the_assistant_says_is_learned_unless_its_weight_is_zero(
    tmp_path: Path,
) -> None:
    raw = {
        "messages": [
            {"role": "system", "content": "be kind"},
            {"role": "user", "content": "hello"},
            {"role": "assistant", "content": "no", "weight": 0},
            {"role": "user", "content": "hello?"},
            {"role": "assistant", "content": "hello you"},
        ]
    }
    pieces = split_row(row_of(tmp_path, raw))
    assert [piece.trained for piece in pieces] == [False, False, False, False, True]
    assert [piece.marks for piece in pieces] == [6, 3, 3, 3, 3]
    ((_, _, counts),) = count_segments([row_of(tmp_path, raw)], WordCounter())
    assert (sum(counts), sum_trained(pieces, counts)) == (7 + 18, 2)


def test_of_a_preference_both_answers_are_learned_from(tmp_path: Path) -> None:
    pieces = split_row(row_of(tmp_path, preference()))
    assert [(piece.role, piece.trained) for piece in pieces][-2:] == [
        ("preferred", True),
        ("other", True),
    ]
    assert not any(piece.trained for piece in pieces[:-2])


def test_tools_and_calls_are_read_too(tmp_path: Path) -> None:
    raw = {
        **call_row({"b": 1, "a": "é"}),
        "tools": [{"type": "function", "function": {"name": "send"}}],
    }
    pieces = split_row(row_of(tmp_path, raw))
    offered = '[{"type":"function","function":{"name":"send"}}]'
    assert pieces[0] == RowSegment("tools", offered, trained=False)
    assert pieces[2].text == '[{"name":"send","arguments":{"b": 1, "a": "\\u00e9"}}]'
    assert pieces[2].trained


def test_figures_keep_the_length_of_each_row(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [pair("a b c", "d"), pair("a", "b c")] * 300)
    figures = TokenCounts()
    for _, pieces, counts in count_segments(read_all(path), WordCounter()):
        figures.add(pieces, counts)
    assert list(figures.lengths[:3]) == [4, 3, 4]
    assert list(figures.answers[:3]) == [1, 2, 1]
    assert count_file_tokens(path, WordCounter()) == FileTokens(2100)


def test_a_row_counts_no_more_tokens_than_the_model_reads(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [pair("a b c d e", "f"), pair("a", "b")] * 3)
    assert count_file_tokens(path, WordCounter(), 4) == FileTokens(tokens=18, long_rows=3)
    assert count_file_tokens(path, WordCounter(), 6) == FileTokens(tokens=24)


def test_every_row_of_a_file_is_a_token(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [pair("", " "), pair("", "  ")])
    assert count_file_tokens(path, WordCounter()).tokens == 2
