"""Reads and checks a training file, line by line, in constant memory.

A file holds completion rows (`prompt`, `completion`), chat rows (`messages`) or preference rows
(`input`, `preferred_output`, `non_preferred_output`), one JSON object a line, all of one kind. One
good row is enough. What is wrong is told by line number and reason: all bad lines are counted, the
first ones are named.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import orjson

from ftops.engine.bounded_json import TooManyValues, read_bounded
from ftops.records import Json, RowFormat

MAX_LINE_BYTES = 4 << 20
MAX_CLASSES = 1000  # distinct answers are counted up to here
_NAMED_PROBLEMS = 5
_BOM = b"\xef\xbb\xbf"
_ROLES = frozenset({"system", "developer", "user", "assistant"})
_MESSAGE_KEYS = frozenset({"role", "content", "name", "weight"})
_TOOL_KEYS = ("tools", "functions", "parallel_tool_calls")
_OUTPUTS = ("preferred_output", "non_preferred_output")


@dataclass(frozen=True, slots=True)
class CompletionRow:
    """A text and how it goes on."""

    prompt: str
    completion: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a chat; `trained` only for what the model is to learn to say."""

    role: str
    content: str
    trained: bool = False


@dataclass(frozen=True, slots=True)
class ChatRow:
    """A chat that ends with the assistant's word."""

    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class PreferenceRow:
    """A chat that ends with the user's word, the answer that was preferred, and another one."""

    turns: tuple[Turn, ...]
    preferred: str
    other: str


TrainingRow: TypeAlias = CompletionRow | ChatRow | PreferenceRow


@dataclass(frozen=True, slots=True)
class FileSummary:
    """What a good file holds; `answers` None: more than `MAX_CLASSES` different ones."""

    format: RowFormat
    rows: int
    answers: frozenset[str] | None


class BadFile(Exception):
    """The file cannot be trained on; the text says which lines and why."""


class _BadRow(Exception):
    pass


def answer_of(row: TrainingRow) -> str:
    """What the model is to say at the end of the row, without the spaces around it."""
    match row:
        case CompletionRow(completion=text) | PreferenceRow(preferred=text):
            return text.strip()
        case ChatRow(turns=turns):
            return turns[-1].content.strip()


_FORMATS = {
    CompletionRow: RowFormat.COMPLETION,
    ChatRow: RowFormat.CHAT,
    PreferenceRow: RowFormat.PREFERENCE,
}


def format_of(row: TrainingRow) -> RowFormat:
    return _FORMATS[type(row)]


def spoken_format(row: TrainingRow) -> RowFormat:
    """How a model that learned of the row is asked: preferences are about chats."""
    return RowFormat.COMPLETION if isinstance(row, CompletionRow) else RowFormat.CHAT


def check_file(path: Path) -> FileSummary:
    """Read the whole file; BadFile when a line is no good or none is there."""
    problems: list[str] = []
    bad = rows = 0
    found: RowFormat | None = None
    answers: set[str] | None = set()
    for number, row in _parsed(path):
        if isinstance(row, _BadRow):
            reason: str | None = str(row)
        elif found is not None and format_of(row) is not found:
            reason = f"a {format_of(row)} row in a file of {found} rows"
        else:
            reason = None
            found = format_of(row)
            rows += 1
            if answers is not None:
                answers.add(answer_of(row))
                answers = None if len(answers) > MAX_CLASSES else answers
        if reason is not None:
            bad += 1
            if len(problems) < _NAMED_PROBLEMS:
                problems.append(f"line {number}: {reason}")
    if bad:
        more = f" (and {bad - len(problems)} more bad lines)" if bad > len(problems) else ""
        raise BadFile("; ".join(problems) + more)
    if found is None:
        raise BadFile("line 1: the file holds no row")
    return FileSummary(found, rows, None if answers is None else frozenset(answers))


def read_rows(path: Path) -> Iterator[TrainingRow]:
    """The rows of a file that `check_file` found good; BadFile if it is not."""
    for number, row in _parsed(path):
        if isinstance(row, _BadRow):
            raise BadFile(f"line {number}: {row}")
        yield row


def _parsed(path: Path) -> Iterator[tuple[int, TrainingRow | _BadRow]]:
    with path.open("rb") as stream:
        number = 0
        while line := stream.readline(MAX_LINE_BYTES + 1):
            number += 1
            if number == 1:
                line = line.removeprefix(_BOM)
            if len(line) > MAX_LINE_BYTES:
                raise BadFile(f"line {number}: it is longer than {MAX_LINE_BYTES >> 20} MiB")
            if not line.strip():
                continue
            try:
                yield number, _parse_row(line)
            except _BadRow as problem:
                yield number, problem


def _parse_row(line: bytes) -> TrainingRow:
    try:
        value = read_bounded(line)
    except TooManyValues as error:
        raise _BadRow(str(error)) from None
    except orjson.JSONDecodeError as error:
        reason = error.msg.partition(": line")[0]  # it would call every line the first
        raise _BadRow(f"not valid JSON: {reason} (column {error.colno})") from None
    if not isinstance(value, dict):
        raise _BadRow("not a JSON object")
    if "messages" in value:
        return _parse_chat(value)
    if isinstance(value.get("input"), dict) or any(key in value for key in _OUTPUTS):
        return _parse_preference(value)
    return _parse_completion(value)


