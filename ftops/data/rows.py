"""Rows of training data and of prompts, with their ids; errors have file, line and reason.

A row of prompts needs no completion; if it has one, it is ignored.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import repeat
from pathlib import Path
from typing import BinaryIO, cast

import orjson

from ftops.data.batch_parser import BatchParser, RowBatch
from ftops.data.reading.batch import RowError
from ftops.data.reading.options import AS_IS, Format, ReadOptions
from ftops.data.reading.recognition import suggest_columns
from ftops.data.reading.source import Source, open_source
from ftops.errors import DatasetError
from ftops.records import Chat, Message, Prompt, RowFormat, ToolCall
from ftops.rows.formats import COMPLETION, PREFERENCE
from ftops.rows.messages import (
    InvalidRow,
    JsonObject,
    check_message,
    describe_non_text,
    describe_type,
    message_text,
)
from ftops.rows.tools import CHAT_OPTIONS, MESSAGE_OPTIONS, answer_text, read_calls

_SHOWN_ROWS = 10
_ID_CHARS = 16
_FREE = frozenset({Format.JSONL, Format.JSON, Format.TXT})  # records without fixed columns
_NOTHING = "{{}}"  # a template without columns: completions are not read


@dataclass(frozen=True, slots=True)
class Row:
    """A valid row: its line in the file (from 1), its format, and the JSON object."""

    line: int
    format: RowFormat
    raw: JsonObject

    @property
    def prompt(self) -> Prompt:
        """The prompt, or all messages but the answer, with the tools."""
        if self.format is COMPLETION:
            return cast(str, self.raw["prompt"])
        inside = self.raw["input"] if self.format is PREFERENCE else self.raw
        return _make_chat(self.messages[:-1], cast(JsonObject, inside))

    @property
    def completion(self) -> str:
        """The answer: the completion, the last message, or the preferred answer.

        Tool calls are part of it, as the JSON of `rows.tools.write_calls`.
        """
        if self.format is COMPLETION:
            return cast(str, self.raw["completion"])
        return answer_text(self.messages[-1])

    @property
    def answer(self) -> Message:
        """The answer of a chat, with its tool calls."""
        return _make_message(self.messages[-1])

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls in the answer."""
        return () if self.format is COMPLETION else read_calls(self.messages[-1])

    @property
    def messages(self) -> list[JsonObject]:
        """The messages of a chat; of a preference, with the preferred answer."""
        if self.format is PREFERENCE:
            prompt_chat = cast(dict[str, list[JsonObject]], self.raw["input"])
            return prompt_chat["messages"] + cast(list[JsonObject], self.raw["preferred_output"])
        return cast(list[JsonObject], self.raw["messages"])

    @property
    def other(self) -> str:
        """The non-preferred answer of a preference; "" in other rows."""
        messages = cast(list[JsonObject], self.raw.get("non_preferred_output") or [])
        return "".join(message_text(message) for message in messages)


@dataclass(slots=True)
class RowErrors:
    """The invalid rows of a file: their number, and the first ten with reasons.

    `columns` are suggested options for a row without known keys.
    """

    path: Path | str
    good: int = 0
    bad: int = 0
    shown: list[str] = field(default_factory=list)
    columns: str = ""

    def add(self, line: int, reason: str) -> None:
        self.bad += 1
        if len(self.shown) < _SHOWN_ROWS:
            self.shown.append(f"{self.path}:{line}: {reason}")

    def add_error(self, row_error: RowError) -> None:
        """Add all the records that `row_error` covers."""
        self.bad += row_error.count
        if row_error.code == "missing-key" and not self.columns:
            self.columns = suggest_columns(row_error.record)
        shown = min(row_error.count, _SHOWN_ROWS - len(self.shown))
        for line in range(row_error.place, row_error.place + shown):
            self.shown.append(f"{self.path}:{line}: {row_error.reason}")

    def error(self) -> DatasetError:
        """All row errors as one DatasetError."""
        total = self.good + self.bad
        rows = "row is" if total == 1 else "rows are"
        lines = [f"{self.path}: {self.bad} of {total} {rows} bad", *self.shown]
        if self.bad > len(self.shown):
            lines.append(f"… and {self.bad - len(self.shown)} more")
        hint = ""
        if self.columns:
            hint = f"Name the columns, such as {self.columns} (in a job file under `prepare:`)."
        return DatasetError("\n".join(lines), hint=hint)


def read_rows(path: Path, options: ReadOptions | None = None) -> Iterator[Row]:
    """The valid rows of a file; at its end DatasetError if there were invalid ones.

    The error has their number and the first ten: data is valid only when the iterator ends.
    """
    yield from read_source_rows(open_source(path, options))


