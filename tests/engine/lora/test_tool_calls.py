"""Tool calls in answers, in the formats of the usual chat templates."""

import json
from typing import Any

import pytest

from ftops.engine.lora.tool_calls import ToolCallReader, read_call_format

ADD = '{"name": "add", "arguments": {"a": 1, "b": "é"}}'


def read(text: str, *, size: int) -> tuple[str, list[Any]]:
    """The text and the functions of an answer that arrives in pieces of `size` characters."""
    reader = ToolCallReader()
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    sent = "".join(map(reader.add, pieces))
    rest, calls = reader.finish()
    return sent + rest, [call["function"] for call in calls]


@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize(
    "answer",
    [
        f"<tool_call>{ADD}</tool_call>",
        f"<tool_call>\n{ADD}\n</tool_call>\n<tool_call>\n{ADD}\n</tool_call>\n",
        f"<tool_call>{ADD}",  # the end token came first
        f"[TOOL_CALLS][{ADD}, {ADD}]",
        f"\n{ADD.replace('arguments', 'parameters')}",
    ],
)
def test_calls_are_read_in_each_format(answer: str, size: int) -> None:
    text, functions = read(answer, size=size)
    assert text == ""
    assert len(functions) == answer.count("add")
    assert {function["name"] for function in functions} == {"add"}
    assert json.loads(functions[0]["arguments"]) == {"a": 1, "b": "é"}


@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize(
    "answer",
    [
        "Plain text with <b>marks</b> and {braces}.",
        "A half mark: <tool_c",
        "<tool_call>not JSON</tool_call>",
        f"<tool_call>{ADD}</tool_call> and more text",
        '{"answer": 1}',
        '<tool_call>{"name": 1, "arguments": {}}</tool_call>',
        "[TOOL_CALLS] none",
        "  ",
        "",
    ],
)
def test_what_is_no_call_stays_text(answer: str, size: int) -> None:
    assert read(answer, size=size) == (answer, [])


def test_text_before_a_call_is_sent_at_once() -> None:
    reader = ToolCallReader()
    assert reader.add("Let me see. <tool") == "Let me see. "
    assert reader.add(f"_call>{ADD}</tool_call>") == ""
    text, calls = reader.finish()
    assert text == ""
    assert len(calls) == 1
    assert str(calls[0]["id"]).startswith("call-")


def test_only_the_first_call_is_read_where_calls_are_not_parallel() -> None:
    reader = ToolCallReader(is_parallel=False)
    assert reader.add(f"<tool_call>{ADD}</tool_call>" * 2) == ""
    assert len(reader.finish()[1]) == 1


@pytest.mark.parametrize(
    ("answer", "call_format"),
    [
        (
            '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>',
            ("<tool_call>\n", "arguments"),
        ),
        ('[TOOL_CALLS][{"name": "f", "arguments": {}}]', ("[TOOL_CALLS][", "arguments")),
        ('{"name": "f", "parameters": {}}<|eot_id|>', ("", "parameters")),
        ('<call>{"function": "f"}</call>', ("", "arguments")),
        ("", ("", "arguments")),
    ],
)
def test_the_format_of_calls_is_that_of_the_template(
    answer: str, call_format: tuple[str, str]
) -> None:
    assert read_call_format(answer, "f") == call_format
