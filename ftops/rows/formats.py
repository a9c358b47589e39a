"""The formats of a training row; each error names the key and the reason.

A completion row has `prompt` and `completion`, and no other key. A chat row has `messages`, and
optionally tools. A preference row has `input` (a chat without its answer) and one assistant message
each in `preferred_output` and `non_preferred_output`. A chat may end with tool calls instead of
text. The optional keys of a message (`name`, `weight`, tool calls) are checked and kept.
"""

from collections.abc import Collection, Mapping
from typing import cast

from ftops.records import Json, RowFormat
from ftops.rows.json_values import MAX_DEPTH, count_strings, has_null
from ftops.rows.messages import (
    MESSAGE_NULLS,
    SCHEMA_NULLS,
    InvalidRow,
    JsonObject,
    UnexpectedKeys,
    check_message,
    describe_non_text,
    describe_type,
    drop_nulls,
    get_value_code,
    is_plain,
    message_text,
    quote,
)
from ftops.rows.tools import CALL_KEYS, answer_text, check_tools
from ftops.text import to_nfc

# The look-up of an enum member is slow in a loop over a million rows.
COMPLETION, CHAT, PREFERENCE = RowFormat.COMPLETION, RowFormat.CHAT, RowFormat.PREFERENCE
PAIR_KEYS = ("prompt", "completion")
OUTPUTS = ("preferred_output", "non_preferred_output")
PREFERENCE_KEYS = ("input", *OUTPUTS)
INPUT_KEYS = frozenset({"messages", "tools", "parallel_tool_calls"})
ROW_KEYS = frozenset({*PAIR_KEYS, *OUTPUTS, "messages"})  # a row has at least one of these
CHAT_KEYS = frozenset({"messages", "tools", "parallel_tool_calls", "functions"})


def check_format(raw: object) -> tuple[RowFormat, int]:
    """The format of a row and its number of strings, keys included; InvalidRow if it has none."""
    if not isinstance(raw, dict):
        raise InvalidRow(f"{describe_type(raw)}, not an object in braces", "not-an-object")
    if "messages" in raw:
        return CHAT, _check_chat(raw)
    if is_preference(raw):
        _check_preference(raw)
        return PREFERENCE, _count_all(raw)
    _check_completion(raw)
    return COMPLETION, 4


def check_row(value: object) -> tuple[JsonObject, RowFormat, int]:
    """The row, its format and its number of strings; InvalidRow if it has no format.

    Drops the nulls that data frames write for keys of other rows.
    """
    try:
        return cast(JsonObject, value), *check_format(value)
    except InvalidRow:
        return check_row_without_nulls(value)


def check_row_without_nulls(value: object) -> tuple[JsonObject, RowFormat, int]:
    """The same for a value that `check_format` refuses, since it may be valid without nulls."""
    strings = count_strings(value) if has_null(value) else None
    row = cast(JsonObject, value) if strings is None else _without_nulls(cast(JsonObject, value))
    return row, check_format(row)[0], strings or 0


def is_preference(raw: Mapping[str, object]) -> bool:
    """Whether the keys are those of a preference row; `input` counts only as an object."""
    return any(key in raw for key in OUTPUTS) or isinstance(raw.get("input"), dict)


def _without_nulls(raw: JsonObject) -> JsonObject:
    """The row without the nulls that data frames write for keys of other rows.

    A null in place of the row's text or messages stays, and is an error. The row must not be nested
    deeper than `MAX_DEPTH`.
    """
    own: Collection[str] = PAIR_KEYS
    if raw.get("messages") is not None:
        own = ()
    elif any(raw.get(key) is not None for key in PREFERENCE_KEYS) and is_preference(raw):
        own = PREFERENCE_KEYS
    elif all(raw.get(key) is None for key in PAIR_KEYS):
        return raw
    row = {key: value for key, value in raw.items() if value is not None or key in own}
    for key in ("messages", *OUTPUTS):
        if key in row:
            row[key] = drop_nulls(row[key], MESSAGE_NULLS)
    prompt = row.get("input")
    if isinstance(prompt, dict):
        prompt = {key: value for key, value in prompt.items() if value is not None}
        row["input"] = {**prompt, "messages": drop_nulls(prompt.get("messages"), MESSAGE_NULLS)}
    for holder in (row, row.get("input")):
        if isinstance(holder, dict) and "tools" in holder:
            holder["tools"] = drop_nulls(holder["tools"], SCHEMA_NULLS)
    return row


