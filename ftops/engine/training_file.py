"""Reads and checks a training file, line by line, in constant memory.

A file holds rows of one format of `ftops.rows.formats`, one JSON object a line; one row is enough.
The engine trains only on text: it refuses tool use, refusals and empty assistant messages. An error
counts all invalid lines, and names the first ones with their reasons.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, cast

import orjson

from ftops.engine.bounded_json import TooManyValues, read_bounded
from ftops.records import Json, RowFormat
from ftops.rows.formats import OUTPUTS, check_row
from ftops.rows.json_values import count_quotes, duplicate_reason
from ftops.rows.messages import InvalidRow, JsonObject, message_text
from ftops.rows.tools import find_tool_use

MAX_LINE_BYTES = 4 << 20
MAX_CLASSES = 1000  # distinct answers are counted up to this number
_NAMED_PROBLEMS = 5
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class CompletionRow:
    """A prompt and its completion."""

    prompt: str
    completion: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a chat; `trained` when the loss counts its content."""

    role: str
    content: str
    trained: bool = False


@dataclass(frozen=True, slots=True)
class ChatRow:
    """A chat that ends with an assistant message."""

    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class PreferenceRow:
    """A chat without its answer, the preferred answer and the other one."""

    turns: tuple[Turn, ...]
    preferred: str
    other: str


TrainingRow: TypeAlias = CompletionRow | ChatRow | PreferenceRow


@dataclass(frozen=True, slots=True)
class FileSummary:
    """The content of a valid file; `answers` is None above `MAX_CLASSES` distinct ones."""

    format: RowFormat
    rows: int
    answers: frozenset[str] | None


class InvalidTrainingFile(Exception):
    """The file cannot be trained on; the message has the lines and the reasons."""


def get_answer(row: TrainingRow) -> str:
    """The answer at the end of the row, without surrounding white space."""
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


def get_format(row: TrainingRow) -> RowFormat:
    return _FORMATS[type(row)]


def get_request_format(row: TrainingRow) -> RowFormat:
    """The request format of a model trained on the row: also chat for preferences."""
    return RowFormat.COMPLETION if isinstance(row, CompletionRow) else RowFormat.CHAT


def check_file(path: Path) -> FileSummary:
    """Read the whole file; InvalidTrainingFile when a line is invalid or there is no row."""
    problems: list[str] = []
    bad = rows = 0
    found: RowFormat | None = None
    answers: set[str] | None = set()
    for number, row in _parsed(path):
        if isinstance(row, InvalidRow):
            reason: str | None = str(row)
        elif found is not None and get_format(row) is not found:
            reason = f"a {get_format(row)} row in a file of {found} rows"
        else:
            reason = None
            found = get_format(row)
            rows += 1
            if answers is not None:
                answers.add(get_answer(row))
                answers = None if len(answers) > MAX_CLASSES else answers
        if reason is not None:
            bad += 1
            if len(problems) < _NAMED_PROBLEMS:
                problems.append(f"line {number}: {reason}")
    if bad:
        more = f" (and {bad - len(problems)} more bad lines)" if bad > len(problems) else ""
        raise InvalidTrainingFile("; ".join(problems) + more)
    if found is None:
        raise InvalidTrainingFile("line 1: the file holds no row")
    return FileSummary(found, rows, None if answers is None else frozenset(answers))


def read_rows(path: Path) -> Iterator[TrainingRow]:
    """The rows of a valid file; InvalidTrainingFile at the first invalid line."""
    for number, row in _parsed(path):
        if isinstance(row, InvalidRow):
            raise InvalidTrainingFile(f"line {number}: {row}")
        yield row


def _parsed(path: Path) -> Iterator[tuple[int, TrainingRow | InvalidRow]]:
    with path.open("rb") as stream:
        number = 0
        while line := stream.readline(MAX_LINE_BYTES + 1):
            number += 1
            if number == 1:
                line = line.removeprefix(_BOM)
            if len(line) > MAX_LINE_BYTES:
                raise InvalidTrainingFile(
                    f"line {number}: it is longer than {MAX_LINE_BYTES >> 20} MiB"
                )
            if not line.strip():
                continue
            try:
                yield number, _parse_row(line)
            except InvalidRow as problem:
                yield number, problem


def _parse_row(line: bytes) -> TrainingRow:
    try:
        value = read_bounded(line)
    except TooManyValues as error:
        raise InvalidRow(str(error)) from None
    except orjson.JSONDecodeError as error:
        reason = error.msg.partition(": line")[0]  # orjson counts every line as the first
        raise InvalidRow(f"not valid JSON: {reason} (column {error.colno})") from None
    if isinstance(value, dict) and (where := find_tool_use(value)):
        raise InvalidRow(f"{where}: the local engine does not train tool use")
    row, row_format, strings = check_row(value)
    if count_quotes(line) != 2 * strings:
        raise InvalidRow(duplicate_reason(line), "duplicate-key")
    if row_format is RowFormat.COMPLETION:
        return CompletionRow(cast(str, row["prompt"]), cast(str, row["completion"]))
    if row_format is RowFormat.CHAT:
        turns = _read_turns(row["messages"], "messages")
        if not any(turn.trained for turn in turns):
            raise InvalidRow("no assistant message has a weight other than 0")
        return ChatRow(turns)
    prompt = cast(JsonObject, row["input"])["messages"]
    preferred, other = (_read_turns(row[key], key)[0].content for key in OUTPUTS)
    return PreferenceRow(_read_turns(prompt, "input.messages"), preferred, other)


def _read_turns(messages: Json, where: str) -> tuple[Turn, ...]:
    """The messages of a valid row; InvalidRow if the engine cannot train on one."""
    valid = cast("list[JsonObject]", messages)
    return tuple(_read_turn(message, f"{where}[{n}]") for n, message in enumerate(valid))


def _read_turn(message: JsonObject, where: str) -> Turn:
    role, content = cast(str, message["role"]), message_text(message)
    if message.get("refusal"):
        raise InvalidRow(f"{where}.refusal: the local engine trains on content alone")
    if "weight" in message and role != "assistant":
        raise InvalidRow(f"{where}.weight is only for the assistant")
    if role == "assistant" and not content:
        raise InvalidRow(f"{where}.content is empty")
    return Turn(role, content, trained=role == "assistant" and message.get("weight") != 0)
