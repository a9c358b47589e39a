"""Rows and prompts in Gemini's format.

A chat has `contents` (of the roles `user` and `model`) and, apart from them, `systemInstruction`
and `tools`. A preference row has the contents before the answer, and two completions with a score.
What has no exact counterpart is refused with its row number: weights of messages, names, content
other than text, and keywords of JSON Schema that Gemini's schemas lack.
https://cloud.google.com/vertex-ai/generative-ai/docs/models/gemini-supervised-tuning-prepare
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import cast

import orjson

from ftops.errors import DatasetError
from ftops.files import open_atomic
from ftops.records import Json
from ftops.rows.messages import InvalidRow, JsonObject, describe_type, quote
from ftops.rows.tools import find_tool_use, list_offered, read_calls
from ftops.text import format_count

_SHOWN_ROWS = 10
_SYSTEM_ROLES = ("system", "developer")
_MESSAGE_KEYS = frozenset({"role", "content", "tool_calls", "tool_call_id", "function_call"})
_FUNCTION_KEYS = frozenset({"name", "description", "parameters", "strict"})
# Keywords of a schema that keep their name and value.
_SCHEMA_KEYS = frozenset(
    {
        "title", "description", "format", "default", "example", "required", "pattern",
        "minimum", "maximum", "minItems", "maxItems", "minLength", "maxLength", "minProperties",
        "maxProperties", "nullable",
    }
)  # fmt: skip
_SCHEMA_NAMES = frozenset({"$schema"})  # say nothing about values: left out
_LARGEST_EXACT = 2**53  # of a whole number in a functionCall, whose numbers are doubles


def write_rows(path: Path, target: Path) -> None:
    """Write the prepared rows of `path` to `target` in Gemini's format, atomically.

    DatasetError names the rows that cannot be written; `target` is unchanged then.
    """
    problems: list[str] = []
    total = 0
    with path.open("rb") as source, open_atomic(target) as stream:
        for total, line in enumerate(source, 1):
            try:
                row = render_row(orjson.loads(line))
            except InvalidRow as error:
                problems.append(f"row {total}: {error}")
            else:
                stream.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
        if problems:
            raise _report(problems, total)


def _report(problems: list[str], total: int) -> DatasetError:
    shown = problems[:_SHOWN_ROWS]
    more = len(problems) - len(shown)
    lines = [
        f"{len(problems)} of {format_count(total, 'row')} cannot be written for Gemini",
        *shown,
        *([f"… and {more} more"] if more else []),
    ]
    return DatasetError(
        "\n  ".join(lines),
        hint="Change these rows, or train at a provider that takes them; nothing was sent.",
    )


def render_row(row: JsonObject) -> JsonObject:
    """A prepared row in Gemini's format; InvalidRow if it has no exact counterpart."""
    if "messages" in row:
        return render_chat(row)
    if "prompt" in row:
        return {
            "contents": [_make_turn("user", row["prompt"]), _make_turn("model", row["completion"])]
        }
    if tool_use := find_tool_use(row):
        raise InvalidRow(f"{tool_use}: preference tuning takes texts only")
    rendered = render_chat(cast(JsonObject, row["input"]), "input.")
    completions: list[Json] = []
    for key, score in (("preferred_output", 1), ("non_preferred_output", 0)):
        answer = render_chat({"messages": row[key]})
        (turn,) = cast("list[Json]", answer["contents"])
        completions.append({"score": score, "completion": turn})
    return {**rendered, "completions": completions}


def render_prompt(prompt: str) -> JsonObject:
    """A text as the only turn of a user."""
    return {"contents": [_make_turn("user", prompt)]}