def _parse_completion(value: Mapping[str, Json]) -> CompletionRow:
    for key in ("prompt", "completion"):
        if key not in value:
            raise _BadRow(f"{key} is missing")
    _refuse_others(value, frozenset({"prompt", "completion"}), "the row")
    prompt, completion = value["prompt"], value["completion"]
    if not isinstance(prompt, str):
        raise _BadRow(f"prompt is {_kind(prompt)}, not a text")
    if not isinstance(completion, str):
        raise _BadRow(f"completion is {_kind(completion)}, not a text")
    if not completion:
        raise _BadRow("completion is empty")
    return CompletionRow(prompt, completion)


def _parse_chat(value: Mapping[str, Json]) -> ChatRow:
    turns = _parse_turns(value, "")
    if turns[-1].role != "assistant":
        raise _BadRow("the last message is not the assistant's")
    if not any(turn.trained for turn in turns):
        raise _BadRow("no assistant message has a weight other than 0")
    return ChatRow(turns)


def _parse_preference(value: Mapping[str, Json]) -> PreferenceRow:
    for key in ("input", *_OUTPUTS):
        if key not in value:
            raise _BadRow(f"{key} is missing")
    _refuse_others(value, frozenset({"input", *_OUTPUTS}), "the row")
    asked = value["input"]
    if not isinstance(asked, dict):
        raise _BadRow(f"input is {_kind(asked)}, not an object with messages")
    if "messages" not in asked:
        raise _BadRow("input.messages is missing")
    turns = _parse_turns(asked, "input.")
    if turns[-1].role == "assistant":
        raise _BadRow("input ends with the assistant's word: there is nothing to answer")
    preferred, other = (_parse_output(value[key], key) for key in _OUTPUTS)
    if preferred.strip() == other.strip():
        raise _BadRow("preferred_output and non_preferred_output are the same")
    return PreferenceRow(turns, preferred, other)


def _parse_output(messages: Json, where: str) -> str:
    """The assistant's one message."""
    if not isinstance(messages, list) or len(messages) != 1:
        raise _BadRow(f"{where} is not a list of one message")
    message = messages[0]
    if isinstance(message, dict) and "weight" in message:
        raise _BadRow(f"{where}[0].weight: both answers count in full")
    turn = _parse_turn(message, f"{where}[0]")
    if turn.role != "assistant":
        raise _BadRow(f"{where}[0] is not the assistant's")
    return turn.content


def _parse_turns(value: Mapping[str, Json], inside: str) -> tuple[Turn, ...]:
    """The messages of an object that holds nothing else; `inside` says where it stands."""
    for key in _TOOL_KEYS:
        if value.get(key):
            raise _BadRow(f"{inside}{key}: the local engine does not train tool use")
    place = inside.rstrip(".") or "the row"
    _refuse_others(value, frozenset({"messages", *_TOOL_KEYS}), place)
    messages = value["messages"]
    if not isinstance(messages, list) or not messages:
        raise _BadRow(f"{inside}messages is not a list of messages")
    return tuple(
        _parse_turn(message, f"{inside}messages[{number}]")
        for number, message in enumerate(messages)
    )


def _parse_turn(message: Json, where: str) -> Turn:
    if not isinstance(message, dict):
        raise _BadRow(f"{where} is {_kind(message)}, not an object")
    role = message.get("role")
    if role in ("tool", "function"):
        raise _BadRow(f"{where}.role is {role!r}: the local engine does not train tool use")
    if not isinstance(role, str) or role not in _ROLES:
        shown = _quoted(role) if isinstance(role, str) else _kind(role)
        raise _BadRow(f"{where}.role is {shown}, not one of {', '.join(sorted(_ROLES))}")
    for key in ("tool_calls", "function_call"):
        if message.get(key):
            raise _BadRow(f"{where}.{key}: the local engine does not train tool use")
    for key in ("refusal", "audio"):
        if message.get(key):
            raise _BadRow(f"{where}.{key}: the local engine trains on content alone")
    passed = {"tool_calls", "function_call", "refusal", "audio"}
    _refuse_others(message, _MESSAGE_KEYS | passed, where)
    weight = message.get("weight")
    if weight is not None and (
        isinstance(weight, bool) or weight not in (0, 1) or role != "assistant"
    ):
        raise _BadRow(f"{where}.weight is only for the assistant, and 0 or 1")
    content = _text_of(message.get("content"), where)
    if role == "assistant" and not content:
        raise _BadRow(f"{where}.content is empty")
    return Turn(role, content, trained=role == "assistant" and weight != 0)


def _text_of(content: Json, where: str) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise _BadRow(f"{where}.content is {_kind(content)}, not a text")
    pieces: list[str] = []
    for number, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(kind, str) and kind != "text":
            reason = "the local engine trains on text alone"
            raise _BadRow(f"{where}.content[{number}] is of type {kind!r}: {reason}")
        text = part.get("text") if isinstance(part, dict) and kind == "text" else None
        if not isinstance(text, str):
            raise _BadRow(f"{where}.content[{number}] is not a part of type text")
        pieces.append(text)
    return "".join(pieces)


def _refuse_others(value: Mapping[str, Json], known: frozenset[str], where: str) -> None:
    for key in value:
        if key not in known:
            raise _BadRow(f"{where} has an unknown key {_quoted(key)}")


def _quoted(text: str) -> str:
    """`text` for a message: in quotes, escaped, not longer than 40 characters."""
    return repr(text if len(text) <= 40 else text[:39] + "…")


def _kind(value: Json) -> str:
    if value is None:
        return "null"
    names = {bool: "true or false", int: "a number", float: "a number", str: "a text"}
    return names.get(type(value), "a list" if isinstance(value, list) else "an object")
