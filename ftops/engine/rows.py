"""Reads and checks a training file, line by line, in constant memory.

A file holds completion rows (`prompt`, `completion`) or chat rows (`messages`), one JSON object a
line, never both. One good row is enough. What is wrong is told by line number and reason: all bad
lines are counted, the first ones are named.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import orjson

from ftops.records import Json, RowFormat

MAX_LINE_BYTES = 4 << 20
MAX_CLASSES = 1000  # distinct answers are counted up to here
_NAMED_PROBLEMS = 5
_BOM = b"\xef\xbb\xbf"
_ROLES = frozenset({"system", "developer", "user", "assistant"})
_MESSAGE_KEYS = frozenset({"role", "content", "name", "weight"})


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


TrainingRow: TypeAlias = CompletionRow | ChatRow


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
    text = row.completion if isinstance(row, CompletionRow) else row.turns[-1].content
    return text.strip()


def format_of(row: TrainingRow) -> RowFormat:
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
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        reason = error.msg.partition(": line")[0]  # it would call every line the first
        raise _BadRow(f"not valid JSON: {reason} (column {error.colno})") from None
    if not isinstance(value, dict):
        raise _BadRow("not a JSON object")
    if "messages" in value:
        return _parse_chat(value)
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
    for key in ("tools", "functions", "parallel_tool_calls"):
        if value.get(key):
            raise _BadRow(f"{key}: the local engine does not train tool use")
    known = frozenset({"messages", "tools", "functions", "parallel_tool_calls"})
    _refuse_others(value, known, "the row")
    messages = value["messages"]
    if not isinstance(messages, list) or not messages:
        raise _BadRow("messages is not a list of messages")
    turns = tuple(_parse_turn(message, place) for place, message in enumerate(messages))
    if turns[-1].role != "assistant":
        raise _BadRow("the last message is not the assistant's")
    if not any(turn.trained for turn in turns):
        raise _BadRow("no assistant message has a weight other than 0")
    return ChatRow(turns)


def _parse_turn(message: Json, place: int) -> Turn:
    where = f"messages[{place}]"
    if not isinstance(message, dict):
        raise _BadRow(f"{where} is {_kind(message)}, not an object")
    role = message.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        shown = _quoted(role) if isinstance(role, str) else _kind(role)
        raise _BadRow(f"{where}.role is {shown}, not one of {', '.join(sorted(_ROLES))}")
    for key in ("tool_calls", "function_call"):
        if message.get(key):
            raise _BadRow(f"{where}.{key}: the local engine does not train tool use")
    _refuse_others(message, _MESSAGE_KEYS | {"tool_calls", "function_call", "refusal"}, where)
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
    for part in content:
        text = part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
        if not isinstance(text, str):
            raise _BadRow(f"{where}.content holds something other than text")
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
