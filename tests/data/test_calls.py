"""Calls of tools as text: equal calls are written alike, and texts in them can be changed."""

import json
from typing import cast

from ftops.data.calls import (
    answer_text,
    change_arguments,
    number_calls,
    write_calls,
    write_tools,
)
from ftops.records import Json
from tests.data.data_files import call, call_row, chat, tool


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
