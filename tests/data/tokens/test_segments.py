"""Segments of rows, and the tokens of each."""

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
    """Counts words exactly."""

    vocabulary, method, error = "words", "counted in words", 0.0

    def count(self, texts: Iterable[str]) -> list[int]:
        return [len(text.split()) for text in texts]


def read_row(folder: Path, raw: object) -> Row:
    (row,) = read_all(write_rows(folder / "one.jsonl", [raw]))
    return row


def test_the_completion_of_a_pair_is_trained(tmp_path: Path) -> None:
    assert split_row(read_row(tmp_path, pair("what ->", " this"))) == [
        RowSegment("prompt", "what ->", trained=False),
        RowSegment("completion", " this", trained=True),
    ]


def test_messages_of_the_assistant_are_trained_unless_their_weight_is_zero(
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
    segments = split_row(read_row(tmp_path, raw))
    assert [segment.trained for segment in segments] == [False, False, False, False, True]
    assert [segment.marks for segment in segments] == [6, 3, 3, 3, 3]
    ((_, _, counts),) = count_segments([read_row(tmp_path, raw)], WordCounter())
    assert (sum(counts), sum_trained(segments, counts)) == (7 + 18, 2)


def test_both_answers_of_a_preference_are_trained(tmp_path: Path) -> None:
    segments = split_row(read_row(tmp_path, preference()))
    assert [(segment.role, segment.trained) for segment in segments][-2:] == [
        ("preferred", True),
        ("other", True),
    ]
    assert not any(segment.trained for segment in segments[:-2])


def test_tools_and_calls_are_segments(tmp_path: Path) -> None:
    raw = {
        **call_row({"b": 1, "a": "é"}),
        "tools": [{"type": "function", "function": {"name": "send"}}],
    }
    segments = split_row(read_row(tmp_path, raw))
    tools_text = '[{"type":"function","function":{"name":"send"}}]'
    assert segments[0] == RowSegment("tools", tools_text, trained=False)
    assert segments[2].text == '[{"name":"send","arguments":{"b": 1, "a": "\\u00e9"}}]'
    assert segments[2].trained


def test_counts_keep_the_length_of_each_row(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [pair("a b c", "d"), pair("a", "b c")] * 300)
    counts_by_row = TokenCounts()
    for _, segments, counts in count_segments(read_all(path), WordCounter()):
        counts_by_row.add(segments, counts)
    assert list(counts_by_row.lengths[:3]) == [4, 3, 4]
    assert list(counts_by_row.answers[:3]) == [1, 2, 1]
    assert count_file_tokens(path, WordCounter()) == FileTokens(2100)


def test_a_row_counts_at_most_the_limit_of_tokens(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [pair("a b c d e", "f"), pair("a", "b")] * 3)
    assert count_file_tokens(path, WordCounter(), 4) == FileTokens(tokens=18, long_rows=3)
    assert count_file_tokens(path, WordCounter(), 6) == FileTokens(tokens=24)


def test_every_row_of_a_file_has_at_least_one_token(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [pair("", " "), pair("", "  ")])
    assert count_file_tokens(path, WordCounter()).tokens == 2
