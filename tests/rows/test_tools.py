"""Tools, tool calls and their answers in one row: valid and invalid combinations."""

import json
from itertools import chain
from pathlib import Path
from typing import cast

import pytest

from ftops.records import Chat, Json, ToolCall
from ftops.rows.tools import (
    answer_text,
    change_arguments,
    find_tool_use,
    number_calls,
    write_calls,
    write_tools,
)
from tests.data.data_files import (
    call,
    call_row,
    chat,
    chat_with_calls,
    get_read_error,
    message_list,
    preference,
    read_all,
    tool,
    write_rows,
)

SEND = tool("send", to={"type": "string"})
TWO = [call({"to": "a"}, id="1"), call({"to": "b"}, id="2")]


def create_chat(*messages: list[object], **more: object) -> dict[str, object]:
    """A chat of a question and these lists of messages."""
    return {"messages": [*message_list("Send it.", "user"), *chain(*messages)], **more}


def calls_message(*calls: object, **more: object) -> list[object]:
    """The assistant's message with these calls."""
    return [{"role": "assistant", "content": None, "tool_calls": list(calls), **more}]


def tool_messages(*ids: str) -> list[object]:
    """The messages of tools for the calls with these ids."""
    return [message for name in ids for message in message_list("sent", "tool", tool_call_id=name)]


def function_call_chat(arguments: object = "{}", **more: object) -> dict[str, object]:
    """A chat that ends with a `function_call`, the form of 2023."""
    function = {"name": "send", "arguments": arguments}
    return create_chat([{"role": "assistant", "content": None, "function_call": function}], **more)


