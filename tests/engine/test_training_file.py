"""Reading and checking training files."""

import json
from pathlib import Path

import pytest

from ftops.engine.training_file import (
    MAX_CLASSES,
    MAX_LINE_BYTES,
    ChatRow,
    CompletionRow,
    InvalidTrainingFile,
    PreferenceRow,
    Turn,
    check_file,
    get_answer,
    has_tools,
    read_rows,
)
from ftops.records import RowFormat
from ftops.rows.messages import JsonObject

CHAT = '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}'


def write(folder: Path, *lines: str) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_file_of_completion_rows_is_summed_up(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        '{"prompt": "a ->", "completion": " 1"}',
        '{"prompt": "", "completion": " 2"}',
        "",
        '{"completion": "1", "prompt": "c"}',
    )
    summary = check_file(path)
    assert (summary.format, summary.rows) == (RowFormat.COMPLETION, 3)
    assert summary.answers == frozenset({"1", "2"})
    assert next(read_rows(path)) == CompletionRow("a ->", " 1")


def test_one_good_row_is_enough_and_a_byte_order_mark_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + CHAT.encode())
    assert check_file(path).rows == 1


def test_only_assistant_turns_without_weight_0_are_trained(tmp_path: Path) -> None:
    messages = [
        {"role": "developer", "content": "be short"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": "no", "weight": 0},
        {"role": "user", "content": "again", "name": "x"},
        {"role": "assistant", "content": "yes", "weight": 1},
    ]
    (row,) = read_rows(write(tmp_path, json.dumps({"messages": messages})))
    assert isinstance(row, ChatRow)
    assert [turn.trained for turn in row.turns] == [False, False, False, False, True]
    assert row.turns[1].content == "ab"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not valid JSON"),
        ("[1]", "a list, not an object"),
        ('{"prompt": "a"}', "completion is missing"),
        ('{"prompt": "a", "completion": null}', "completion is null"),
        ('{"prompt": 3, "completion": "a"}', "prompt is a number"),
        ('{"prompt": true, "completion": "a"}', "prompt is true or false"),
        ('{"prompt": ["a"], "completion": "a"}', "prompt is a list"),
        ('{"prompt": {}, "completion": "a"}', "prompt is an object"),
        ('{"prompt": "a", "completion": ""}', "completion is empty"),
        ('{"prompt": "a", "completion": "b", "extra": 1}', "unexpected key 'extra'; a row is"),
        ('{"prompt": "a", "completion": NaN}', "not valid JSON"),
        ('{"messages": []}', "messages is empty"),
        ('{"messages": ["a"]}', "messages[0] is text, not an object"),
        (
            '{"messages": [{"role": "tool", "content": "a"}]}',
            "messages[0].tool_call_id is missing",
        ),
        (
            '{"messages": [{"role": "boss", "content": "a"}]}',
            "messages[0].role is 'boss'; it is one",
        ),
        ('{"messages": [{"role": "user", "content": "a"}]}', "last message is not the assistant"),
        ('{"messages": [{"role": "assistant", "content": null}]}', "content is null"),
        ('{"messages": [{"role": "assistant", "content": ""}]}', "the last message has no text"),
        (
            '{"messages": [{"role": "assistant", "content": ""},'
            ' {"role": "assistant", "content": "a"}]}',
            "messages[0].content is empty",
        ),
        (
            '{"messages": [{"role": "assistant", "content": "a", "weight": 2}]}',
            "weight is neither 0 nor 1",
        ),
        (
            '{"messages": [{"role": "assistant", "content": "a", "weight": 0}]}',
            "no assistant message",
        ),
        (
            '{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}',
            "messages[0].content[0] is not a text part; only text is supported: image parts cannot",
        ),
        (
            '{"messages": [{"role": "user", "content": [{"type": "text"}]}]}',
            "messages[0].content[0] is not a text part",
        ),
        (
            '{"messages": [{"role": "user", "content": [{"type": "text", "text": "a"},'
            ' {"text": "b"}]}]}',
            "messages[0].content[1].type is missing",
        ),
        ('{"prompt": "a", "completion": "b", "completion": "c"}', "the key 'completion' is dup"),
        (CHAT[:-1] + ', "messages": []}', "messages is empty"),
        (CHAT.replace('"a"', '"x", "content": "a"'), "the key 'content' is duplicated"),
        (
            '{"messages": [{"role": "user", "content": "", "weight": 1},'
            ' {"role": "assistant", "content": "a"}]}',
            "messages[0].weight is only for the assistant",
        ),
        (
            '{"messages": [{"role": "assistant", "content": "a", "refusal": "no"}]}',
            "trains on content alone",
        ),
        (CHAT[:-1] + ', "functions": [{"name": "f"}]}', "functions: write them as tools"),
        (
            '{"messages": [{"role": "function", "name": "f", "content": "1"},'
            ' {"role": "assistant", "content": "a"}]}',
            "messages[0]: write a function's call and its answer as those of a tool",
        ),
        (
            '{"messages": [{"role": "assistant", "content": "a", "tool_calls": [1]}]}',
            "messages[0].tool_calls[0] is a number",
        ),
        (CHAT[:-1] + ', "tools": [1]}', "tools[0] is a number"),
    ],
)
def test_an_invalid_row_is_reported_with_line_and_reason(
    tmp_path: Path, line: str, reason: str
) -> None:
    path = write(tmp_path, CHAT if "messages" in line else '{"prompt":"","completion":"a"}', line)
    with pytest.raises(InvalidTrainingFile) as caught:
        check_file(path)
    assert str(caught.value).startswith("line 2: ")
    assert reason in str(caught.value)
    with pytest.raises(InvalidTrainingFile, match="line 2"):
        list(read_rows(path))