def read_source_rows(source: Source) -> Iterator[Row]:
    """The valid rows of an open source; at its end DatasetError if there were invalid ones."""
    for rows in read_batches(source):
        yield from map(Row, rows.places, repeat(rows.format), rows.raws)


def read_batches(source: Source) -> Iterator[RowBatch]:
    """The same rows in batches."""
    bad = RowErrors(source.name)
    parser = BatchParser(unit=source.unit)
    for batch in source.batches():
        rows = parser.parse(batch)
        for row_error in rows.row_errors:
            bad.add_error(row_error)
        bad.good += len(rows.raws)
        yield rows
    if bad.bad:
        raise bad.error()
    if not bad.good:
        raise DatasetError(
            f"{source.name}: the file holds no rows", hint="One JSON object a line is a row."
        )


def prompt_text(row: Row) -> str:
    """The input of the model as text: the prompt, or all messages but the answer."""
    if row.format is COMPLETION:
        return str(row.raw["prompt"])
    return "\n".join(map(answer_text, row.messages[:-1]))


def row_id(row: Row) -> str:
    """64 bits of the SHA-256 of the row's JSON with sorted keys, as 16 hex digits.

    Files that outlive a command, such as annotations, contain these ids, so they must not change.
    """
    return raw_id(row.raw)


def raw_id(raw: JsonObject) -> str:
    """The same id, from the row's JSON object."""
    return sha256(orjson.dumps(raw, option=orjson.OPT_SORT_KEYS)).hexdigest()[:_ID_CHARS]


@dataclass(frozen=True, slots=True)
class PromptRow:
    """One prompt with its line (or row) in the file, from 1."""

    line: int
    prompt: Prompt


def read_prompts(
    path: Path | None, options: ReadOptions | None = None, *, stdin: BinaryIO | None = None
) -> list[PromptRow]:
    """All prompts of the file (None: of standard input), in order.

    A line of plain text is a prompt. DatasetError if rows are invalid (it lists the first ten), and
    if there are no prompts.
    """
    source = _open_prompts(path, replace(options or ReadOptions(), layout=AS_IS), stdin)
    bad = RowErrors(source.name)
    prompts = list(_read_prompt_rows(source, bad))
    if bad.bad:
        raise bad.error()
    if not prompts:
        raise DatasetError(
            f"{source.name}: the file holds no rows", hint="One JSON object a line is a row."
        )
    return prompts


def _open_prompts(path: Path | None, options: ReadOptions, stdin: BinaryIO | None) -> Source:
    content = stdin.read() if path is None and stdin is not None else b""  # it may be opened twice

    def open_with(chosen: ReadOptions) -> Source:
        return open_source(path, chosen, stdin=io.BytesIO(content) if path is None else None)

    source = open_with(replace(options, completion=_NOTHING))
    if source.format in _FREE and options.prompt is None:
        return open_with(replace(options, completion=None))
    return source


def _read_prompt_rows(source: Source, bad: RowErrors) -> Iterator[PromptRow]:
    for batch in source.batches():
        for row_error in batch.row_errors:
            bad.add_error(row_error)
        for place, record in zip(batch.places, batch.values, strict=True):
            try:
                prompt = _read_prompt(record, source.format)
            except InvalidRow as error:
                bad.add(place, str(error))
                continue
            bad.good += 1
            yield PromptRow(place, prompt)


def _read_prompt(record: object, kind: Format) -> Prompt:
    if not isinstance(record, dict):
        raise InvalidRow(f"{describe_type(record)}, not an object in braces", "not-an-object")
    preference = record.get("input")
    if isinstance(preference, dict):
        return _read_chat(preference)
    if "messages" in record:
        return _read_chat(record)
    key = "completion" if kind is Format.TXT else "prompt"
    if key not in record:
        raise InvalidRow("it has neither prompt nor messages", "missing-key")
    prompt = record[key]
    if not isinstance(prompt, str):
        raise InvalidRow(f"prompt is {describe_non_text(prompt)}")
    return prompt


def _read_chat(record: JsonObject) -> Chat:
    messages = record.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidRow("messages is not a list of messages")
    for index, message in enumerate(messages):
        check_message(message, f"messages[{index}]")
    turns = cast(list[JsonObject], messages)
    prompt = turns[:-1] if turns[-1]["role"] == "assistant" else turns
    if not prompt:
        raise InvalidRow("messages holds an answer alone: there is nothing to ask")
    return _make_chat(prompt, record)


def _make_message(message: JsonObject) -> Message:
    extra = {key: message[key] for key in MESSAGE_OPTIONS if message.get(key)}
    return Message(cast(str, message["role"]), message_text(message), extra)


def _make_chat(messages: Sequence[JsonObject], options: JsonObject) -> Chat:
    return Chat(
        tuple(map(_make_message, messages)),
        {key: options[key] for key in CHAT_OPTIONS if options.get(key) not in (None, [])},
    )
