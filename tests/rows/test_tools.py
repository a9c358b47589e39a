"""Tools, calls of them and their answers in one row: what fits together, and what is refused."""

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
    calling,
    chat,
    preference,
    read_all,
    refusal,
    said,
    tool,
    write_rows,
)

SEND = tool("send", to={"type": "string"})
TWO = [call({"to": "a"}, id="1"), call({"to": "b"}, id="2")]


def dialogue(*messages: list[object], **more: object) -> dict[str, object]:
    """A chat of these lists of messages, after a question."""
    return {"messages": [*said("Send it.", "user"), *chain(*messages)], **more}


def asks(*calls: object, **more: object) -> list[object]:
    """The message that makes these calls."""
    return [{"role": "assistant", "content": None, "tool_calls": list(calls), **more}]


def answers(*ids: str) -> list[object]:
    """What the tools say to the calls with these ids."""
    return [one for name in ids for one in said("sent", "tool", tool_call_id=name)]


def legacy(arguments: object = "{}", **more: object) -> dict[str, object]:
    """A chat that ends with the call of a function, as it was written until 2023."""
    called = {"name": "send", "arguments": arguments}
    return dialogue([{"role": "assistant", "content": None, "function_call": called}], **more)


GOOD = {
    "a call at the end": calling(TWO[0], tools=[SEND]),
    "a text and a call": dialogue(asks(TWO[0], content="I will."), tools=[SEND]),
    "several calls": calling(*TWO, tools=[SEND], parallel_tool_calls=True),
    "answers in another order": dialogue(asks(*TWO), answers("2", "1"), said("Done.")),
    "one id again": dialogue(*[asks(call({})), answers("call_1")] * 2, asks(call({}))),
    "calls beside null": dialogue(
        said("Done.", tool_calls=None), tools=[], parallel_tool_calls=None
    ),
    "a function": legacy(functions=[{"name": "send", "parameters": {}}]),
    "a function's answer": dialogue(
        [{"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}],
        said("sent", "function", name="f"),
        said("Done."),
    ),
    "a wrong call that is not learned": dialogue(
        asks(call("{", "none"), weight=0), answers("call_1"), asks(TWO[0]), tools=[SEND]
    ),
    "a preference about a call": preference(
        input={"messages": dialogue(asks(*TWO), answers("1", "2"))["messages"], "tools": [SEND]}
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_rows_with_tools_come_back_as_they_were(tmp_path: Path, name: str) -> None:
    (row,) = read_all(write_rows(tmp_path / "a.jsonl", [GOOD[name]]))
    assert row.raw == GOOD[name]
    assert row.completion


ARGUMENTS = "messages[1].tool_calls[0].function.arguments is"
BAD = [
    (calling(call("{to: 1}")), f"{ARGUMENTS} no JSON object: '{{to: 1}}'"),
    (calling(call("")), f"{ARGUMENTS} no JSON object: ''"),
    (calling(call([1])), f"{ARGUMENTS} no JSON object"),
    (calling(call('{"a":' * 70 + "1" + "}" * 70)), f"{ARGUMENTS} no JSON object"),
    (calling({**call({}), "function": {"name": "f", "arguments": {}}}), f"{ARGUMENTS} an object"),
    (calling({**call({}), "function": {"arguments": "{}"}}), "messages[1].tool_calls[0].function"),
    (calling({**call({}), "function": None}), "messages[1].tool_calls[0].function is null"),
    (calling({**call({}), "id": None}), "messages[1].tool_calls[0].id is missing"),
    (calling({**call({}), "type": "code"}), 'messages[1].tool_calls[0].type is not "function"'),
    (calling("send"), "messages[1].tool_calls[0] is text, not an object"),
    (calling(TWO[0], TWO[0]), "messages[1]: two calls have the id '1'"),
    (calling(call({}, "post"), tools=[SEND]), "messages[1].tool_calls[0].function.name is 'post', "
     "which is not among the row's tools: send"),
    (dialogue([{"role": "assistant", "tool_calls": {"id": "1"}}]), "messages[1].tool_calls is an"),
    (dialogue(said("a", "user", tool_calls=TWO), said("b")), "messages[1]: only the assistant"),
    (dialogue(asks(*TWO), answers("1"), said("Done.")), "messages[1].tool_calls[1] has no answer "
     "before messages[3]: a tool message with the id '2'"),
    (dialogue(asks(*TWO), said("Well?", "user"), said("Done.")), "messages[1].tool_calls[0] has"),
    (dialogue(asks(*TWO), answers("1", "3"), said("Done.")), "messages[3].tool_call_id is '3'"),
    (dialogue(answers("1"), said("Done.")), "messages[1].tool_call_id is '1', and no call with th"),
    (dialogue(said("sent", "tool"), said("Done.")), "messages[1].tool_call_id is missing"),
    (dialogue(said("sent", "function"), said("Done.")), "messages[1].name is missing"),
    (dialogue(asks(*TWO), answers("1", "2")), "the last message is not the assistant's"),
    (dialogue([{"role": "assistant", "content": "", "tool_calls": []}]), "the last message has no"),
    (legacy("{"), "messages[1].function_call.arguments is no JSON object"),
    (legacy(functions=[{"name": "post"}]), "messages[1].function_call.name is 'send', which is"),
    (chat("a", "b") | {"tools": {"send": {}}}, "tools is an object, not a list"),
    (chat("a", "b") | {"tools": [{"name": "send"}]}, 'tools[0].type is not "function"'),
    (chat("a", "b") | {"tools": [{"type": "function"}]}, "tools[0].function is null, not an obj"),
    (chat("a", "b") | {"functions": [{"description": "x"}]}, "functions[0].name is missing"),
    (chat("a", "b") | {"functions": [{"name": "f", "parameters": "x"}]}, "functions[0].parameters"),
    (chat("a", "b") | {"tools": [SEND, SEND]}, "the tool 'send' is defined more than once"),
    (chat("a", "b") | {"parallel_tool_calls": "no"}, "parallel_tool_calls is text, not"),
    (preference(input={"messages": dialogue(asks(*TWO))["messages"]}), "input.messages[1].tool"),
    (preference(preferred_output=asks(TWO[0])), "preferred_output[0] calls a tool: pref"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "reason"), BAD)
def test_what_does_not_fit_together_is_told_with_its_line_and_place(
    tmp_path: Path, row: object, reason: str
) -> None:
    lines = refusal(write_rows(tmp_path / "a.jsonl", [row]))
    assert lines[1].startswith(f"a.jsonl:1: {reason}")


def test_tool_use_is_located_by_the_first_key_that_has_it(tmp_path: Path) -> None:
    rows = [
        chat("a", "b"), chat("a", "b") | {"tools": [SEND]}, call_row({}), legacy(),
        dialogue(said("sent", "function", name="f"), said("b")),
    ]  # fmt: skip
    places = [find_tool_use(row.raw) for row in read_all(write_rows(tmp_path / "a.jsonl", rows))]
    assert places == [
        None, "tools", "messages[1].tool_calls", "messages[1].function_call", "messages[1].role"
    ]  # fmt: skip
    (asked,) = read_all(write_rows(tmp_path / "b.jsonl", [GOOD["a preference about a call"]]))
    assert find_tool_use(asked.raw) == "input.tools"


def test_the_prompt_has_calls_their_answers_and_tools_as_in_the_row(tmp_path: Path) -> None:
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


def test_the_calls_of_an_answer_have_the_arguments_as_written(tmp_path: Path) -> None:
    raw = dialogue(asks(call('{"to":  "a"}')))
    (row,) = read_all(write_rows(tmp_path / "a.jsonl", [raw]))
    assert row.tool_calls == (ToolCall("send", '{"to":  "a"}'),)
    (old,) = read_all(write_rows(tmp_path / "b.jsonl", [legacy()]))
    assert old.tool_calls == (ToolCall("send", "{}"),)


def saying(*calls: dict[str, object], text: Json = None) -> dict[str, Json]:
    message = {"role": "assistant", "content": text, "tool_calls": list(calls)}
    return cast("dict[str, Json]", message)


def test_equal_calls_are_written_alike_whatever_their_ids_and_spelling() -> None:
    one = saying(call('{"b": [1, 2],  "a": "\\u00e9"}', id="x"))
    other = saying(call('{"a":"é","b":[1,2]}', id="y"))
    assert write_calls(one) == '[{"name":"send","arguments":{"a":"é","b":[1,2]}}]'
    assert write_calls(one) == write_calls(other)
    function: dict[str, Json] = {
        "function_call": {"name": "send", "arguments": '{"a":"é","b":[1,2]}'}
    }
    assert write_calls(function) == write_calls(one)
    assert write_calls(one) != write_calls(saying(call({"a": "e", "b": [1, 2]})))


def test_the_order_of_calls_counts_and_is_kept() -> None:
    both = write_calls(saying(call({"n": 1}), call({}, "look")))
    assert both == '[{"name":"send","arguments":{"n":1}},{"name":"look","arguments":{}}]'


def test_what_a_model_reads_of_arguments_is_their_text() -> None:
    assert write_calls(saying(call('{"b": 1, "a": 2}')), verbatim=True) == (
        '[{"name":"send","arguments":{"b": 1, "a": 2}}]'
    )


def test_a_message_says_its_text_and_then_its_calls() -> None:
    called = '[{"name":"send","arguments":{}}]'
    assert answer_text(saying(call({}))) == called
    assert answer_text(saying(call({}), text="I will.")) == f"I will.\n{called}"
    assert answer_text({"role": "assistant", "content": "No.", "tool_calls": None}) == "No."
    assert answer_text({"role": "assistant", "content": None, "tool_calls": []}) == ""


def test_a_call_that_is_not_learned_and_makes_no_sense_is_written_as_it_stands() -> None:
    assert write_calls(saying(call("{to"))) == '[{"name":"send","arguments":"{to"}]'
    assert write_calls(saying({"id": "a"})) == '[{"id":"a"}]'
    deep = '{"a":' * 900 + "1" + "}" * 900
    assert deep in write_calls(saying(call(deep)), verbatim=True)
    assert write_calls(saying(call(deep))).startswith('[{"name":"send","arguments":"{\\"a\\":')


def test_texts_in_arguments_are_changed_and_what_stays_keeps_its_spelling() -> None:
    raw: dict[str, Json] = {
        "messages": [saying(call('{"a": ["x", {"b": "y"}], "x": 1}'), call("{ }"))]
    }
    changed = change_arguments(raw, lambda text: text.replace("y", "z"))
    assert changed == {"messages": [saying(call('{"a":["x",{"b":"z"}],"x":1}'), call("{ }"))]}
    assert change_arguments(raw, str) == raw


def test_rows_that_differ_by_the_ids_of_their_calls_are_numbered_alike() -> None:
    one, other = (json.loads(json.dumps(call_row({})).replace("call_1", name)) for name in "ab")
    assert number_calls(one) == number_calls(other) != one
    asked: dict[str, Json] = {"input": one, "preferred_output": []}
    assert number_calls(asked) == {"input": number_calls(one), "preferred_output": []}
    plain = cast("dict[str, Json]", chat("a", "b"))
    assert number_calls(plain) is plain


def test_tools_are_written_by_the_key_under_which_they_stand() -> None:
    raw = cast("dict[str, Json]", {"tools": [tool("f")], "functions": []})
    assert list(write_tools(raw)) == ["tools"]
    assert '"name":"f"' in write_tools(raw)["tools"]
