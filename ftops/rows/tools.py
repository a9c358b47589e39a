"""Tools of a chat: their definitions, calls and answers.

The rules are those of the chat API: a call has an id, the name of a function and its arguments as
JSON text. Tool messages with the answers follow immediately, except after calls at the end of the
chat, which are trained on. Calls in messages of weight 0 are not trained on and may be invalid. A
call as text is `{"name": …, "arguments": {…}}` with sorted keys and without its id, which is
random.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import cast

import orjson

from ftops.records import Json, ToolCall
from ftops.rows.json_values import count_strings
from ftops.rows.messages import (
    ARGUMENT_KEYS,
    InvalidRow,
    JsonObject,
    change_texts,
    describe_non_text,
    describe_type,
    message_text,
    quote,
)

_SHOWN_NAMES = 5


def check_tools(chat: JsonObject, messages: Sequence[JsonObject], inside: str = "") -> None:
    """InvalidRow if tools or calls are malformed; `inside` is the prefix of message locations."""
    offered = _check_offered(chat, inside)
    waiting: dict[str, str] = {}  # ids of calls without an answer, and their locations
    for index, message in enumerate(messages):
        where = f"{inside}messages[{index}]"
        if message["role"] == "tool":
            _take_answer(message, where, waiting)
            continue
        _refuse_waiting(waiting, where)
        waiting = _check_calls(message, where, offered)
        if message["role"] == "function" and not message.get("name"):
            raise InvalidRow(f"{where}.name is missing: which function it is the answer of")
    if inside:
        _refuse_waiting(waiting, "the end of input")


def list_offered(chat: Mapping[str, Json]) -> dict[str, JsonObject]:
    """The functions of a valid chat by name, from `tools` and `functions`."""
    tools = cast("list[JsonObject]", chat.get("tools") or [])
    functions = [cast(JsonObject, tool["function"]) for tool in tools if "function" in tool]
    functions += cast("list[JsonObject]", chat.get("functions") or [])
    return {cast(str, function["name"]): function for function in functions}


def find_tool_use(row: JsonObject) -> str | None:
    """The first key in which a row uses tools, such as `messages[1].tool_calls`; None without any.

    The row need not be valid.
    """
    prompt = row.get("input")
    inside, chat = ("input.", prompt) if isinstance(prompt, dict) else ("", row)
    for key in CHAT_OPTIONS:
        if chat.get(key):
            return f"{inside}{key}"
    for where, messages in (
        (f"{inside}messages", chat.get("messages")),
        ("preferred_output", row.get("preferred_output")),
        ("non_preferred_output", row.get("non_preferred_output")),
    ):
        for index, message in enumerate(messages if isinstance(messages, list) else ()):
            if not isinstance(message, dict):
                continue
            if message.get("role") in ("tool", "function"):
                return f"{where}[{index}].role"
            for key in (*CALL_KEYS, "tool_call_id"):
                if message.get(key):
                    return f"{where}[{index}].{key}"
    return None


def _check_offered(chat: JsonObject, inside: str) -> frozenset[str]:
    """The names of the tools."""
    names: list[str] = []
    for key in ("tools", "functions"):
        offered = chat.get(key)
        if offered is None:
            continue
        if not isinstance(offered, list):
            raise InvalidRow(f"{inside}{key} is {describe_type(offered)}, not a list", "bad-tools")
        for index, tool in enumerate(offered):
            names.append(_check_tool(tool, f"{inside}{key}[{index}]", key))
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidRow(f"the tool {quote(twice)} is defined more than once", "bad-tools")
    parallel = chat.get("parallel_tool_calls")
    if not isinstance(parallel, bool | None):
        raise InvalidRow(
            f"{inside}parallel_tool_calls is {describe_type(parallel)}, not true or false",
            "bad-tools",
        )
    return frozenset(names)


def _check_tool(tool: Json, where: str, key: str) -> str:
    if not isinstance(tool, dict):
        raise InvalidRow(f"{where} is {describe_type(tool)}, not an object", "bad-tools")
    function: Json = tool
    if key == "tools":
        if tool.get("type") != "function":
            raise InvalidRow(f'{where}.type is not "function"', "bad-tools")
        function, where = tool.get("function"), f"{where}.function"
    if not isinstance(function, dict):
        raise InvalidRow(
            f"{where} is {describe_type(function)}, not an object with name", "bad-tools"
        )
    name, parameters = function.get("name"), function.get("parameters")
    if not isinstance(name, str) or not name:
        raise InvalidRow(f"{where}.name is missing", "bad-tools")
    if not isinstance(parameters, dict | None):
        raise InvalidRow(
            f"{where}.parameters is {describe_type(parameters)}, not a schema", "bad-tools"
        )
    return name


def _take_answer(message: JsonObject, where: str, waiting: dict[str, str]) -> None:
    name = message.get("tool_call_id")
    if not isinstance(name, str):
        raise InvalidRow(
            f"{where}.tool_call_id is {'missing' if name is None else describe_non_text(name)}:"
            " the id of the call that it answers",
            "stray-answer",
        )
    if waiting.pop(name, None) is None:
        raise InvalidRow(
            f"{where}.tool_call_id is {quote(name)}, and no call with that id waits for an answer",
            "stray-answer",
        )


def _refuse_waiting(waiting: Mapping[str, str], where: str) -> None:
    for name, call in waiting.items():
        raise InvalidRow(
            f"{call} has no answer before {where}: a tool message with the id {quote(name)}",
            "unanswered-call",
        )


def _check_calls(message: JsonObject, where: str, offered: frozenset[str]) -> dict[str, str]:
    """The ids of the calls of a message, each with its location."""
    ids: dict[str, str] = {}
    lenient = message.get("weight") == 0
    for place, call in _list_calls(message, where):
        _check_function(call, place, offered, lenient=lenient)
    for index, call in enumerate(cast("list[JsonObject]", message.get("tool_calls") or [])):
        name = cast(str, call["id"])
        if name in ids:
            raise InvalidRow(f"{where}: two calls have the id {quote(name)}", "bad-call")
        ids[name] = f"{where}.tool_calls[{index}]"
    return ids


def _list_calls(message: JsonObject, where: str) -> Iterator[tuple[str, Json]]:
    """The called functions with their locations, once ids and types are checked."""
    called, function = message.get("tool_calls"), message.get("function_call")
    if message["role"] != "assistant" and (called or function):
        raise InvalidRow(f"{where}: only the assistant calls tools", "bad-call")
    if not isinstance(called, list | None):
        raise InvalidRow(f"{where}.tool_calls is {describe_type(called)}, not a list", "bad-call")
    for index, call in enumerate(called or []):
        place = f"{where}.tool_calls[{index}]"
        if not isinstance(call, dict):
            raise InvalidRow(f"{place} is {describe_type(call)}, not an object", "bad-call")
        if not isinstance(call.get("id"), str) or not call["id"]:
            raise InvalidRow(f"{place}.id is missing", "bad-call")
        if call.get("type") != "function":
            raise InvalidRow(f'{place}.type is not "function"', "bad-call")
        yield f"{place}.function", call.get("function")
    if function is not None:
        yield f"{where}.function_call", function


def _check_function(call: Json, where: str, offered: frozenset[str], *, lenient: bool) -> None:
    if not isinstance(call, dict):
        raise InvalidRow(f"{where} is {describe_type(call)}, not name and arguments", "bad-call")
    name, arguments = call.get("name"), call.get("arguments")
    if not isinstance(name, str) or not name:
        raise InvalidRow(f"{where}.name is missing", "bad-call")
    if not isinstance(arguments, str):
        raise InvalidRow(
            f"{where}.arguments is {describe_type(arguments)}, not JSON written as text", "bad-call"
        )
    if lenient:
        return
    if read_arguments(arguments) is None:
        raise InvalidRow(f"{where}.arguments is no JSON object: {quote(arguments)}", "bad-call")
    if offered and name not in offered:
        known = ", ".join(sorted(offered)[:_SHOWN_NAMES])
        more = ", …" if len(offered) > _SHOWN_NAMES else ""
        raise InvalidRow(
            f"{where}.name is {quote(name)}, which is not among the row's tools: {known}{more}",
            "unknown-tool",
        )


CALL_KEYS = ("tool_calls", "function_call")
TOOL_KEYS = ("tools", "functions")
CHAT_OPTIONS = (*TOOL_KEYS, "parallel_tool_calls")
MESSAGE_OPTIONS = (*CALL_KEYS, "name", "tool_call_id")


def answer_text(message: Mapping[str, Json]) -> str:
    """The text of a message, followed by its tool calls on a separate line."""
    text = message_text(message)
    if not any(message.get(key) for key in CALL_KEYS):
        return text
    return "\n".join(filter(None, (text, write_calls(message))))


def write_calls(message: Mapping[str, Json], *, verbatim: bool = False) -> str:
    """The calls of a message as a JSON list; "" without any.

    With `verbatim`, arguments are not reformatted.
    """
    calls = [_write_call(call, verbatim) for call in list_calls(message)]
    return f"[{','.join(calls)}]" if calls else ""


def list_calls(message: Mapping[str, Json]) -> Iterator[Json]:
    """The called functions in order; in valid rows, objects with `name` and `arguments`."""
    called = message.get("tool_calls")
    for call in called if isinstance(called, list) else ():
        yield call.get("function", call) if isinstance(call, dict) else call
    if message.get("function_call"):
        yield message["function_call"]


def read_calls(message: Mapping[str, Json]) -> tuple[ToolCall, ...]:
    """The calls of a message from a row or a model; arguments that are an object become text."""
    return tuple(
        ToolCall(str(call.get("name") or ""), _to_text(call.get("arguments")))
        for call in list_calls(message)
        if isinstance(call, dict)
    )


def _to_text(arguments: Json) -> str:
    return arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()


def read_arguments(text: Json) -> JsonObject | None:
    """The arguments of a call; None if they are not a JSON object or are nested too deep."""
    try:
        value = orjson.loads(text) if isinstance(text, str) else None
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) and count_strings(value) is not None else None


def _write_call(call: Json, verbatim: bool) -> str:
    if not isinstance(call, dict) or "name" not in call:
        return orjson.dumps(call, option=orjson.OPT_SORT_KEYS).decode()
    arguments_text = call.get("arguments", "")
    read = read_arguments(arguments_text)
    if verbatim and isinstance(arguments_text, str):
        arguments = arguments_text
    else:
        shown = arguments_text if read is None else read
        arguments = orjson.dumps(shown, option=orjson.OPT_SORT_KEYS).decode()
    return f'{{"name":{orjson.dumps(call["name"]).decode()},"arguments":{arguments}}}'


def write_tools(raw: Mapping[str, Json]) -> dict[str, str]:
    """The tools of a chat as JSON, by their key."""
    return {key: orjson.dumps(raw[key]).decode() for key in TOOL_KEYS if raw.get(key)}


def number_calls(raw: JsonObject) -> JsonObject:
    """The row with call ids replaced by numbers, so that rows that differ only in ids are equal."""
    inside = raw.get("input")
    chat = inside if isinstance(inside, dict) else raw
    messages = cast("list[JsonObject]", chat.get("messages") or [])
    if not any(message.get("tool_calls") for message in messages):
        return raw
    numbers: dict[str, str] = {}
    numbered = cast("list[Json]", [_number_ids(message, numbers) for message in messages])
    changed: JsonObject = {**chat, "messages": numbered}
    return changed if chat is raw else {**raw, "input": changed}


def _number_ids(message: JsonObject, numbers: dict[str, str]) -> JsonObject:
    changed = dict(message)
    if calls := cast("list[JsonObject]", message.get("tool_calls") or []):
        for call in calls:
            numbers[cast(str, call["id"])] = str(len(numbers))
        changed["tool_calls"] = [{**call, "id": numbers[cast(str, call["id"])]} for call in calls]
    answered = message.get("tool_call_id")
    if isinstance(answered, str):
        changed["tool_call_id"] = numbers.get(answered, answered)
    return changed


def change_arguments(raw: JsonObject, change: Callable[[str], str]) -> JsonObject:
    """The row with the texts in the arguments of its calls changed.

    Unchanged arguments are not reformatted.
    """
    return cast(JsonObject, change_texts(raw, partial(_change_json, change), ARGUMENT_KEYS))


def _change_json(change: Callable[[str], str], text: str) -> str:
    arguments = read_arguments(text)
    changed = _change_leaves(arguments, change)
    return text if changed == arguments else orjson.dumps(changed).decode()


def _change_leaves(value: Json, change: Callable[[str], str]) -> Json:
    if isinstance(value, dict):
        return {key: _change_leaves(leaf, change) for key, leaf in value.items()}
    if isinstance(value, list):
        return [_change_leaves(leaf, change) for leaf in value]
    return change(value) if isinstance(value, str) else value
