"""Reads and checks a training file, line by line, in constant memory.

A file holds rows of one format of `ftops.rows.formats`, one JSON object a line; one row is enough.
The engine trains on text and tool calls: it refuses images, refusals and empty assistant messages.
An error counts all invalid lines, and names the first ones with their reasons.
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
from ftops.rows.tools import answer_text

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
    """One message of a chat; `trained` when the loss counts what the assistant says in it.

    `tool_calls` are those of the assistant, `tool_call_id` is the call that a tool's message
    answers.
    """

    role: str
    content: str
    trained: bool = False
    tool_calls: tuple[JsonObject, ...] = ()
    tool_call_id: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class ChatRow:
    """A chat that ends with an assistant message, and the tools that it may call."""

    turns: tuple[Turn, ...]
    tools: tuple[JsonObject, ...] = ()


@dataclass(frozen=True, slots=True)
class PreferenceRow:
    """A chat without its answer, the preferred answer and the other one."""

    turns: tuple[Turn, ...]
    preferred: str
    other: str
    tools: tuple[JsonObject, ...] = ()


TrainingRow: TypeAlias = CompletionRow | ChatRow | PreferenceRow


@dataclass(frozen=True, slots=True)
class FileSummary:
    """The content of a valid file; `answers` is None above `MAX_CLASSES` distinct ones.

    `tools_line` is the first line with tools or their calls.
    """

    format: RowFormat
    rows: int
    answers: frozenset[str] | None
    tools_line: int | None = None


class InvalidTrainingFile(Exception):
    """The file cannot be trained on; the message has the lines and the reasons."""


def get_answer_text(row: TrainingRow) -> str:
    """The answer at the end of the row; calls of tools as JSON."""
    match row:
        case CompletionRow(completion=text) | PreferenceRow(preferred=text):
            return text
        case ChatRow(turns=(*_, Turn(content=text, tool_calls=()))):
            return text
        case ChatRow(turns=(*_, Turn(content=text, tool_calls=calls))):
            return answer_text({"content": text, "tool_calls": list(calls)})
    raise AssertionError(row)  # a chat has a message


def get_answer(row: TrainingRow) -> str:
    """The answer at the end of the row, without surrounding white space."""
    return get_answer_text(row).strip()


def list_texts(row: TrainingRow) -> list[str]:
    """The texts of the row in order, an answer at the end."""
    match row:
        case CompletionRow(prompt=prompt, completion=completion):
            return [prompt, completion]
        case ChatRow(turns=turns):
            return [turn.content for turn in turns]
        case PreferenceRow(turns=turns, preferred=preferred, other=other):
            prompt_texts = [turn.content for turn in turns]
            return [*prompt_texts, preferred, *prompt_texts, other]


def has_tools(row: TrainingRow) -> bool:
    """Whether the row has tools, or messages that call or answer one."""
    return not isinstance(row, CompletionRow) and (
        bool(row.tools) or any(turn.tool_calls or turn.tool_call_id for turn in row.turns)
    )


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
    tools_line: int | None = None
    for number, row in _parsed(path):
        if isinstance(row, InvalidRow):
            reason: str | None = str(row)
        elif found is not None and get_format(row) is not found:
            reason = f"a {get_format(row)} row in a file of {found} rows"
        else:
            reason = None
            found = get_format(row)
            rows += 1
            if tools_line is None and has_tools(row):
                tools_line = number
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
    distinct = None if answers is None else frozenset(answers)
    return FileSummary(found, rows, distinct, tools_line)


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
                yield number, parse_row(line)
            except InvalidRow as problem:
                yield number, problem


def parse_row(line: bytes) -> TrainingRow:
    """The row in a line of JSON; InvalidRow if it cannot be trained on."""
    try:
        value = read_bounded(line)
    except TooManyValues as error:
        raise InvalidRow(str(error)) from None
    except orjson.JSONDecodeError as error:
        reason = error.msg.partition(": line")[0]  # orjson counts every line as the first
        raise InvalidRow(f"not valid JSON: {reason} (column {error.colno})") from None
    row, row_format, strings = check_row(value)
    if count_quotes(line) != 2 * strings:
        raise InvalidRow(duplicate_reason(line), "duplicate-key")
    if row_format is RowFormat.COMPLETION:
        return CompletionRow(cast(str, row["prompt"]), cast(str, row["completion"]))
    if row_format is RowFormat.CHAT:
        turns = _read_turns(row["messages"], "messages")
        if not any(turn.trained for turn in turns):
            raise InvalidRow("no assistant message has a weight other than 0")
        return ChatRow(turns, _read_tools(row, ""))
    chat = cast(JsonObject, row["input"])
    turns = _read_turns(chat["messages"], "input.messages")
    preferred, other = (_read_turns(row[key], key)[0] for key in OUTPUTS)
    if preferred.tool_calls or other.tool_calls:
        raise InvalidRow("an answer calls a tool: preferences are between texts")
    return PreferenceRow(turns, preferred.content, other.content, _read_tools(chat, "input."))


def _read_tools(chat: JsonObject, inside: str) -> tuple[JsonObject, ...]:
    if chat.get("functions"):
        raise InvalidRow(f"{inside}functions: write them as tools")
    return tuple(cast("list[JsonObject]", chat.get("tools") or []))


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
    if role == "function" or message.get("function_call"):
        raise InvalidRow(f"{where}: write a function's call and its answer as those of a tool")
    calls = cast("list[JsonObject]", message.get("tool_calls") or [])
    if role == "assistant" and not content and not calls:
        raise InvalidRow(f"{where}.content is empty")
    return Turn(
        role,
        content,
        trained=role == "assistant" and message.get("weight") != 0,
        tool_calls=tuple(calls),
        tool_call_id=str(message.get("tool_call_id") or ""),
        name=str(message.get("name") or ""),
    )