def _check_completion(raw: Mapping[str, object]) -> None:
    for key in PAIR_KEYS:
        value = raw.get(key)
        if type(value) is not str:
            if key not in raw:
                raise InvalidRow(_lacks(raw, key), "missing-key")
            raise InvalidRow(f"{key} is {describe_non_text(value)}", get_value_code(value))
    if len(raw) > 2:
        extra = [key for key in raw if key not in PAIR_KEYS]
        raise UnexpectedKeys(extra, "a row is prompt and completion")
    if not raw["completion"]:
        raise InvalidRow(
            "completion is empty: there is nothing to learn from it", "empty-completion"
        )


def _lacks(raw: Mapping[str, object], key: str) -> str:
    if any(known in raw for known in PAIR_KEYS):
        return f"{key} is missing"
    keys = ", ".join(quote(name) for name in list(raw)[:12]) or "no keys"
    return f"neither prompt and completion nor messages; it has {keys}"


def _check_chat(raw: JsonObject) -> int:
    """The number of strings in a chat; InvalidRow if `raw` is not a valid chat."""
    extra = [key for key in raw if key not in CHAT_KEYS]
    if extra:
        raise UnexpectedKeys(extra, "a chat row is messages, and optionally tools")
    messages = raw["messages"]
    if not isinstance(messages, list):
        raise InvalidRow(f"messages is {describe_type(messages)}, not a list")
    if not messages:
        raise InvalidRow("messages is empty")
    plain = len(raw) == 1
    for index, message in enumerate(messages):
        if not is_plain(message):
            plain = False
            check_message(message, f"messages[{index}]")
    if not plain:
        check_tools(raw, cast("list[JsonObject]", messages))
    last = messages[-1]
    assert isinstance(last, dict)  # checked above for every message
    if last["role"] != "assistant":
        raise InvalidRow("the last message is not the assistant's", "no-answer")
    if not answer_text(last):
        raise InvalidRow(
            "the last message has no text and calls no tool: there is nothing to learn from it",
            "no-answer",
        )
    return 1 + 4 * len(messages) if plain else _count_all(raw)


def _count_all(raw: JsonObject) -> int:
    count = count_strings(raw)
    if count is None:
        raise InvalidRow(f"nested deeper than {MAX_DEPTH} levels", "too-deep")
    return count


def _check_preference(raw: JsonObject) -> None:
    for key in PREFERENCE_KEYS:
        if key not in raw:
            raise InvalidRow(f"{key} is missing", "missing-key")
    extra = [key for key in raw if key not in PREFERENCE_KEYS]
    if extra:
        raise UnexpectedKeys(extra, f"a preference row is {', '.join(PREFERENCE_KEYS)}")
    _check_input(raw["input"])
    preferred, other = (_check_output(raw[key], key) for key in OUTPUTS)
    if to_nfc(preferred.strip()) == to_nfc(other.strip()):
        raise InvalidRow("preferred_output and non_preferred_output are the same", "equal-answers")


def _check_input(prompt: Json) -> None:
    if not isinstance(prompt, dict):
        raise InvalidRow(
            f"input is {describe_type(prompt)}, not an object with messages", "bad-preference"
        )
    extra = [key for key in prompt if key not in INPUT_KEYS]
    if extra:
        raise UnexpectedKeys(extra, "it is messages, and optionally tools", "input has the ")
    messages = prompt.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidRow("input.messages is not a list of messages", "bad-preference")
    for index, message in enumerate(messages):
        check_message(message, f"input.messages[{index}]")
    check_tools(prompt, cast("list[JsonObject]", messages), "input.")
    if isinstance(messages[-1], dict) and messages[-1]["role"] == "assistant":
        raise InvalidRow(
            "input ends with the assistant's message: there is nothing to answer", "bad-preference"
        )


def _check_output(messages: Json, where: str) -> str:
    """The text of the only message, which must be from the assistant."""
    if not isinstance(messages, list) or len(messages) != 1:
        raise InvalidRow(f"{where} is not a list of one message", "bad-preference")
    message = messages[0]
    check_message(message, f"{where}[0]")
    assert isinstance(message, dict)
    if message["role"] != "assistant":
        raise InvalidRow(f"{where}[0] is not the assistant's", "bad-preference")
    if "weight" in message:
        raise InvalidRow(f"{where}[0].weight: both answers count in full", "bad-weight")
    text = message_text(message)
    if not text and any(message.get(key) for key in CALL_KEYS):
        raise InvalidRow(f"{where}[0] calls a tool: preferences are between texts", "no-answer")
    if not text:
        raise InvalidRow(f"{where}[0] has no text: there is nothing to learn from it", "no-answer")
    return text
