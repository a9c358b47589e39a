"""Rows that are to be answered: prompts, or chats that want an answer, from a file of any kind.

Unlike a row to learn from, a question needs no completion; one that stands there is left out.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from ftops.data.reading.options import AS_IS, Format, ReadOptions
from ftops.data.reading.source import Source, open_source
from ftops.data.rows import RowErrors
from ftops.errors import DatasetError
from ftops.records import Message, Prompt
from ftops.rows.messages import (
    InvalidRow,
    check_message,
    describe_non_text,
    describe_type,
    message_text,
)

_FREE = frozenset({Format.JSONL, Format.JSON, Format.TXT})  # records without fixed columns
_NOTHING = "{{}}"  # a template without columns: what stands there is never looked at


@dataclass(frozen=True, slots=True)
class PromptRow:
    """One row: its line (or row) in the file, from 1, and what is asked."""

    line: int
    prompt: Prompt


def read_prompts(
    path: Path | None, options: ReadOptions | None = None, *, stdin: BinaryIO | None = None
) -> list[PromptRow]:
    """All questions of the file (None: of standard input), in their order.

    A line of plain text is a prompt. DatasetError, naming the first ten, when rows are bad, and
    when there is none.
    """
    source = _open(path, replace(options or ReadOptions(), layout=AS_IS), stdin)
    bad = RowErrors(source.name)
    questions = list(_read(source, bad))
    if bad.bad:
        raise bad.error()
    if not questions:
        raise DatasetError(
            f"{source.name}: the file holds no rows", hint="One JSON object a line is a row."
        )
    return questions


def _open(path: Path | None, options: ReadOptions, stdin: BinaryIO | None) -> Source:
    held = stdin.read() if path is None and stdin is not None else b""  # it may be opened twice

    def open_with(chosen: ReadOptions) -> Source:
        return open_source(path, chosen, stdin=io.BytesIO(held) if path is None else None)

    source = open_with(replace(options, completion=_NOTHING))
    if source.format in _FREE and options.prompt is None:
        return open_with(replace(options, completion=None))
    return source


def _read(source: Source, bad: RowErrors) -> Iterator[PromptRow]:
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
    asked = record.get("input")
    if isinstance(asked, dict):  # a preference
        return _read_chat(asked.get("messages"))
    if "messages" in record:
        return _read_chat(record["messages"])
    key = "completion" if kind is Format.TXT else "prompt"
    if key not in record:
        raise InvalidRow("it has neither prompt nor messages", "missing-key")
    prompt = record[key]
    if not isinstance(prompt, str):
        raise InvalidRow(f"prompt is {describe_non_text(prompt)}")
    return prompt


def _read_chat(messages: object) -> Prompt:
    if not isinstance(messages, list) or not messages:
        raise InvalidRow("messages is not a list of messages")
    for index, message in enumerate(messages):
        check_message(message, f"messages[{index}]")
    asked = messages[:-1] if messages[-1]["role"] == "assistant" else messages
    if not asked:
        raise InvalidRow("messages holds an answer alone: there is nothing to ask")
    return tuple(Message(one["role"], message_text(one)) for one in asked)