TOOL: JsonObject = {
    "type": "function",
    "function": {"name": "find", "parameters": {"type": "object"}},
}
CALL: JsonObject = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{}"}}


def test_tools_and_their_calls_are_read(tmp_path: Path) -> None:
    messages = [
        {"role": "user", "content": "Where is the key?"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": "hook", "tool_call_id": "c1"},
        {"role": "assistant", "content": "On the hook."},
    ]
    lines = [
        CHAT,
        json.dumps({"messages": messages, "tools": [TOOL]}),
        json.dumps({"messages": messages[:2], "tools": [TOOL]}),
    ]
    path = write(tmp_path, *lines)
    assert check_file(path).tools_line == 2
    plain, answered, called = read_rows(path)
    assert isinstance(answered, ChatRow)
    assert answered.tools == (TOOL,)
    assert answered.turns[1] == Turn("assistant", "", trained=True, tool_calls=(CALL,))
    assert answered.turns[2] == Turn("tool", "hook", tool_call_id="c1")
    assert [has_tools(row) for row in (plain, answered, called)] == [False, True, True]
    assert get_answer(called) == '[{"name":"find","arguments":{}}]'


def preference(**changes: object) -> str:
    row: dict[str, object] = {
        "input": {"messages": [{"role": "user", "content": "Where is the key?"}]},
        "preferred_output": [{"role": "assistant", "content": "On the hook."}],
        "non_preferred_output": [{"role": "assistant", "content": "Look yourself."}],
    }
    row.update(changes)
    return json.dumps({name: value for name, value in row.items() if value != "gone"})


def message(content: object, role: str = "assistant", **more: object) -> list[object]:
    return [{"role": role, "content": content, **more}]


def test_preference_rows_are_read(tmp_path: Path) -> None:
    messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Good day", "weight": 1},
        {"role": "user", "content": [{"type": "text", "text": "The key?"}]},
    ]
    path = write(tmp_path, preference(input={"messages": messages, "tools": []}))
    assert check_file(path).format is RowFormat.PREFERENCE
    (row,) = read_rows(path)
    assert isinstance(row, PreferenceRow)
    assert [turn.content for turn in row.turns] == ["Be kind.", "Hello", "Good day", "The key?"]
    assert (row.preferred, row.other) == ("On the hook.", "Look yourself.")


