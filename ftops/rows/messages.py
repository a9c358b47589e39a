"""The rules of a message in a training row, and the errors of rows."""

from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal
from typing import TypeAlias

from ftops.records import Json
from ftops.rows.json_values import Literal

JsonObject: TypeAlias = dict[str, Json]

_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_PLAIN_ROLES = _ROLES - {"tool", "function"}  # the other roles answer a call
_MESSAGE_KEYS = frozenset(
    {"role", "content", "name", "weight", "tool_calls", "tool_call_id", "function_call", "refusal"}
)
_MEDIA_TYPES = {
    "image": "image", "image_url": "image", "input_image": "image", "audio": "audio",
    "input_audio": "audio", "video": "video", "video_url": "video", "file": "file",
}  # fmt: skip
TEXT_KEYS = ("content", "text")
# Keys of messages and JSON Schemas in which a null is meaningful.
MESSAGE_NULLS = frozenset({"role", "content", "arguments"})
SCHEMA_NULLS = frozenset({"default", "const", "enum", "examples"})
ARGUMENT_KEYS = ("arguments",)  # of tool and function calls: JSON as text
_KINDS = {
    type(None): "null", bool: "true or false", int: "a number", float: "a number",
    Decimal: "a number", Literal: "a number",
    str: "text", list: "a list", dict: "an object",
}  # fmt: skip


class InvalidRow(Exception):
    """A row that cannot be used; the message is the reason, without file and line.

    `code` is the data check that the row fails.
    """

    def __init__(self, message: str, code: str = "bad-chat") -> None:
        super().__init__(message)
        self.code = code


class UnexpectedKeys(InvalidRow):
    """A row, or an object in it, has keys that its format does not have."""

    def __init__(self, keys: Sequence[str], expected: str, where: str = "") -> None:
        super().__init__(
            f"{where}unexpected key {', '.join(map(quote, keys))}; {expected}", "unknown-key"
        )
        self.keys = keys


def message_text(message: Mapping[str, Json]) -> str:
    """The text of a valid message: its content, or the text of its parts."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(str(part["text"]) for part in parts if isinstance(part, dict))


def change_texts(
    value: Json,
    change: Callable[[str], str],
    keys: Collection[str] = TEXT_KEYS,
    key: str = "",
) -> Json:
    """`value` with the texts under `keys` changed; by default those of messages."""
    if isinstance(value, dict):
        return {name: change_texts(item, change, keys, name) for name, item in value.items()}
    if isinstance(value, list):
        return [change_texts(item, change, keys, key) for item in value]
    return change(value) if isinstance(value, str) and key in keys else value


def drop_nulls(value: Json, kept: Collection[str]) -> Json:
    """`value` without null members, except under the keys `kept`."""
    if isinstance(value, dict):
        return {
            key: item if key in kept else drop_nulls(item, kept)
            for key, item in value.items()
            if item is not None or key in kept
        }
    return [drop_nulls(item, kept) for item in value] if isinstance(value, list) else value


def list_texts(value: Json, keys: Collection[str] = TEXT_KEYS) -> list[str]:
    """The texts that `change_texts` changes, in order."""
    texts: list[str] = []
    _add_texts(value, keys, "", texts)
    return texts


def _add_texts(value: Json, keys: Collection[str], key: str, texts: list[str]) -> None:
    if isinstance(value, str):
        if key in keys:
            texts.append(value)
    elif isinstance(value, dict):
        for name, item in value.items():
            _add_texts(item, keys, name, texts)
    elif isinstance(value, list):
        for item in value:
            _add_texts(item, keys, key, texts)


def list_arguments(raw: JsonObject) -> list[str]:
    """The arguments of all tool calls of a chat or preference row."""
    messages = [raw.get("messages"), raw.get("preferred_output"), raw.get("non_preferred_output")]
    prompt = raw.get("input")
    messages.append(prompt.get("messages") if isinstance(prompt, dict) else None)
    return list_texts([item for item in messages if item], ARGUMENT_KEYS)


def describe_type(value: object) -> str:
    """The type of a JSON value, for a message."""
    return _KINDS.get(type(value), type(value).__name__)


def is_plain(message: object) -> bool:
    """Whether `message` is only a role and a text, as most are."""
    return (
        type(message) is dict
        and len(message) == 2
        and type(message.get("content")) is str
        and type(role := message.get("role")) is str
        and role in _PLAIN_ROLES
    )


def check_message(message: object, where: str) -> None:
    """InvalidRow, with the location `where`, if the API does not accept `message`."""
    if not isinstance(message, dict):
        raise InvalidRow(f"{where} is {describe_type(message)}, not an object")
    if "role" not in message:
        raise InvalidRow(f"{where}.role is missing")
    role = message["role"]
    if not isinstance(role, str) or role not in _ROLES:
        shown = quote(role) if isinstance(role, str) else describe_type(role)
        raise InvalidRow(
            f"{where}.role is {shown}; it is one of {', '.join(sorted(_ROLES))}", "bad-role"
        )
    extra = ", ".join(quote(key) for key in message if key not in _MESSAGE_KEYS)
    if extra:
        raise InvalidRow(f"{where} has the unexpected key {extra}")
    weight = message.get("weight", 1)
    if type(weight) is not int or weight not in (0, 1):
        raise InvalidRow(f"{where}.weight is neither 0 nor 1", "bad-weight")
    if "name" in message and not isinstance(message["name"], str):
        raise InvalidRow(f"{where}.name is {describe_non_text(message['name'])}")
    _check_content(message, role, where)


def _check_content(message: Mapping[str, object], role: str, where: str) -> None:
    content = message.get("content")
    if isinstance(content, str):
        return
    calls = message.get("tool_calls") or message.get("function_call")
    if content is None and role == "assistant" and calls:
        return
    if "content" not in message:
        raise InvalidRow(f"{where}.content is missing")
    if not isinstance(content, list):
        raise InvalidRow(f"{where}.content is {describe_non_text(content)}")
    for index, part in enumerate(content):
        if isinstance(part, dict) and "text" in part and "type" not in part:
            raise InvalidRow(f'{where}.content[{index}].type is missing; that of text is "text"')
        kind = part.get("type") if isinstance(part, dict) else None
        if kind != "text" or set(part) - {"type", "text"} or not isinstance(part.get("text"), str):
            media = _MEDIA_TYPES.get(kind) if isinstance(kind, str) else None
            reason = f": {media} parts cannot be trained on" if media else ""
            raise InvalidRow(
                f"{where}.content[{index}] is not a text part; only text is supported{reason}"
            )


def get_value_code(value: object) -> str:
    """The code of the check that fails because `value` is not text."""
    return "null-value" if value is None else "not-text"


def describe_non_text(value: object) -> str:
    """The type of a value that should be text, for a message."""
    return "null" if value is None else f"{describe_type(value)}, not text"


def quote(text: str) -> str:
    """`text` for a message: quoted, escaped, at most 40 characters."""
    return repr(text if len(text) <= 40 else text[:39] + "…")
