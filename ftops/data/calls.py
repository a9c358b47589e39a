"""What the assistant says when it calls tools: calls as text, in one spelling for equal calls.

A call is written as `{"name": …, "arguments": {…}}` with the keys of the arguments in order. Its id
is left out: it is drawn anew each time, and nobody learns it.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import cast

import orjson

from ftops.data.messages import ARGUMENT_KEYS, Raw, change_texts, message_text
from ftops.data.reading.json_text import count_strings
from ftops.records import Json

CALL_KEYS = ("tool_calls", "function_call")
TOOL_KEYS = ("tools", "functions")


def answer_text(message: Mapping[str, Json]) -> str:
    """All that a message says: its text, and on a line of its own the calls that it makes."""
    text = message_text(message)
    if not any(message.get(key) for key in CALL_KEYS):
        return text
    return "\n".join(filter(None, (text, write_calls(message))))


def write_calls(message: Mapping[str, Json], *, verbatim: bool = False) -> str:
    """The calls of a message as a JSON list; "" when it makes none.

    With `verbatim` the arguments are the very text that the model reads.
    """
    calls = [_write_call(call, verbatim) for call in list_calls(message)]
    return f"[{','.join(calls)}]" if calls else ""


def list_calls(message: Mapping[str, Json]) -> Iterator[Json]:
    """What is called, in its order: objects with `name` and `arguments` in rows that are good."""
    called = message.get("tool_calls")
    for call in called if isinstance(called, list) else ():
        yield call.get("function", call) if isinstance(call, dict) else call
    if message.get("function_call"):
        yield message["function_call"]


def read_arguments(text: Json) -> Raw | None:
    """The arguments of a call; None when they are no JSON object, or nest too deep."""
    try:
        value = orjson.loads(text) if isinstance(text, str) else None
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) and count_strings(value) is not None else None


def _write_call(call: Json, verbatim: bool) -> str:
    if not isinstance(call, dict) or "name" not in call:
        return orjson.dumps(call, option=orjson.OPT_SORT_KEYS).decode()
    given = call.get("arguments", "")
    read = read_arguments(given)
    if verbatim and isinstance(given, str):
        arguments = given
    else:
        shown = given if read is None else read
        arguments = orjson.dumps(shown, option=orjson.OPT_SORT_KEYS).decode()
    return f'{{"name":{orjson.dumps(call["name"]).decode()},"arguments":{arguments}}}'


def write_tools(raw: Mapping[str, Json]) -> dict[str, str]:
    """The tools that a chat may use, as JSON, by the key under which they stand."""
    return {key: orjson.dumps(raw[key]).decode() for key in TOOL_KEYS if raw.get(key)}


def number_calls(raw: Raw) -> Raw:
    """The row with numbers for the ids of its calls: rows that differ by these alone are the same.

    A row without calls is itself.
    """
    inside = raw.get("input")
    chat = inside if isinstance(inside, dict) else raw
    messages = cast("list[Raw]", chat.get("messages") or [])
    if not any(message.get("tool_calls") for message in messages):
        return raw
    numbers: dict[str, str] = {}
    numbered = cast("list[Json]", [_number_ids(message, numbers) for message in messages])
    changed: Raw = {**chat, "messages": numbered}
    return changed if chat is raw else {**raw, "input": changed}


def _number_ids(message: Raw, numbers: dict[str, str]) -> Raw:
    changed = dict(message)
    if calls := cast("list[Raw]", message.get("tool_calls") or []):
        for call in calls:
            numbers[cast(str, call["id"])] = str(len(numbers))
        changed["tool_calls"] = [{**call, "id": numbers[cast(str, call["id"])]} for call in calls]
    answered = message.get("tool_call_id")
    if isinstance(answered, str):
        changed["tool_call_id"] = numbers.get(answered, answered)
    return changed


def change_arguments(raw: Raw, change: Callable[[str], str]) -> Raw:
    """The row with the texts inside the arguments of its calls changed.

    Arguments in which nothing changes stay as they are, to the letter.
    """
    return cast(Raw, change_texts(raw, partial(_change_json, change), ARGUMENT_KEYS))


def _change_json(change: Callable[[str], str], text: str) -> str:
    arguments = read_arguments(text)
    changed = _change_leaves(arguments, change)
    return text if changed == arguments else orjson.dumps(changed).decode()


def _change_leaves(value: Json, change: Callable[[str], str]) -> Json:
    if isinstance(value, dict):
        return {key: _change_leaves(one, change) for key, one in value.items()}
    if isinstance(value, list):
        return [_change_leaves(one, change) for one in value]
    return change(value) if isinstance(value, str) else value