def test_nulls_that_data_frames_write_for_other_keys_do_not_matter(tmp_path: Path) -> None:
    row = {"prompt": "a", "completion": "b", "messages": None}
    chat = {"messages": [{"role": "assistant", "content": "c", "weight": None, "name": None}]}
    assert list(read_rows(write(tmp_path, json.dumps(row)))) == [CompletionRow("a", "b")]
    (read,) = read_rows(write(tmp_path, json.dumps(chat)))
    assert isinstance(read, ChatRow)
    assert read.turns[0].trained


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"input": "gone"}, "input is missing"),
        ({"preferred_output": "gone"}, "preferred_output is missing"),
        ({"non_preferred_output": "gone"}, "non_preferred_output is missing"),
        ({"input": [1]}, "input is a list, not an object with messages"),
        ({"input": {}}, "input.messages is not a list"),
        ({"input": {"messages": []}}, "input.messages is not a list of messages"),
        ({"input": {"messages": message("x", "boss")}}, "input.messages[0].role is 'boss'"),
        ({"input": {"messages": message("x")}}, "input ends with the assistant's message"),
        (
            {"input": {"messages": message("x", "user"), "tools": [1]}},
            "input.tools[0] is a number",
        ),
        (
            {"input": {"messages": message("x", "user"), "more": 1}},
            "input has the unexpected key 'more'",
        ),
        (
            {"input": {"messages": message([{"type": "image_url", "image_url": {}}], "user")}},
            "input.messages[0].content[0] is not a text part",
        ),
        ({"preferred_output": []}, "preferred_output is not a list of one message"),
        ({"preferred_output": message("a") * 2}, "preferred_output is not a list of one message"),
        ({"preferred_output": message("")}, "preferred_output[0] has no text"),
        ({"preferred_output": message("a", "user")}, "preferred_output[0] is not the assistant's"),
        ({"preferred_output": message("a", weight=1)}, "preferred_output[0].weight: both answers"),
        (
            {"non_preferred_output": message(None, tool_calls=[CALL])},
            "non_preferred_output[0] calls a tool: preferences are between texts",
        ),
        (
            {"non_preferred_output": message("Now.", tool_calls=[CALL])},
            "an answer calls a tool: preferences are between texts",
        ),
        ({"non_preferred_output": message("On the hook. ")}, "are the same"),
        ({"extra": 1}, "unexpected key 'extra'; a preference row"),
    ],
)
def test_an_invalid_preference_row_is_reported_with_line_and_reason(
    tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    with pytest.raises(InvalidTrainingFile) as caught:
        check_file(write(tmp_path, preference(), preference(**changes)))
    assert str(caught.value).startswith("line 2: ")
    assert reason in str(caught.value)


def test_preference_rows_and_chats_do_not_mix(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidTrainingFile, match="line 2: a chat row in a file of preference rows"
    ):
        check_file(write(tmp_path, preference(), CHAT))


def test_all_bad_rows_are_counted_and_the_first_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidTrainingFile, match=r"line 5: .* \(and 4 more bad lines\)"):
        check_file(write(tmp_path, *["{}"] * 9))


def test_completion_and_chat_rows_do_not_mix(tmp_path: Path) -> None:
    path = write(tmp_path, CHAT, '{"prompt": "a", "completion": "b"}')
    with pytest.raises(
        InvalidTrainingFile, match="line 2: a completion row in a file of chat rows"
    ):
        check_file(path)


def test_a_file_without_rows_is_bad(tmp_path: Path) -> None:
    with pytest.raises(InvalidTrainingFile, match="line 1: the file holds no row"):
        check_file(write(tmp_path, "", "  "))


def test_bytes_that_are_not_utf_8_are_bad(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"prompt": "\xff", "completion": "a"}\n')
    with pytest.raises(InvalidTrainingFile, match="line 1: not valid JSON"):
        check_file(path)


def test_an_endless_line_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"x" * (MAX_LINE_BYTES + 2))
    with pytest.raises(InvalidTrainingFile, match="line 1: it is longer than 4 MiB"):
        check_file(path)


def test_more_answers_than_classes_can_be_are_not_collected(tmp_path: Path) -> None:
    lines = [f'{{"prompt": "", "completion": "{n}"}}' for n in range(MAX_CLASSES + 1)]
    assert check_file(write(tmp_path, *lines)).answers is None
