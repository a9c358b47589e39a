"""Preparation of the file that is uploaded."""

import hashlib
import json
from pathlib import Path

import pytest

from ftops.data.prepare import Recipe, prepare_file
from ftops.data.summary import check_file
from ftops.errors import DatasetError, StorageError
from ftops.records import RowFormat
from tests.data.data_files import chat, pair, tool, write_rows

PLAIN = Recipe(RowFormat.COMPLETION)
MARKED = Recipe(RowFormat.COMPLETION, separator=" ->", stop="\n")
CHAT = Recipe(RowFormat.CHAT, separator=" ->", stop="\n", system="Be brief.")


def prepare(folder: Path, rows: list[object], recipe: Recipe) -> list[object]:
    target = folder / "out" / "train.jsonl"
    prepare_file(write_rows(folder / "in.jsonl", rows), target, recipe)
    return [json.loads(line) for line in target.read_text().splitlines()]


def test_separators_and_stops_are_appended_once(tmp_path: Path) -> None:
    rows: list[object] = [pair("a", " 1"), pair("a ->", " 1\n"), pair("", "1")]
    assert prepare(tmp_path, rows, MARKED) == [
        pair("a ->", " 1\n"),
        pair("a ->", " 1\n"),
        pair(" ->", "1\n"),
    ]
    assert prepare(tmp_path, rows, PLAIN) == rows


def test_preparing_a_prepared_file_changes_nothing(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "in.jsonl", [pair("世界", "é"), pair("b", " c")])
    first, second = tmp_path / "1.jsonl", tmp_path / "2.jsonl"
    prepare_file(source, first, MARKED)
    prepare_file(first, second, MARKED)
    assert first.read_bytes() == second.read_bytes()


def test_the_output_is_compact_utf_8_and_deterministic(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    for source in (
        '{"prompt": "\\u4e16", "completion": "é"}\r\n\n',
        '{"completion":"\\u00e9",  "prompt":"世"}',
    ):
        path = tmp_path / "in.jsonl"
        path.write_bytes(source.encode())
        prepare_file(path, target, PLAIN)
        assert target.read_bytes() == '{"prompt":"世","completion":"é"}\n'.encode()


def test_the_summary_describes_the_written_file(tmp_path: Path) -> None:
    rows = [pair(str(number), " yes" if number % 2 else " no") for number in range(20)]
    source, target = write_rows(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl"
    for recipe in (PLAIN, MARKED, CHAT):
        summary = prepare_file(source, target, recipe)
        assert summary == check_file(target)
        assert summary.sha256 == hashlib.sha256(target.read_bytes()).hexdigest()


def test_completion_rows_become_chats(tmp_path: Path) -> None:
    rows: list[object] = [pair("Who? ->", " me\n"), pair(" Why?\n", "  so ")]
    system = {"role": "system", "content": "Be brief."}
    assert prepare(tmp_path, rows, CHAT) == [
        {"messages": [system, *messages]}
        for messages in (chat("Who?", "me")["messages"], chat(" Why?\n", " so ")["messages"])
        if isinstance(messages, list)
    ]
    assert prepare(tmp_path, rows, Recipe(RowFormat.CHAT)) == [
        chat("Who? ->", " me\n"), chat(" Why?\n", "  so ")
    ]  # fmt: skip


def test_chats_only_get_a_missing_system_message(tmp_path: Path) -> None:
    plain = chat("a ->", "b\n") | {"tools": [tool()]}
    with_developer = chat("keep me", "b", role="developer")
    assert prepare(tmp_path, [plain, with_developer], Recipe(RowFormat.CHAT)) == [
        plain,
        with_developer,
    ]
    first, second = prepare(tmp_path, [plain, with_developer], CHAT)
    assert second == with_developer
    assert isinstance(first, dict)
    assert first["messages"][0] == {"role": "system", "content": "Be brief."}
    assert first["messages"][1:] == plain["messages"]
    assert first["tools"] == plain["tools"]


def test_chats_cannot_become_completions(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"in\.jsonl: the rows are chats") as caught:
        prepare(tmp_path, [chat("a", "b")], PLAIN)
    assert "chat model" in caught.value.hint


def test_rows_that_become_empty_are_reported_and_nothing_is_written(tmp_path: Path) -> None:
    target = tmp_path / "out" / "train.jsonl"
    rows = [pair("a", "b"), pair(" ->", "b"), pair("a", "\n")]
    source = write_rows(tmp_path / "in.jsonl", rows)
    with pytest.raises(DatasetError) as caught:
        prepare_file(source, target, CHAT)
    assert caught.value.message.splitlines() == [
        f"{source}: 2 of 3 rows are bad",
        f"{source}:2: prompt is empty, so a chat has no question",
        f"{source}:3: completion holds nothing but its marks",
    ]
    assert list(target.parent.iterdir()) == []


def test_a_bad_source_leaves_the_target_unchanged(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    target.write_text("before")
    with pytest.raises(DatasetError):
        prepare_file(write_rows(tmp_path / "in.jsonl", [pair(), "nonsense"]), target, PLAIN)
    assert target.read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


def test_a_missing_source_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="there is no such file"):
        prepare_file(tmp_path / "no.jsonl", tmp_path / "out.jsonl", PLAIN)


def test_a_target_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "in.jsonl", [pair()])
    with pytest.raises(StorageError, match="cannot write"):
        prepare_file(source, source / "out.jsonl", PLAIN)


def test_only_the_owner_may_read_the_written_file(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    prepare_file(write_rows(tmp_path / "in.jsonl", [pair()]), target, PLAIN)
    assert target.stat().st_mode & 0o777 == 0o600
