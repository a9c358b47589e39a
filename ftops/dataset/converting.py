"""Rows of one shape become rows of another, where nothing is lost or guessed."""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import BinaryIO, cast

import orjson

from ftops.dataset.calls import CALL_KEYS
from ftops.dataset.messages import BadRow, Raw, message_text
from ftops.dataset.reading.source import Source
from ftops.dataset.rows import BadRows, Row, read_source_rows
from ftops.errors import DatasetError
from ftops.records import Json, RowFormat

_KNOWN_KEYS = frozenset({"role", "content"})


def convert(
    source: Source,
    stream: BinaryIO,
    *,
    wanted: RowFormat | None = None,
    as_csv: bool = False,
    separator: str = "",
    stop: str = "",
    system: str | None = None,
    without_system: bool = False,
) -> tuple[int, RowFormat]:
    """Write the rows of `source` in the shape `wanted` (None: their own); how many, and which.

    Pairs that become chats lose their `separator` and `stop` and get the message `system`. Chats
    of one question become pairs; `without_system` gives their system message up. DatasetError,
    with places, for what cannot be converted.
    """
    bad = BadRows(source.name)
    shape = wanted

    def change(row: Row) -> Raw:
        return convert_row(
            row, wanted or row.format, separator, stop, system, without_system=without_system
        )

    def good() -> Iterator[Raw]:
        nonlocal shape
        for row in read_source_rows(source):
            shape = wanted or row.format
            try:
                raw = change(row)
            except BadRow as error:
                bad.add(row.line, str(error))
                continue
            bad.good += 1
            if not bad.bad:
                yield raw

    write = _write_csv if as_csv else _write_lines
    write(good(), stream)
    if bad.bad:
        raise bad.error()
    return bad.good, shape or RowFormat.COMPLETION


def convert_row(
    row: Row,
    wanted: RowFormat,
    separator: str = "",
    stop: str = "",
    system: str | None = None,
    *,
    without_system: bool = False,
) -> Raw:
    """The row in that shape; BadRow when it cannot be had."""
    if row.format is wanted:
        return row.raw
    if wanted is RowFormat.PREFERENCE:
        raise BadRow(f"a {row.format} row has one answer, and a preference needs two to choose of")
    if row.format is RowFormat.COMPLETION:
        prompt, completion = str(row.raw["prompt"]), str(row.raw["completion"])
        return make_chat(
            prompt.removesuffix(separator).strip(), completion.removesuffix(stop).strip(), system
        )
    messages = row.messages
    if wanted is RowFormat.CHAT:
        asked = cast(Raw, row.raw["input"])
        return {**asked, "messages": [*messages]}
    return _to_pair(row, messages, without_system)


def make_chat(question: str, answer: str, system: str | None) -> Raw:
    """A chat of one question; BadRow when there is no question or no answer."""
    if not question:
        raise BadRow("prompt is empty, so a chat has no question")
    if not answer:
        raise BadRow("completion holds nothing but white space and the stop sequence")
    messages: list[Json] = [
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer},
    ]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    return {"messages": messages}


def _to_pair(row: Row, messages: list[Raw], without_system: bool) -> Raw:
    for number, message in enumerate(messages):
        if any(message.get(key) for key in CALL_KEYS):
            raise BadRow(f"messages[{number}] calls a tool, and a pair has no place for calls")
    top = cast(Raw, row.raw.get("input", row.raw))
    if len(top) > 1:
        extra = ", ".join(key for key in top if key != "messages")
        raise BadRow(f"a pair of prompt and completion has no place for {extra}")
    if any(set(message) - _KNOWN_KEYS for message in messages):
        raise BadRow("a message has more than role and content, and a pair has no place for it")
    if messages[0]["role"] in ("system", "developer"):
        if not without_system:
            raise BadRow("a pair has no place for the system message")
        messages = messages[1:]
    if [message["role"] for message in messages] != ["user", "assistant"]:
        raise BadRow("only a chat of one question and its answer becomes prompt and completion")
    return {"prompt": message_text(messages[0]), "completion": message_text(messages[1])}


def _write_lines(raws: Iterable[Raw], stream: BinaryIO) -> None:
    for raw in raws:
        stream.write(orjson.dumps(raw, option=orjson.OPT_APPEND_NEWLINE))


def _write_csv(raws: Iterable[Raw], stream: BinaryIO) -> None:
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
    try:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["prompt", "completion"])
        for raw in raws:
            if "prompt" not in raw:
                raise DatasetError(
                    "CSV has columns for prompt and completion, and these rows are no pairs",
                    hint="Add --to completion, or name the output .jsonl.",
                )
            writer.writerow([raw["prompt"], raw["completion"]])
    finally:
        text.flush()
        text.detach()
