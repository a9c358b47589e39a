"""What one row of training data may look like; every refusal names the key and the reason.

Completion rows are exactly `prompt` and `completion`. Chat rows are `messages`, and perhaps tools;
what is allowed beside role and content (`name`, `weight`, tool calls) passes through untouched.
"""

from collections.abc import Mapping
from typing import TypeAlias

from ftops.dataset.reading.json_text import MAX_DEPTH, count_strings
from ftops.records import Json, RowFormat

Raw: TypeAlias = dict[str, Json]

# An enum's member costs a look-up that shows in a loop over a million rows.
COMPLETION, CHAT = RowFormat.COMPLETION, RowFormat.CHAT
_COMPLETION_KEYS = ("prompt", "completion")
_CHAT_KEYS = frozenset({"messages", "tools", "parallel_tool_calls", "functions"})
_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_MESSAGE_KEYS = frozenset(
    {"role", "content", "name", "weight", "tool_calls", "tool_call_id", "function_call", "refusal"}
)
_KINDS = {
    type(None): "null", bool: "true or false", int: "a number", float: "a number",
    str: "text", list: "a list", dict: "an object",
}  # fmt: skip


class BadRow(Exception):
    """A row that cannot be used; the message says why, without the file and the line.

    `code` names the check of the catalogue that the row fails.
    """

    def __init__(self, message: str, code: str = "bad-chat") -> None:
        super().__init__(message)
        self.code = code


def check_shape(raw: object) -> tuple[RowFormat, int]:
    """Which shape `raw` has, and how many strings (keys included); BadRow when it has none."""
    if not isinstance(raw, dict):
        raise BadRow(f"{_kind(raw)}, not an object in braces", "not-an-object")
    if "messages" in raw:
        return CHAT, _check_chat(raw)
    _check_completion(raw)
    return COMPLETION, 4


def message_text(message: Mapping[str, Json]) -> str:
    """The text of a message that was checked: its content, or the text of its parts."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(str(part["text"]) for part in parts if isinstance(part, dict))


def _kind(value: object) -> str:
    return _KINDS.get(type(value), type(value).__name__)


def _check_completion(raw: Mapping[str, object]) -> None:
    for key in _COMPLETION_KEYS:
        value = raw.get(key)
        if type(value) is not str:
            if key not in raw:
                raise BadRow(_lacks(raw, key), "missing-key")
            raise BadRow(f"{key} is {_not_text(value)}", _value_code(value))
    if len(raw) > 2:
        extra = ", ".join(_quoted(key) for key in raw if key not in _COMPLETION_KEYS)
        raise BadRow(f"unexpected key {extra}; a row is prompt and completion", "extra-key")
    if not raw["completion"]:
        raise BadRow("completion is empty: there is nothing to learn from it", "empty-completion")


def _lacks(raw: Mapping[str, object], key: str) -> str:
    if any(known in raw for known in _COMPLETION_KEYS):
        return f"{key} is missing"
    found = ", ".join(_quoted(name) for name in list(raw)[:5]) or "nothing"
    return f"neither prompt and completion nor messages; it has {found}"


def _check_chat(raw: Raw) -> int:
    """BadRow when `raw` is no chat; else how many strings it holds."""
    extra = ", ".join(_quoted(key) for key in raw if key not in _CHAT_KEYS)
    if extra:
        raise BadRow(
            f"unexpected key {extra}; a chat row is messages, and perhaps tools", "extra-key"
        )
    messages = raw["messages"]
    if not isinstance(messages, list):
        raise BadRow(f"messages is {_kind(messages)}, not a list")
    if not messages:
        raise BadRow("messages is empty")
    plain = len(raw) == 1
    for index, message in enumerate(messages):
        if not _is_plain(message):
            plain = False
            _check_message(message, f"messages[{index}]")
    last = messages[-1]
    assert isinstance(last, dict)  # as every message now is
    if last["role"] != "assistant":
        raise BadRow("the last message is not the assistant's", "no-answer")
    if not isinstance(last.get("content"), str) or not last["content"]:
        raise BadRow("the last message has no text: there is nothing to learn from it", "no-answer")
    return 1 + 4 * len(messages) if plain else _count_all(raw)


def _count_all(raw: Raw) -> int:
    count = count_strings(raw)
    if count is None:
        raise BadRow(f"nested deeper than {MAX_DEPTH} levels", "too-deep")
    return count


def _is_plain(message: object) -> bool:
    """Whether `message` is nothing but a known role and a text, as nearly all are."""
    return (
        type(message) is dict
        and len(message) == 2
        and type(message.get("content")) is str
        and type(role := message.get("role")) is str
        and role in _ROLES
    )


def _check_message(message: object, where: str) -> None:
    if not isinstance(message, dict):
        raise BadRow(f"{where} is {_kind(message)}, not an object")
    if "role" not in message:
        raise BadRow(f"{where}.role is missing")
    role = message["role"]
    if not isinstance(role, str) or role not in _ROLES:
        shown = _quoted(role) if isinstance(role, str) else _kind(role)
        raise BadRow(
            f"{where}.role is {shown}; it is one of {', '.join(sorted(_ROLES))}", "bad-role"
        )
    extra = ", ".join(_quoted(key) for key in message if key not in _MESSAGE_KEYS)
    if extra:
        raise BadRow(f"{where} has the unexpected key {extra}")
    weight = message.get("weight", 1)
    if type(weight) is not int or weight not in (0, 1):
        raise BadRow(f"{where}.weight is neither 0 nor 1", "bad-weight")
    if "name" in message and not isinstance(message["name"], str):
        raise BadRow(f"{where}.name is {_not_text(message['name'])}")
    _check_content(message, role, where)


def _check_content(message: Mapping[str, object], role: str, where: str) -> None:
    content = message.get("content")
    if isinstance(content, str):
        return
    calls = "tool_calls" in message or "function_call" in message
    if content is None and role == "assistant" and calls:
        return
    if "content" not in message:
        raise BadRow(f"{where}.content is missing")
    if not isinstance(content, list):
        raise BadRow(f"{where}.content is {_not_text(content)}")
    for index, part in enumerate(content):
        if not isinstance(part, dict) or not isinstance(part.get("text"), str):
            raise BadRow(f"{where}.content[{index}] is not a text part; only text is supported")


def _value_code(value: object) -> str:
    return "null-value" if value is None else "not-text"


def _not_text(value: object) -> str:
    return "null" if value is None else f"{_kind(value)}, not text"


def _quoted(text: str) -> str:
    """`text` for a message: in quotes, escaped, not longer than 40 characters."""
    return repr(text if len(text) <= 40 else text[:39] + "…")
