"""Rows in Gemini's format are exact, or refused with their number."""

import json
from pathlib import Path
from typing import Any

import pytest

from ftops.errors import DatasetError
from ftops.providers.vertex_rows import render_row, write_rows
from ftops.rows.messages import InvalidRow
from tests.contract.vertex_server import check_row

QUESTION: dict[str, Any] = {"role": "user", "content": "Is it open?"}
ANSWER: dict[str, Any] = {"role": "assistant", "content": "Yes."}
LARGE = '{"n": 9007199254740993}'
TOOL = {
    "type": "function",
    "function": {
        "name": "get_hours",
        "description": "Opening hours.",
        "strict": True,
        "parameters": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "day": {"type": "string", "enum": ["sat", "sun"]},
                "note": {"type": ["string", "null"]},
                "shops": {"type": "array", "items": {"type": "integer"}},
            },
            "required": ["day"],
        },
    },
}


def call(call_id: str, arguments: str, name: str = "get_hours") -> dict[str, Any]:
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def chat(*messages: dict[str, Any], **options: Any) -> dict[str, Any]:
    return {"messages": list(messages), **options}


def test_a_chat_becomes_contents_with_the_system_message_apart() -> None:
    row = render_row(
        chat({"role": "system", "content": "Be brief."}, QUESTION, ANSWER, QUESTION, ANSWER)
    )
    turns = [("user", "Is it open?"), ("model", "Yes.")] * 2
    assert row == {
        "systemInstruction": {"role": "system", "parts": [{"text": "Be brief."}]},
        "contents": [{"role": role, "parts": [{"text": text}]} for role, text in turns],
    }
    check_row(row, is_preference=False)


def test_text_parts_and_full_weights_are_kept() -> None:
    parts = [{"type": "text", "text": "Is it "}, {"type": "text", "text": "open?"}]
    row = render_row(chat({"role": "user", "content": parts}, {**ANSWER, "weight": 1}))
    assert row["contents"] == [
        {"role": "user", "parts": [{"text": "Is it "}, {"text": "open?"}]},
        {"role": "model", "parts": [{"text": "Yes."}]},
    ]


def test_a_prompt_and_its_completion_are_two_turns() -> None:
    row = render_row({"prompt": "1 + 1 =", "completion": " 2"})
    check_row(row, is_preference=False)
    assert row["contents"] == [
        {"role": "user", "parts": [{"text": "1 + 1 ="}]},
        {"role": "model", "parts": [{"text": " 2"}]},
    ]


def test_tools_calls_and_answers_have_their_counterparts() -> None:
    row = render_row(
        chat(
            QUESTION,
            {"role": "assistant", "content": None, "tool_calls": [
                call("a", '{"day": "sat"}'), call("b", '{"day": "sun"}'),
            ]},
            {"role": "tool", "tool_call_id": "b", "content": "closed"},
            {"role": "tool", "tool_call_id": "a", "content": '{"from": 9}'},
            ANSWER,
            tools=[TOOL],
            parallel_tool_calls=True,
        )
    )  # fmt: skip
    check_row(row, is_preference=False)
    assert row["contents"] == [
        {"role": "user", "parts": [{"text": "Is it open?"}]},
        {"role": "model", "parts": [
            {"functionCall": {"name": "get_hours", "args": {"day": "sat"}}},
            {"functionCall": {"name": "get_hours", "args": {"day": "sun"}}},
        ]},
        {"role": "user", "parts": [  # in the order of the calls, which have no ids
            {"functionResponse": {"name": "get_hours", "response": {"from": 9}}},
            {"functionResponse": {"name": "get_hours", "response": {"output": "closed"}}},
        ]},
        {"role": "model", "parts": [{"text": "Yes."}]},
    ]  # fmt: skip
    assert row["tools"] == [{"functionDeclarations": [{
        "name": "get_hours",
        "description": "Opening hours.",
        "parameters": {
            "type": "OBJECT",
            "additionalProperties": False,
            "properties": {
                "day": {"type": "STRING", "enum": ["sat", "sun"]},
                "note": {"type": "STRING", "nullable": True},
                "shops": {"type": "ARRAY", "items": {"type": "INTEGER"}},
            },
            "required": ["day"],
        },
    }]}]  # fmt: skip


def test_a_function_without_parameters_has_no_empty_schema() -> None:
    function = {"name": "now", "parameters": {"type": "object", "properties": {}}}
    row = render_row(chat(QUESTION, ANSWER, functions=[function]))
    assert row["tools"] == [{"functionDeclarations": [{"name": "now"}]}]


def test_a_preference_has_two_scored_completions() -> None:
    row = render_row(
        {
            "input": chat({"role": "developer", "content": "Be brief."}, QUESTION),
            "preferred_output": [ANSWER],
            "non_preferred_output": [{"role": "assistant", "content": "It may be."}],
        }
    )
    check_row(row, is_preference=True)
    assert row["completions"] == [
        {"score": 1, "completion": {"role": "model", "parts": [{"text": "Yes."}]}},
        {"score": 0, "completion": {"role": "model", "parts": [{"text": "It may be."}]}},
    ]


def schema(**parameters: Any) -> list[dict[str, Any]]:
    properties = {"a": {"type": "string", **parameters}}
    inner = {"name": "f", "parameters": {"type": "object", "properties": properties}}
    return [{"type": "function", "function": inner}]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (chat(QUESTION, {**ANSWER, "weight": 0}, QUESTION, ANSWER), r"messages\[1\].weight is 0"),
        (chat({**QUESTION, "name": "ann"}, ANSWER), r"messages\[0\].name has no counterpart"),
        (
            chat(QUESTION, ANSWER, {"role": "system", "content": "x"}, ANSWER),
            r"messages\[2\]: a system message after the first turn",
        ),
        (
            chat({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, ANSWER),
            r"messages\[0\].content\[0\] is 'image_url'; only text is supported",
        ),
        (
            chat(QUESTION, {"role": "assistant", "tool_calls": [call("a", LARGE)]}),
            r"a number above 2\^53",
        ),
        (
            chat(QUESTION, {"role": "assistant", "tool_calls": [call("a", "[1]")]}),
            r"tool_calls: the arguments of 'get_hours' are no JSON object",
        ),
        (chat(QUESTION, ANSWER, tools=[TOOL], parallel_tool_calls=False), "parallel_tool_calls"),
        (chat(QUESTION, ANSWER, tools=schema(oneOf=[])), r"tools: 'f'.parameters.a: oneOf"),
        (chat(QUESTION, ANSWER, tools=schema(enum=[1, 2])), "other values than texts"),
        (chat(QUESTION, ANSWER, tools=schema(type=["string", "integer"])), "no counterpart"),
        (
            {"input": chat(QUESTION, tools=[TOOL]), "preferred_output": [ANSWER],
             "non_preferred_output": [ANSWER]},
            "input.tools: preference tuning takes texts only",
        ),
    ],
)  # fmt: skip
def test_a_row_without_an_exact_counterpart_is_refused(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidRow, match=reason):
        render_row(row)


def test_refused_rows_are_named_by_their_numbers_and_nothing_is_written(tmp_path: Path) -> None:
    bad = chat(QUESTION, {**ANSWER, "weight": 0}, QUESTION, ANSWER)
    rows = [chat(QUESTION, ANSWER), bad, bad]
    path, target = tmp_path / "train.jsonl", tmp_path / "written" / "train.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DatasetError, match=r"2 of 3 rows .*\n  row 2: messages\[1\].*\n  row 3: "):
        write_rows(path, target)
    assert not target.exists()
    assert list(target.parent.iterdir()) == []
