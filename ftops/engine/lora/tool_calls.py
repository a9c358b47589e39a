"""Finds the tool calls in an answer, in the formats that chat templates define.

    <tool_call>{"name": …, "arguments": {…}}</tool_call>     Hermes, Qwen, SmolLM3
    [TOOL_CALLS][{"name": …, "arguments": {…}}]              Mistral
    {"name": …, "parameters": {…}}                           Llama 3, as the whole answer

A call that does not have this form stays text: the client sees what the model wrote.

A forced call begins with what the template writes before a call, and continues with the JSON of a
call, which a schema restricts.
"""

import json
import re
from collections.abc import Mapping

from ftops.engine.ids import new_id
from ftops.records import Json
from ftops.rows.messages import JsonObject

TOOL_CALL_MARKS = ("<tool_call>", "[TOOL_CALLS]")
_TAGGED_CALL = re.compile(r"<tool_call>(.*?)(?:</tool_call>|\Z)\s*", re.DOTALL)


def read_call_format(answer: str, name: str) -> tuple[str, str]:
    """What is before the first call in an answer that calls `name`, and the key of arguments."""
    call = rf'(.*?)\{{\s*"name": *"{name}", *"(arguments|parameters)"'
    match = re.match(call, answer, re.DOTALL)
    return (match[1], match[2]) if match else ("", "arguments")


def make_call_schema(functions: Mapping[str, JsonObject], arguments_key: str) -> JsonObject:
    """The schema of a call of one of these functions, by the schemas of their arguments."""
    calls: list[Json] = [
        {
            "type": "object",
            "properties": {"name": {"const": name}, arguments_key: schema},
            "required": ["name", arguments_key],
            "additionalProperties": False,
        }
        for name, schema in functions.items()
    ]
    return {"anyOf": calls}


class ToolCallReader:
    """Separates the text of one answer from its tool calls while it is generated."""

    def __init__(self, *, is_parallel: bool = True) -> None:
        self._is_parallel = is_parallel
        self._held = ""
        self._holds_all = False
        self._has_text = False

    def add(self, text: str) -> str:
        """Add a piece of the answer; returns what is text for certain, and can be sent."""
        self._held += text
        if self._holds_all:
            return ""
        starts = [start for mark in TOOL_CALL_MARKS if (start := self._held.find(mark)) >= 0]
        if starts:
            self._holds_all = True
            return self._take(min(starts))
        if not self._has_text and (not self._held.strip() or self._held.lstrip()[0] == "{"):
            return ""
        return self._take(len(self._held) - self._count_mark_prefix())

    def finish(self) -> tuple[str, tuple[JsonObject, ...]]:
        """The rest of the text, and the calls; only the first one if there may be no more."""
        calls = _read_calls(self._held)[: None if self._is_parallel else 1]
        return ("", calls) if calls else (self._held, ())

    def _take(self, length: int) -> str:
        text, self._held = self._held[:length], self._held[length:]
        self._has_text = self._has_text or bool(text.strip())
        return text

    def _count_mark_prefix(self) -> int:
        """The length of the partial mark at the end of the held text."""
        for length in range(max(map(len, TOOL_CALL_MARKS)) - 1, 0, -1):
            tail = self._held[-length:]
            if len(tail) == length and any(mark.startswith(tail) for mark in TOOL_CALL_MARKS):
                return length
        return 0


def _read_calls(text: str) -> tuple[JsonObject, ...]:
    """The calls that the text consists of; none unless all of it is calls."""
    text = text.strip()
    if text.startswith("<tool_call>"):
        values = [_read_json(part) for part in _TAGGED_CALL.findall(text)]
        if _TAGGED_CALL.sub("", text).strip():
            return ()
    elif text.startswith("[TOOL_CALLS]"):
        listed = _read_json(text.removeprefix("[TOOL_CALLS]"))
        values = listed if isinstance(listed, list) else [listed]
    else:
        values = [_read_json(text)]
    calls = [_read_call(value) for value in values]
    return tuple(call for call in calls if call) if all(calls) else ()


def _read_json(text: str) -> Json:
    try:
        value: Json = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value


def _read_call(value: Json) -> JsonObject | None:
    """The call as an object of the API."""
    if not isinstance(value, dict) or not isinstance(name := value.get("name"), str):
        return None
    arguments = value.get("arguments", value.get("parameters"))
    if isinstance(arguments, dict):
        arguments = json.dumps(arguments, ensure_ascii=False)
    if not isinstance(arguments, str):
        return None
    function: JsonObject = {"name": name, "arguments": arguments}
    return {"id": new_id("call"), "type": "function", "function": function}