def render_chat(chat: Mapping[str, Json], inside: str = "") -> JsonObject:
    """Messages and tools as Gemini's contents; `inside` is the prefix of their locations.

    InvalidRow for what has no counterpart. Without call ids in Gemini's format, the answers of
    tools have the order of their calls.
    """
    messages = cast("list[JsonObject]", chat["messages"])
    roles = [message.get("role") for message in messages]
    lead = next((at for at, role in enumerate(roles) if role not in _SYSTEM_ROLES), len(roles))
    rendered: JsonObject = {}
    if lead:
        parts = [
            part
            for at in range(lead)
            for part in _render_parts(messages[at], f"{inside}messages[{at}]")
        ]
        rendered["systemInstruction"] = {"role": "system", "parts": parts}
    turns = _list_turns(messages[lead:], lambda at: f"{inside}messages[{at + lead}]")
    rendered["contents"] = list(turns)
    if tools := _render_tools(chat, inside):
        rendered["tools"] = [{"functionDeclarations": tools}]
    return rendered


def _list_turns(messages: list[JsonObject], locate: Callable[[int], str]) -> Iterator[Json]:
    """One turn for each message; the answers to the calls of one message are a turn together."""
    waiting: dict[str, str] = {}  # names of called functions by the ids of their calls
    answers: dict[str, Json] = {}
    for at, message in enumerate(messages):
        where, role = locate(at), message.get("role")
        if role == "tool":
            call_id = str(message.get("tool_call_id"))
            if call_id not in waiting:
                raise InvalidRow(f"{where} answers no call before it")
            answers[call_id] = _render_answer(waiting[call_id], message, where)
            if len(answers) == len(waiting):
                yield {"role": "user", "parts": [answers[name] for name in waiting]}
                waiting, answers = {}, {}
            continue
        if waiting:
            raise InvalidRow(f"{where}: a call before it has no answer")
        if role in _SYSTEM_ROLES:
            raise InvalidRow(f"{where}: a {role} message after the first turn has no counterpart")
        if role == "function":
            answer = _render_answer(str(message.get("name")), message, where)
            yield {"role": "user", "parts": [answer]}
            continue
        yield {
            "role": "model" if role == "assistant" else "user",
            "parts": _render_parts(message, where),
        }
        waiting = _list_call_ids(message)


def _make_turn(role: str, text: Json) -> Json:
    return {"role": role, "parts": [{"text": text}]}


def _render_parts(message: JsonObject, where: str) -> list[Json]:
    """The text parts of a message and its calls."""
    for key, value in message.items():
        if key == "weight" and value == 0:
            raise InvalidRow(f"{where}.weight is 0, and Gemini learns every message of the model")
        if key not in _MESSAGE_KEYS and key != "weight" and value is not None:
            raise InvalidRow(f"{where}.{key} has no counterpart")
    calls = [
        _render_call(call.name, call.arguments, f"{where}.{name}")
        for name in ("tool_calls", "function_call")
        for call in read_calls({name: message.get(name)})
    ]
    texts = _list_texts(message.get("content"), where)
    if calls:
        texts = [text for text in texts if text]
    parts: list[Json] = [{"text": text} for text in texts]
    return parts + calls


def _list_texts(content: Json, where: str) -> list[str]:
    if isinstance(content, str):
        return [content]
    texts = []
    for at, part in enumerate(content if isinstance(content, list) else ()):
        kind = part.get("type") if isinstance(part, dict) else None
        text = part.get("text") if isinstance(part, dict) else None
        if kind != "text" or not isinstance(text, str):
            shown = quote(kind) if isinstance(kind, str) else describe_type(part)
            raise InvalidRow(f"{where}.content[{at}] is {shown}; only text is supported")
        texts.append(text)
    return texts


def _render_call(name: str, arguments: str, where: str) -> Json:
    try:
        args = json.loads(arguments)
    except (ValueError, RecursionError):
        args = None
    if not isinstance(args, dict):
        raise InvalidRow(f"{where}: the arguments of {quote(name)} are no JSON object")
    if not _is_exact(args):
        raise InvalidRow(f"{where}: the arguments of {quote(name)} have a number above 2^53")
    return {"functionCall": {"name": name, "args": args}}