GOOD = {
    "a call at the end": chat_with_calls(TWO[0], tools=[SEND]),
    "a text and a call": create_chat(calls_message(TWO[0], content="I will."), tools=[SEND]),
    "several calls": chat_with_calls(*TWO, tools=[SEND], parallel_tool_calls=True),
    "answers in another order": create_chat(
        calls_message(*TWO), tool_messages("2", "1"), message_list("Done.")
    ),
    "one id again": create_chat(
        *[calls_message(call({})), tool_messages("call_1")] * 2, calls_message(call({}))
    ),
    "calls beside null": create_chat(
        message_list("Done.", tool_calls=None), tools=[], parallel_tool_calls=None
    ),
    "a function": function_call_chat(functions=[{"name": "send", "parameters": {}}]),
    "a function's answer": create_chat(
        [{"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}],
        message_list("sent", "function", name="f"),
        message_list("Done."),
    ),
    "a wrong call that is not learned": create_chat(
        calls_message(call("{", "none"), weight=0),
        tool_messages("call_1"),
        calls_message(TWO[0]),
        tools=[SEND],
    ),
    "a preference about a call": preference(
        input={
            "messages": create_chat(calls_message(*TWO), tool_messages("1", "2"))["messages"],
            "tools": [SEND],
        }
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_rows_with_tools_are_read_unchanged(tmp_path: Path, name: str) -> None:
    (row,) = read_all(write_rows(tmp_path / "a.jsonl", [GOOD[name]]))
    assert row.raw == GOOD[name]
    assert row.completion


ARGUMENTS = "messages[1].tool_calls[0].function.arguments is"
BAD = [
    (chat_with_calls(call("{to: 1}")), f"{ARGUMENTS} no JSON object: '{{to: 1}}'"),
    (chat_with_calls(call("")), f"{ARGUMENTS} no JSON object: ''"),
    (chat_with_calls(call([1])), f"{ARGUMENTS} no JSON object"),
    (chat_with_calls(call('{"a":' * 70 + "1" + "}" * 70)), f"{ARGUMENTS} no JSON object"),
    (
        chat_with_calls({**call({}), "function": {"name": "f", "arguments": {}}}),
        f"{ARGUMENTS} an object",
    ),
    (
        chat_with_calls({**call({}), "function": {"arguments": "{}"}}),
        "messages[1].tool_calls[0].function",
    ),
    (chat_with_calls({**call({}), "function": None}), "messages[1].tool_calls[0].function is null"),
    (chat_with_calls({**call({}), "id": None}), "messages[1].tool_calls[0].id is missing"),
    (
        chat_with_calls({**call({}), "type": "code"}),
        'messages[1].tool_calls[0].type is not "function"',
    ),
    (chat_with_calls("send"), "messages[1].tool_calls[0] is text, not an object"),
    (chat_with_calls(TWO[0], TWO[0]), "messages[1]: two calls have the id '1'"),
    (
        chat_with_calls(call({}, "post"), tools=[SEND]),
        "messages[1].tool_calls[0].function.name is 'post', "
        "which is not among the row's tools: send",
    ),
    (
        create_chat([{"role": "assistant", "tool_calls": {"id": "1"}}]),
        "messages[1].tool_calls is an",
    ),
    (
        create_chat(message_list("a", "user", tool_calls=TWO), message_list("b")),
        "messages[1]: only the assistant",
    ),
    (
        create_chat(calls_message(*TWO), tool_messages("1"), message_list("Done.")),
        "messages[1].tool_calls[1] has no answer "
        "before messages[3]: a tool message with the id '2'",
    ),
    (
        create_chat(calls_message(*TWO), message_list("Well?", "user"), message_list("Done.")),
        "messages[1].tool_calls[0] has",
    ),
    (
        create_chat(calls_message(*TWO), tool_messages("1", "3"), message_list("Done.")),
        "messages[3].tool_call_id is '3'",
    ),
    (
        create_chat(tool_messages("1"), message_list("Done.")),
        "messages[1].tool_call_id is '1', and no call with th",
    ),
    (
        create_chat(message_list("sent", "tool"), message_list("Done.")),
        "messages[1].tool_call_id is missing",
    ),
    (
        create_chat(message_list("sent", "function"), message_list("Done.")),
        "messages[1].name is missing",
    ),
    (
        create_chat(calls_message(*TWO), tool_messages("1", "2")),
        "the last message is not the assistant's",
    ),
    (
        create_chat([{"role": "assistant", "content": "", "tool_calls": []}]),
        "the last message has no",
    ),
    (function_call_chat("{"), "messages[1].function_call.arguments is no JSON object"),
    (
        function_call_chat(functions=[{"name": "post"}]),
        "messages[1].function_call.name is 'send', which is",
    ),
    (chat("a", "b") | {"tools": {"send": {}}}, "tools is an object, not a list"),
    (chat("a", "b") | {"tools": [{"name": "send"}]}, 'tools[0].type is not "function"'),
    (chat("a", "b") | {"tools": [{"type": "function"}]}, "tools[0].function is null, not an obj"),
    (chat("a", "b") | {"functions": [{"description": "x"}]}, "functions[0].name is missing"),
    (chat("a", "b") | {"functions": [{"name": "f", "parameters": "x"}]}, "functions[0].parameters"),
    (chat("a", "b") | {"tools": [SEND, SEND]}, "the tool 'send' is defined more than once"),
    (chat("a", "b") | {"parallel_tool_calls": "no"}, "parallel_tool_calls is text, not"),
    (
        preference(input={"messages": create_chat(calls_message(*TWO))["messages"]}),
        "input.messages[1].tool",
    ),
    (preference(preferred_output=calls_message(TWO[0])), "preferred_output[0] calls a tool: pref"),
]


@pytest.mark.parametrize(("row", "reason"), BAD)
def test_an_invalid_combination_is_reported_with_its_line_and_place(
    tmp_path: Path, row: object, reason: str
) -> None:
    lines = get_read_error(write_rows(tmp_path / "a.jsonl", [row]))
    assert lines[1].startswith(f"a.jsonl:1: {reason}")


def test_tool_use_is_located_by_the_first_key_that_has_it(tmp_path: Path) -> None:
    rows = [
        chat("a", "b"), chat("a", "b") | {"tools": [SEND]}, call_row({}), function_call_chat(),
        create_chat(message_list("sent", "function", name="f"), message_list("b")),
    ]  # fmt: skip
    places = [find_tool_use(row.raw) for row in read_all(write_rows(tmp_path / "a.jsonl", rows))]
    assert places == [
        None, "tools", "messages[1].tool_calls", "messages[1].function_call", "messages[1].role"
    ]  # fmt: skip
    (preference_row,) = read_all(
        write_rows(tmp_path / "b.jsonl", [GOOD["a preference about a call"]])
    )
    assert find_tool_use(preference_row.raw) == "input.tools"


def test_the_prompt_has_the_calls_answers_and_tools_of_the_row(tmp_path: Path) -> None:
    options = {"tools": [SEND], "parallel_tool_calls": False}
    (row,) = read_all(write_rows(tmp_path / "a.jsonl", [call_row({}) | options]))
    assert isinstance(row.prompt, Chat)
    assert row.prompt.to_json() == {
        "messages": [
            {"role": "user", "content": "Send it."},
            {"role": "assistant", "content": "", "tool_calls": [call({})]},
            {"role": "tool", "content": "sent", "tool_call_id": "call_1"},
        ],
        **options,
    }
    assert row.completion == "Done."
    assert row.tool_calls == ()


def test_the_calls_of_an_answer_have_unchanged_arguments(tmp_path: Path) -> None:
    raw = create_chat(calls_message(call('{"to":  "a"}')))
    (row,) = read_all(write_rows(tmp_path / "a.jsonl", [raw]))
    assert row.tool_calls == (ToolCall("send", '{"to":  "a"}'),)
    (old,) = read_all(write_rows(tmp_path / "b.jsonl", [function_call_chat()]))
    assert old.tool_calls == (ToolCall("send", "{}"),)


def assistant_message(*calls: dict[str, object], text: Json = None) -> dict[str, Json]:
    message = {"role": "assistant", "content": text, "tool_calls": list(calls)}
    return cast("dict[str, Json]", message)


def test_calls_that_differ_only_in_ids_and_spelling_are_written_alike() -> None:
    first = assistant_message(call('{"b": [1, 2],  "a": "\\u00e9"}', id="x"))
    second = assistant_message(call('{"a":"é","b":[1,2]}', id="y"))
    assert write_calls(first) == '[{"name":"send","arguments":{"a":"é","b":[1,2]}}]'
    assert write_calls(first) == write_calls(second)
    function: dict[str, Json] = {
        "function_call": {"name": "send", "arguments": '{"a":"é","b":[1,2]}'}
    }
    assert write_calls(function) == write_calls(first)
    assert write_calls(first) != write_calls(assistant_message(call({"a": "e", "b": [1, 2]})))


def test_the_order_of_calls_counts_and_is_kept() -> None:
    both = write_calls(assistant_message(call({"n": 1}), call({}, "look")))
    assert both == '[{"name":"send","arguments":{"n":1}},{"name":"look","arguments":{}}]'


def test_verbatim_calls_keep_the_text_of_arguments() -> None:
    assert write_calls(assistant_message(call('{"b": 1, "a": 2}')), verbatim=True) == (
        '[{"name":"send","arguments":{"b": 1, "a": 2}}]'
    )


def test_an_answer_is_its_text_followed_by_its_calls() -> None:
    calls = '[{"name":"send","arguments":{}}]'
    assert answer_text(assistant_message(call({}))) == calls
    assert answer_text(assistant_message(call({}), text="I will.")) == f"I will.\n{calls}"
    assert answer_text({"role": "assistant", "content": "No.", "tool_calls": None}) == "No."
    assert answer_text({"role": "assistant", "content": None, "tool_calls": []}) == ""


def test_an_invalid_call_is_written_unchanged() -> None:
    assert write_calls(assistant_message(call("{to"))) == '[{"name":"send","arguments":"{to"}]'
    assert write_calls(assistant_message({"id": "a"})) == '[{"id":"a"}]'
    deep = '{"a":' * 900 + "1" + "}" * 900
    assert deep in write_calls(assistant_message(call(deep)), verbatim=True)
    assert write_calls(assistant_message(call(deep))).startswith(
        '[{"name":"send","arguments":"{\\"a\\":'
    )


def test_only_changed_arguments_are_rewritten() -> None:
    raw: dict[str, Json] = {
        "messages": [assistant_message(call('{"a": ["x", {"b": "y"}], "x": 1}'), call("{ }"))]
    }
    changed = change_arguments(raw, lambda text: text.replace("y", "z"))
    assert changed == {
        "messages": [assistant_message(call('{"a":["x",{"b":"z"}],"x":1}'), call("{ }"))]
    }
    assert change_arguments(raw, str) == raw


def test_rows_that_differ_only_in_call_ids_are_numbered_alike() -> None:
    first, second = (json.loads(json.dumps(call_row({})).replace("call_1", name)) for name in "ab")
    assert number_calls(first) == number_calls(second) != first
    preference_row: dict[str, Json] = {"input": first, "preferred_output": []}
    assert number_calls(preference_row) == {"input": number_calls(first), "preferred_output": []}
    plain = cast("dict[str, Json]", chat("a", "b"))
    assert number_calls(plain) is plain


def test_tools_are_written_under_their_keys() -> None:
    raw = cast("dict[str, Json]", {"tools": [tool("f")], "functions": []})
    assert list(write_tools(raw)) == ["tools"]
    assert '"name":"f"' in write_tools(raw)["tools"]
