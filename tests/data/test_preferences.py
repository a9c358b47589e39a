"""Preference rows: two answers to one chat."""

import json
from pathlib import Path

import pytest

from ftops.data.prepare import Recipe, prepare_file
from ftops.data.summary import check_file
from ftops.errors import DatasetError
from ftops.records import Json, RowFormat
from tests.data.data_files import (
    chat,
    get_read_error,
    message_list,
    pair,
    preference,
    read_all,
    write_rows,
)

PREFERENCES = Recipe(RowFormat.PREFERENCE, system="Be kind.")


def test_the_completion_of_a_preference_row_is_the_preferred_answer(tmp_path: Path) -> None:
    messages = [
        *message_list("Hello", "user"),
        *message_list("Good day", weight=1),
        *message_list("The key?", "user"),
    ]
    path = write_rows(tmp_path / "p.jsonl", [preference(input={"messages": messages, "tools": []})])
    (row,) = read_all(path)
    assert row.format is RowFormat.PREFERENCE
    assert [message.content for message in row.prompt.messages] == [  # type: ignore[union-attr]
        "Hello",
        "Good day",
        "The key?",
    ]
    assert (row.completion, row.other) == ("On the hook.", "Look yourself.")


def test_both_answers_are_counted(tmp_path: Path) -> None:
    summary = check_file(write_rows(tmp_path / "p.jsonl", [preference(), preference()]))
    assert (summary.format, summary.rows, summary.duplicate_rows) == (RowFormat.PREFERENCE, 2, 1)
    assert summary.messages == 6
    assert summary.letters.latin == 2 * len("Where is the key?On the hook.Look yourself.")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"input": None}, "input is null, not an object with messages"),
        ({"input": {"messages": []}}, "input.messages is not a list of messages"),
        (
            {"input": {"messages": message_list("a", "user"), "x": 1}},
            "input has the unexpected key 'x'",
        ),
        ({"input": {"messages": message_list("a")}}, "input ends with the assistant's message"),
        ({"input": {"messages": message_list("a", "boss")}}, "input.messages[0].role is 'boss'"),
        ({"preferred_output": []}, "preferred_output is not a list of one message"),
        (
            {"preferred_output": message_list("a", "user")},
            "preferred_output[0] is not the assistant's",
        ),
        (
            {"preferred_output": message_list("a", weight=1)},
            "preferred_output[0].weight: both answers",
        ),
        ({"preferred_output": message_list("")}, "preferred_output[0] has no text"),
        ({"non_preferred_output": message_list("On the hook.")}, "are the same"),
        ({"more": 1}, "unexpected key 'more'"),
    ],
)
def test_a_bad_preference_row_is_reported_with_its_line(
    tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    path = write_rows(tmp_path / "p.jsonl", [preference(), preference() | changes])
    assert get_read_error(path)[1].startswith("p.jsonl:2: ")
    assert reason in get_read_error(path)[1]


@pytest.mark.parametrize("key", ["input", "preferred_output", "non_preferred_output"])
def test_a_missing_key_is_reported_by_name(tmp_path: Path, key: str) -> None:
    row = {name: value for name, value in preference().items() if name != key}
    path = write_rows(tmp_path / "p.jsonl", [row])
    assert get_read_error(path)[1] == f"p.jsonl:1: {key} is missing"


def test_preparing_adds_a_missing_system_message(tmp_path: Path) -> None:
    with_system = preference(
        input={"messages": [*message_list("Be short.", "system"), *message_list("Key?", "user")]}
    )
    source = write_rows(tmp_path / "in.jsonl", [preference(), with_system])
    prepare_file(source, tmp_path / "out.jsonl", PREFERENCES)
    first, second = (json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines())
    expected: Json = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Where is the key?"},
    ]
    assert first["input"]["messages"] == expected
    assert first["preferred_output"] == preference()["preferred_output"]
    assert second == with_system


@pytest.mark.parametrize(
    ("rows", "row_format", "reason"),
    [
        ([pair()], RowFormat.PREFERENCE, ":1: a completion row, and method: dpo learns of"),
        ([chat("a", "b")], RowFormat.PREFERENCE, ":1: a chat row, and method: dpo learns of"),
        ([preference()], RowFormat.CHAT, ":1: a preference row, and only method: dpo"),
        ([preference()], RowFormat.COMPLETION, ":1: a preference row, and only method: dpo"),
    ],
)
def test_rows_of_another_method_are_refused_with_their_line(
    tmp_path: Path, rows: list[object], row_format: RowFormat, reason: str
) -> None:
    source = write_rows(tmp_path / "in.jsonl", rows)
    with pytest.raises(DatasetError) as caught:
        prepare_file(source, tmp_path / "out.jsonl", Recipe(row_format))
    assert reason in caught.value.message
    assert caught.value.hint
    assert not (tmp_path / "out.jsonl").exists()
