"""Converts messages, tools and calls of other tools to the format of the chat API.

ShareGPT names speaker and text `from` and `value`, Gemini `role` and `parts`; TRL writes the
arguments of a call as an object. Texts are unchanged. Content that a message of the API cannot hold
is refused by name, never dropped.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import cast

import orjson

from ftops.records import Json
from ftops.rows.messages import (
    SCHEMA_NULLS,
    InvalidRow,
    JsonObject,
    describe_type,
    drop_nulls,
    quote,
)

_SPEAKER_KEYS = ("role", "from")
_TEXT_KEYS = ("content", "value")
_CALL, _TOOL = "call", "tool"
# Speakers, in lower case, with the role in the API; `_CALL` and `_TOOL` mark calls and answers.
_ROLES = {
    "system": "system", "developer": "developer",
    "user": "user", "human": "user", "prompter": "user",
    "assistant": "assistant", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant",
    "chatbot": "assistant", "model": "assistant", "ai": "assistant", "bard": "assistant",
    "bing": "assistant", "claude": "assistant",
    "function_call": _CALL, "function-call": _CALL, "tool_call": _CALL,
    "tool": _TOOL, "observation": _TOOL, "function_response": _TOOL, "function-response": _TOOL,
    "tool_response": _TOOL, "function": "function",
}  # fmt: skip
_API_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_CARRIED = frozenset({"name", "weight", "tool_calls", "tool_call_id", "function_call", "refusal"})
_CALL_BLOCK = re.compile(r"<tool_call>\s*(.*?)\s*</tool_call>", re.DOTALL)
_ANSWER_BLOCK = re.compile(r"<tool_response>\s*(.*?)\s*</tool_response>", re.DOTALL)
_TURN = re.compile(r"\n\n(Human|Assistant):[ ]?")


def is_message(value: object) -> bool:
    """Whether `value` looks like a message of a conversation, in any of the supported formats."""
    return isinstance(value, dict) and any(key in value for key in _SPEAKER_KEYS)


def is_foreign_chat(record: Mapping[str, object]) -> bool:
    """Whether `messages` is a conversation in another format than that of the API."""
    messages = record.get("messages")
    if not isinstance(messages, list) or not any(map(is_message, messages)):
        return False
    if record.get("system") or (isinstance(record.get("tools"), str) and record["tools"]):
        return True
    return any(_is_foreign(message) for message in messages if isinstance(message, dict))


def _is_foreign(message: JsonObject) -> bool:
    if "from" in message and "role" not in message:
        return True
    role, calls = message.get("role"), message.get("tool_calls")
    if isinstance(role, str) and role not in _API_ROLES and role.lower() in _ROLES:
        return True
    if role == "tool" and message.get("tool_call_id") is None:
        return True
    return isinstance(calls, list) and any(
        isinstance(call, dict) and call.get("id") is None for call in calls
    )


def read_conversation(
    turns: Json, key: str, *, system: Json = None, tools: Json = None
) -> dict[str, Json]:
    """The chat row for the list `turns` under `key`; InvalidRow if it is not a conversation.

    `system` becomes the first message, and `tools` (a list, or its JSON text) the row's tools.
    """
    offered = read_tools(tools)
    messages = read_messages(turns, key, offered)
    if system:
        if not isinstance(system, str):
            raise InvalidRow(f"system is {describe_type(system)}, not text", "not-text")
        if messages[0]["role"] in ("system", "developer"):
            raise InvalidRow(
                f"the row has the key system, and {key} starts with a system message, too"
            )
        messages.insert(0, {"role": "system", "content": system})
    row: JsonObject = {"messages": cast(Json, messages)}
    return {**row, "tools": cast(Json, offered)} if offered else row


def read_messages(turns: Json, key: str, offered: Sequence[JsonObject] = ()) -> list[JsonObject]:
    """The messages of a conversation; InvalidRow names the invalid turn.

    If tools are `offered`, or there are turns of tools, `<tool_call>` and `<tool_response>` in
    texts are parsed as calls and their answers.
    """
    if not isinstance(turns, list) or not turns:
        found = "an empty list" if turns == [] else describe_type(turns)
        raise InvalidRow(f"{key} is {found}, not a list of messages")
    used = any(_role_of(turn) in (_TOOL, _CALL) for turn in turns)
    reader = _Reader(bool(offered) or used, offered)
    for index, turn in enumerate(turns):
        reader.add(turn, f"{key}[{index}]")
    return reader.messages


class _Reader:
    """Converts turns in order, and assigns the ids that link calls and their answers."""

    def __init__(self, calls: bool, offered: Sequence[JsonObject] = ()) -> None:
        self.messages: list[JsonObject] = []
        self._calls = calls
        self._parameters = dict(map(_list_parameters, offered))
        self._waiting: list[str] = []
        self._made = 0

    def add(self, turn: Json, where: str) -> None:
        if not isinstance(turn, dict):
            raise InvalidRow(f"{where} is {describe_type(turn)}, not an object")
        turn = {name: value for name, value in turn.items() if value is not None}
        role, text = _role_of(turn), _get_text(turn, where)
        known = {*_SPEAKER_KEYS, *_TEXT_KEYS, "parts", *_CARRIED}
        extra = [
            name for name, value in turn.items() if name not in known and value not in ("", [])
        ]
        if extra:
            raise InvalidRow(
                f"{where} has {', '.join(map(quote, extra))}: a message has no place for it"
            )
        if role == _CALL:
            self._add_calls(_read_calls(text, where), None)
        elif role == _TOOL:
            self._add_answers(turn, text, where)
        elif not role:
            said = next((turn[name] for name in _SPEAKER_KEYS if name in turn), None)
            shown = quote(said) if isinstance(said, str) else describe_type(said)
            raise InvalidRow(f"{where}: the role {shown} is none that is known here", "bad-role")
        else:
            self._add_text(turn, role, text, where)

    def _add_text(self, turn: JsonObject, role: str, text: Json, where: str) -> None:
        message: JsonObject = {"role": role, **({} if text is None else {"content": text})}
        message |= {name: turn[name] for name in _CARRIED if turn.get(name) not in (None, [])}
        marked = self._calls and role == "assistant" and isinstance(text, str)
        if marked and "<tool_call>" in cast(str, text):
            blocks = _CALL_BLOCK.findall(cast(str, text))
            found = [call for block in blocks for call in _read_calls(block, where)]
            rest = _CALL_BLOCK.sub("", cast(str, text)).strip()
            if not found or "<tool_call>" in rest:
                raise InvalidRow(f"{where} has a <tool_call> that is not closed", "bad-call")
            self._add_calls(found, rest or None)
            return
        if "tool_calls" in message:
            message.setdefault("content", None)
            message["tool_calls"] = cast(Json, self._name_calls(message["tool_calls"], where))
        self.messages.append(message)

    def _add_calls(self, calls: Sequence[JsonObject], text: str | None) -> None:
        named = self._name_calls(cast(Json, [{"function": call} for call in calls]), "")
        message: JsonObject = {
            "role": "assistant",
            "content": text,
            "tool_calls": cast(Json, named),
        }
        self.messages.append(message)

    def _name_calls(self, calls: Json, where: str) -> list[JsonObject]:
        """The calls in the format of the API; those without an id get one."""
        if not isinstance(calls, list):
            raise InvalidRow(
                f"{where}.tool_calls is {describe_type(calls)}, not a list", "bad-call"
            )
        named: list[JsonObject] = []
        for call in calls:
            if not isinstance(call, dict):
                raise InvalidRow(
                    f"{where}.tool_calls holds {describe_type(call)}, not objects", "bad-call"
                )
            function = call.get("function", call)
            if not isinstance(function, dict):
                raise InvalidRow(f"{where}: a call without name and arguments", "bad-call")
            self._made += 1
            said = call.get("id")
            name = said if isinstance(said, str) and said else f"call_{self._made}"
            called = function.get("name")
            known = self._parameters.get(called) if isinstance(called, str) else None
            written = _write_function(function, known)
            named.append({"id": name, "type": "function", "function": written})
        self._waiting = [cast(str, call["id"]) for call in named]
        return named

    def _add_answers(self, turn: JsonObject, text: Json, where: str) -> None:
        texts: list[Json] = [text]
        if self._calls and isinstance(text, str) and "<tool_response>" in text:
            texts = [*_ANSWER_BLOCK.findall(text)]
        for one in texts:
            said = turn.get("tool_call_id")
            if said is None and not self._waiting:
                raise InvalidRow(f"{where} answers a call that was not made", "stray-answer")
            name = said if said is not None else self._waiting[0]
            self._waiting = [other for other in self._waiting if other != name]
            message: JsonObject = {"role": "tool", "tool_call_id": name, "content": one}
            self.messages.append(
                message | {key: turn[key] for key in ("name", "weight") if key in turn}
            )


def _role_of(turn: Json) -> str:
    """The API role of the turn; "" if it has none."""
    said = (
        next((turn[key] for key in _SPEAKER_KEYS if key in turn), None)
        if isinstance(turn, dict)
        else None
    )
    return _ROLES.get(said.strip().lower(), "") if isinstance(said, str) else ""


def _get_text(turn: JsonObject, where: str) -> Json:
    """The content of the turn: text, or a list of parts; None if it only calls tools."""
    if "parts" in turn:
        return _join_parts(turn["parts"], where)
    text = next((turn[key] for key in _TEXT_KEYS if key in turn), None)
    if not isinstance(text, str | list | None):
        raise InvalidRow(f"{where} is {describe_type(text)}, not text", "not-text")
    return text


def _join_parts(parts: Json, where: str) -> str:
    texts: list[str] = []
    for part in parts if isinstance(parts, list) else ():
        text = part.get("text") if isinstance(part, dict) else part
        if not isinstance(text, str) or (isinstance(part, dict) and len(part) > 1):
            names = ", ".join(part) if isinstance(part, dict) else describe_type(part)
            raise InvalidRow(f"{where} has a part that is not text alone: {names}")
        texts.append(text)
    return "".join(texts)


def _read_calls(text: Json, where: str) -> list[JsonObject]:
    """The calls in JSON text (of one call, or a list), each with name and arguments."""
    try:
        value = read_json(text)
    except ValueError:
        shown = quote(text) if isinstance(text, str) else describe_type(text)
        raise InvalidRow(f"{where} is a call, and not JSON: {shown}", "bad-call") from None
    calls = value if isinstance(value, list) else [value]
    for call in calls:
        if not isinstance(call, dict) or not isinstance(call.get("name"), str):
            raise InvalidRow(f"{where} is a call without a name", "bad-call")
    return cast("list[JsonObject]", calls)


def read_calls(value: Json, key: str) -> JsonObject:
    """The assistant message with the calls in `value`: a list, or JSON text of one."""
    reader = _Reader(calls=True)
    reader._add_calls(_read_calls(value, key), None)
    return reader.messages[0]


def _list_parameters(tool: JsonObject) -> tuple[Json, Collection[str] | None]:
    """The name and the parameters of a tool; None if its schema does not list parameters."""
    function = tool["function"]
    about = function if isinstance(function, dict) else {}
    schema = about.get("parameters")
    listed = schema.get("properties") if isinstance(schema, dict) else None
    name = about.get("name")
    return name if isinstance(name, str) else None, listed if isinstance(listed, dict) else None


def _write_function(function: JsonObject, parameters: Collection[str] | None) -> JsonObject:
    """Name and arguments of a call, the arguments as JSON text.

    Nulls of arguments that are not in `parameters` are dropped: tables fill in the arguments of
    other calls.
    """
    given = function.get("arguments", function.get("parameters"))
    if given is None or given == "":
        given = {}
    if isinstance(given, dict) and parameters is not None:
        given = {key: one for key, one in given.items() if one is not None or key in parameters}
    try:
        text = given if isinstance(given, str) else orjson.dumps(given).decode()
    except TypeError:  # tables may hold bytes or decimals
        raise InvalidRow("the arguments of a call hold what JSON cannot", "bad-call") from None
    return {"name": function.get("name"), "arguments": text}


def read_transcript(text: str, key: str) -> list[JsonObject]:
    """The messages of a text in which turns begin with "Human:" and "Assistant:"."""
    parts = _TURN.split(text)
    if parts[0].strip() or len(parts) < 3:
        raise InvalidRow(f"{key} does not begin with a turn of Human: or Assistant:")
    turns = zip(parts[1::2], parts[2::2], strict=True)
    roles = {"Human": "user", "Assistant": "assistant"}
    return [{"role": roles[who], "content": said.strip()} for who, said in turns]


def read_preference(question: Sequence[JsonObject], chosen: Json, rejected: Json) -> JsonObject:
    """A preference row; without `question`, the input is the common start of both conversations.

    InvalidRow if more than the last message differs, or an answer is not from the assistant.
    """
    answers = [_read_answer(chosen, "chosen"), _read_answer(rejected, "rejected")]
    first, second = answers
    shared = 0
    while shared < min(len(first), len(second)) - 1 and first[shared] == second[shared]:
        shared += 1
    if len(first) - shared != 1 or len(second) - shared != 1:
        raise InvalidRow(
            "chosen and rejected differ in more than their last message", "bad-preference"
        )
    begun = first[:shared]
    if question and begun and not _says_same(question, begun):
        raise InvalidRow(
            "chosen and rejected do not begin with what the prompt says", "bad-preference"
        )
    asked = begun or [*question]
    if not asked:
        raise InvalidRow("no prompt, and chosen and rejected begin with none", "bad-preference")
    return {
        "input": {"messages": cast(Json, asked)},
        "preferred_output": cast(Json, first[shared:]),
        "non_preferred_output": cast(Json, second[shared:]),
    }


def _says_same(question: Iterable[JsonObject], begun: Sequence[JsonObject]) -> bool:
    """Whether the messages are those of the question, optionally after system messages."""
    wanted = [(one["role"], str(one.get("content")).strip()) for one in question]
    said = [(one["role"], str(one.get("content")).strip()) for one in begun]
    return said[-len(wanted) :] == wanted and all(
        role in ("system", "developer") for role, _ in said[: -len(wanted)]
    )


def _read_answer(value: Json, key: str) -> list[JsonObject]:
    if isinstance(value, str):
        if value.startswith("\n\nHuman:"):
            return read_transcript(value, key)
        return [{"role": "assistant", "content": value}]
    return read_messages([value] if isinstance(value, dict) else value, key)


# Types of Python signatures, which some tool definitions use, with their JSON Schema types.
_SCHEMA_TYPES = {
    "str": "string", "string": "string", "int": "integer", "integer": "integer",
    "float": "number", "number": "number", "bool": "boolean", "boolean": "boolean",
    "list": "array", "array": "array", "dict": "object", "object": "object",
}  # fmt: skip


def read_json(text: Json) -> Json:
    """The value of a JSON text; other values are unchanged. ValueError for invalid JSON."""
    return cast(Json, orjson.loads(text)) if isinstance(text, str) else text


def read_tools(value: Json) -> list[JsonObject]:
    """Tools in the format of the API, from a list or its JSON text; InvalidRow for other values."""
    try:
        tools = read_json(value or [])
    except ValueError:
        raise InvalidRow("tools is text, and not JSON", "bad-tools") from None
    if not isinstance(tools, list):
        raise InvalidRow(f"tools is {describe_type(tools)}, not a list", "bad-tools")
    if tools is value:  # a table, in which each row has the keys of all
        tools = cast("list[Json]", drop_nulls(tools, SCHEMA_NULLS))
    return [_read_tool(tool, f"tools[{index}]") for index, tool in enumerate(tools)]


def _read_tool(tool: Json, where: str) -> JsonObject:
    if isinstance(tool, str):
        try:
            tool = read_json(tool)
        except ValueError:
            raise InvalidRow(f"{where} is text, and not JSON", "bad-tools") from None
    if not isinstance(tool, dict):
        raise InvalidRow(f"{where} is {describe_type(tool)}, not an object", "bad-tools")
    if "function" in tool:
        return {"type": "function", **tool}
    function = {name: one for name, one in tool.items() if name != "type"}
    parameters = function.get("parameters")
    if isinstance(parameters, dict) and _is_signature(parameters):
        function["parameters"] = _make_schema(parameters, f"{where}.parameters")
    return {"type": "function", "function": function}


def _is_signature(parameters: JsonObject) -> bool:
    """Whether each key is a parameter, not a keyword of JSON Schema."""
    described = all(isinstance(one, dict) for one in parameters.values())
    return described and not {"properties", "$ref"} & set(parameters)


def _make_schema(parameters: JsonObject, where: str) -> JsonObject:
    """A schema of parameters whose types are Python's, such as "str, optional"."""
    properties: JsonObject = {}
    required: list[Json] = []
    for name, described in parameters.items():
        about = dict(cast(JsonObject, described))
        kind = about.get("type")
        if isinstance(kind, str):
            written, _, rest = kind.rpartition("]") if "]" in kind else ("", "", kind)
            written, rest = (f"{written}]", rest) if written else kind.partition(",")[::2]
            schema = _find_schema(written)
            if schema is None:
                raise InvalidRow(
                    f"{where}.{name}.type is {quote(kind)}, no type of JSON Schema", "bad-tools"
                )
            about |= schema
            if "optional" not in rest and "default" not in about:
                required.append(name)
        properties[name] = about
    made: JsonObject = {"type": "object", "properties": properties}
    return {**made, "required": required} if required else made


def _find_schema(written: str) -> JsonObject | None:
    """The schema of a Python type such as List[int]; None if it has none."""
    found = re.fullmatch(r"(\w+)(?:\[(.*)\])?", written.strip())
    kind = _SCHEMA_TYPES.get(found[1].lower()) if found else None
    if found is None or kind is None or not found[2]:
        return None if kind is None else {"type": kind}
    if kind == "object":  # Dict[str, int]
        inner = _find_schema(found[2].partition(",")[2])
        return inner and {"type": kind, "additionalProperties": inner}
    inner = _find_schema(found[2])
    return inner and {"type": kind, "items": inner} if kind == "array" else None
