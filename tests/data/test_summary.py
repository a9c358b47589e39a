"""Figures of a data file, and the overlap of two files."""

import hashlib
import tracemalloc
from pathlib import Path

import orjson
import pytest

from ftops.data.profile import MAX_LABELS
from ftops.data.summary import CharCounts, check_file, count_overlap
from ftops.errors import DatasetError
from ftops.records import RowFormat
from tests.data.data_files import call, chat, chat_with_calls, pair, tool, write_bytes, write_rows


def test_the_figures_describe_the_file(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", [pair("ab", " 世界"), pair("", "x"), pair("", "x")])
    summary = check_file(path)
    assert summary.path == path
    assert summary.format is RowFormat.COMPLETION
    assert (summary.rows, summary.duplicate_rows) == (3, 1)
    assert summary.bytes == path.stat().st_size
    assert summary.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert summary.letters == CharCounts(5, 0, 2)
    assert (summary.messages, summary.longest_completion_chars) == (0, 3)


def test_the_figures_of_chats_count_contents(tmp_path: Path) -> None:
    rows = [chat("ab", "c", "def"), chat("ab", "c", "def"), chat("ab", "de")]
    summary = check_file(write_rows(tmp_path / "a.jsonl", rows))
    assert summary.format is RowFormat.CHAT
    assert (summary.messages, summary.letters.latin, summary.duplicate_rows) == (8, 16, 1)
    assert summary.longest_completion_chars == 3


def test_tool_calls_are_answers_and_tools_count(tmp_path: Path) -> None:
    rows = [chat_with_calls(call({"n": n % 2}, id=f"call_{n}"), question="a") for n in range(8)]
    plain = check_file(write_rows(tmp_path / "a.jsonl", rows))
    assert plain.classes == {
        '[{"name":"send","arguments":{"n":0}}]': 4, '[{"name":"send","arguments":{"n":1}}]': 4
    }  # fmt: skip
    assert plain.duplicate_rows == 6  # whatever the ids of the calls
    with_tools = check_file(
        write_rows(tmp_path / "b.jsonl", [row | {"tools": [tool()]} for row in rows])
    )
    assert with_tools.letters.latin - plain.letters.latin == 8 * len(orjson.dumps([tool()]))


def test_rows_that_differ_only_in_call_ids_overlap(tmp_path: Path) -> None:
    first, second = (
        write_rows(tmp_path / f"{name}.jsonl", [chat_with_calls(call({}, id=name))])
        for name in ("a", "b")
    )
    assert count_overlap(check_file(first), check_file(second)) == 1


def test_the_hash_covers_every_byte_of_the_file(tmp_path: Path) -> None:
    line = b'{"prompt":"a","completion":"b"}'
    data = b"\xef\xbb\xbf" + line + b"\r\n\n\n"
    path = write_bytes(tmp_path, data)
    assert check_file(path).sha256 == hashlib.sha256(data).hexdigest()
    assert check_file(path).bytes == len(data)


def test_labels_are_counted_as_classes_most_frequent_first(tmp_path: Path) -> None:
    rows = [pair(str(number), " 2" if number % 3 else " 1") for number in range(10)]
    classes = check_file(write_rows(tmp_path / "a.jsonl", rows)).classes
    assert classes is not None
    assert list(classes.items()) == [(" 2", 6), (" 1", 4)]


@pytest.mark.parametrize(
    "rows",
    [
        [pair("a", "x"), pair("b", "x"), pair("c", "y"), pair("d", "y"), pair("e", "x"), pair()],
        [pair(str(number), str(number % (MAX_LABELS + 1))) for number in range(4000)],
        [pair(str(number), "long " * 50) for number in range(10)],
    ],
)
def test_answers_that_do_not_look_like_labels_are_not_classes(
    tmp_path: Path, rows: list[object]
) -> None:
    assert check_file(write_rows(tmp_path / "a.jsonl", rows)).classes is None


def test_a_thousand_classes_are_still_classes(tmp_path: Path) -> None:
    rows = [pair(str(number), str(number % MAX_LABELS)) for number in range(3001)]
    classes = check_file(write_rows(tmp_path / "a.jsonl", rows)).classes
    assert classes is not None
    assert len(classes) == MAX_LABELS


def test_a_bad_row_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="1 of 2 rows are bad"):
        check_file(write_rows(tmp_path / "a.jsonl", [pair(), pair("a", None)]))


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("w") as stream:
        for number in range(40_000):
            stream.write(f'{{"prompt": "{number:0500}", "completion": "{number}"}}\n')
    tracemalloc.start()
    try:
        assert check_file(path).rows == 40_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < path.stat().st_size / 3


def test_every_validation_row_that_is_a_training_row_counts(tmp_path: Path) -> None:
    training = write_rows(tmp_path / "t.jsonl", [pair("a"), pair("b"), pair("c"), pair("c")])
    validation = write_rows(tmp_path / "v.jsonl", [pair("x"), pair("c"), pair("b"), pair("c")])
    assert count_overlap(check_file(training), check_file(validation)) == 3


def test_the_same_question_with_another_answer_is_not_an_overlap(tmp_path: Path) -> None:
    training = write_rows(tmp_path / "t.jsonl", [pair("a", "b")])
    validation = write_rows(tmp_path / "v.jsonl", [pair("a", "c")])
    assert count_overlap(check_file(training), check_file(validation)) == 0


def test_overlap_counts_all_rows_of_chats(tmp_path: Path) -> None:
    rows = [chat(str(number), "b") for number in range(25)]
    training = write_rows(tmp_path / "t.jsonl", rows)
    validation = write_rows(tmp_path / "v.jsonl", rows)
    assert count_overlap(check_file(training), check_file(validation)) == 25


def test_overlap_is_counted_without_reading_the_files_again(tmp_path: Path) -> None:
    training = write_rows(tmp_path / "t.jsonl", [pair("a"), pair("b")])
    validation = write_rows(tmp_path / "v.jsonl", [pair("b")])
    summaries = check_file(training), check_file(validation)
    training.unlink()
    validation.unlink()
    assert count_overlap(*summaries) == 1