def _is_exact(value: Json) -> bool:
    """Whether all whole numbers stay what they are as doubles."""
    if isinstance(value, dict):
        return all(map(_is_exact, value.values()))
    if isinstance(value, list):
        return all(map(_is_exact, value))
    return not isinstance(value, int) or abs(value) <= _LARGEST_EXACT


def _list_call_ids(message: JsonObject) -> dict[str, str]:
    calls = message.get("tool_calls")
    return {
        str(call.get("id")): made.name
        for call in (calls if isinstance(calls, list) else ())
        if isinstance(call, dict)
        for made in read_calls({"tool_calls": [call]})
    }


def _render_answer(name: str, message: JsonObject, where: str) -> Json:
    """The answer of a function; text that is not a JSON object is its `output`."""
    text = "".join(_list_texts(message.get("content"), where))
    try:
        response = json.loads(text)
    except (ValueError, RecursionError):
        response = None
    if not isinstance(response, dict) or not _is_exact(response):
        response = {"output": text}
    return {"functionResponse": {"name": name, "response": response}}


def _render_tools(chat: Mapping[str, Json], inside: str) -> list[Json]:
    """The functions that the chat offers, as declarations."""
    if chat.get("parallel_tool_calls") is False:
        raise InvalidRow(f"{inside}parallel_tool_calls: false has no counterpart")
    declarations: list[Json] = []
    for name, function in list_offered(chat).items():
        where = f"{inside}tools: {quote(name)}"
        for key in function:
            if key not in _FUNCTION_KEYS:
                raise InvalidRow(f"{where}: {key} has no counterpart")
        declaration: JsonObject = {"name": name}
        if description := function.get("description"):
            declaration["description"] = description
        parameters = cast("JsonObject | None", function.get("parameters"))
        if parameters and parameters.get("properties"):  # Gemini refuses an empty object
            declaration["parameters"] = _render_schema(parameters, f"{where}.parameters")
        declarations.append(declaration)
    return declarations


def _render_schema(schema: Json, where: str) -> JsonObject:
    """A JSON Schema as Gemini's schema, a subset of OpenAPI's."""
    if not isinstance(schema, dict):
        raise InvalidRow(f"{where} is {describe_type(schema)}, not a schema")
    rendered: JsonObject = {}
    for key, value in schema.items():
        if key in _SCHEMA_KEYS:
            rendered[key] = value
        elif key == "type":
            rendered |= _render_type(value, where)
        elif key == "properties" and isinstance(value, dict):
            rendered[key] = {
                name: _render_schema(inner, f"{where}.{name}") for name, inner in value.items()
            }
        elif key == "items":
            rendered[key] = _render_schema(value, f"{where}.items")
        elif key == "anyOf" and isinstance(value, list):
            rendered[key] = [_render_schema(inner, f"{where}.anyOf") for inner in value]
        elif key == "additionalProperties" and isinstance(value, bool):
            rendered[key] = value
        elif key in ("enum", "const"):
            rendered["enum"] = _render_choices(value if key == "enum" else [value], where)
        elif key not in _SCHEMA_NAMES:
            raise InvalidRow(f"{where}: {key} has no counterpart in Gemini's schemas")
    return rendered


def _render_type(value: Json, where: str) -> JsonObject:
    """The type in capitals; a list with null is a nullable type."""
    types = value if isinstance(value, list) else [value]
    named = [kind for kind in types if kind != "null"]
    if len(named) != 1 or not isinstance(named[0], str):
        raise InvalidRow(f"{where}.type has no counterpart: {quote(json.dumps(value))}")
    nullable: JsonObject = {"nullable": True} if len(types) > 1 else {}
    return {"type": named[0].upper(), **nullable}


def _render_choices(values: Json, where: str) -> list[Json]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise InvalidRow(f"{where}.enum has other values than texts")
    return values
