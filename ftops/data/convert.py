"""Converts rows to another row format if nothing is lost or guessed."""

import csv
import io
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO, cast

import orjson

from ftops.data.reading.source import Source
from ftops.data.rows import Row, RowErrors, read_source_rows
from ftops.errors import DatasetError
from ftops.records import Json, RowFormat
from ftops.rows.messages import InvalidRow, JsonObject, message_text
from ftops.rows.tools import CALL_KEYS

SYSTEM, OTHER = "system", "non_preferred_output"
DROPPABLE = frozenset(
    {SYSTEM, OTHER, "tools", "functions", "parallel_tool_calls", "name", "weight"}
)
_SYSTEM_ROLES = ("system", "developer")
_KNOWN_KEYS = frozenset({"role", "content"})


@dataclass(frozen=True, slots=True)
class Conversion:
    """The row format to convert to (None keeps each row's own), and how.

    Completion rows that become chats lose their `separator` and `stop`, and get `system` as system
    message. `dropped` names the keys that may be lost, and `system` for system messages.
    """

    row_format: RowFormat | None = None
    separator: str = ""
    stop: str = ""
    system: str | None = None
    dropped: Collection[str] = ()


def convert(
    source: Source, stream: BinaryIO, conversion: Conversion, *, as_csv: bool = False
) -> tuple[int, RowFormat]:
    """Write the converted rows of `source`; returns their number and their row format.

    Chats with one question become completion rows. Content that the row format cannot hold is an
    error, unless `conversion.dropped` names it. Raises DatasetError with the lines of such rows.
    """
    bad = RowErrors(source.name)
    shape = wanted = conversion.row_format

    def change(row: Row) -> JsonObject:
        made = wanted or row.format
        if as_csv and made is not RowFormat.COMPLETION:
            raise DatasetError(
                f"{source.name}:{row.line}: a {made} row, and CSV has columns for prompt and"
                " completion",
                hint="Add --to completion, or name the output .jsonl.",
            )
        return convert_row(row, conversion)

    def good() -> Iterator[JsonObject]:
        nonlocal shape
        for row in read_source_rows(source):
            shape = wanted or row.format
            try:
                raw = change(row)
            except InvalidRow as error:
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


def convert_row(row: Row, conversion: Conversion) -> JsonObject:
    """The converted row; its texts are unchanged except for the separator and the stop sequence.

    Raises InvalidRow if the row format cannot hold the row.
    """
    wanted, dropped = conversion.row_format or row.format, conversion.dropped
    if dropped and row.format is not RowFormat.COMPLETION:
        row = replace(row, raw=_give_up(row.raw, dropped))
    if row.format is wanted:
        return row.raw
    if wanted is RowFormat.PREFERENCE:
        raise InvalidRow(
            f"a {row.format} row has one answer, and a preference needs two to choose of"
        )
    if row.format is RowFormat.COMPLETION:
        prompt, completion = str(row.raw["prompt"]), str(row.raw["completion"])
        return make_chat(
            prompt,
            completion,
            conversion.system,
            separator=conversion.separator,
            stop=conversion.stop,
        )
    messages = row.messages
    if wanted is RowFormat.CHAT:
        _give_up_other(row, dropped)
        asked = cast(JsonObject, row.raw["input"])
        return {**asked, "messages": [*messages]}
    _give_up_other(row, dropped)
    return _to_pair(row, messages)


def make_chat(
    prompt: str, completion: str, system: str | None, *, separator: str = "", stop: str = ""
) -> JsonObject:
    """A chat with one question and its answer; InvalidRow if either is empty.

    Removes the separator and the stop sequence. If the row has either, it also removes the space
    that starts a legacy completion. All other white space stays.
    """
    question, answer = prompt.removesuffix(separator), completion.removesuffix(stop)
    if separator or stop:
        answer = answer.removeprefix(" ")
    if not question:
        raise InvalidRow("prompt is empty, so a chat has no question")
    if not answer:
        raise InvalidRow("completion holds nothing but its marks")
    messages: list[Json] = [
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer},
    ]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    return {"messages": messages}


def _give_up(raw: JsonObject, dropped: Collection[str]) -> JsonObject:
    """A chat or a preference without the keys in `dropped`."""
    if "input" in raw:
        return {**raw, "input": _give_up(cast(JsonObject, raw["input"]), dropped)}
    messages: list[Json] = [
        {key: value for key, value in message.items() if key not in dropped}
        for message in cast("list[JsonObject]", raw["messages"])
        if SYSTEM not in dropped or message["role"] not in _SYSTEM_ROLES
    ]
    return {
        **{key: value for key, value in raw.items() if key not in dropped},
        "messages": messages,
    }


def _give_up_other(row: Row, dropped: Collection[str]) -> None:
    """InvalidRow if the non-preferred answer would be lost without `--drop`."""
    if row.format is RowFormat.PREFERENCE and OTHER not in dropped:
        raise InvalidRow(
            f"a chat has one answer, and no place for {OTHER}; --drop {OTHER} gives it up"
        )


def _to_pair(row: Row, messages: list[JsonObject]) -> JsonObject:
    for number, message in enumerate(messages):
        if any(message.get(key) for key in CALL_KEYS):
            raise InvalidRow(f"messages[{number}] calls a tool, and a pair has no place for calls")
    top = cast(JsonObject, row.raw.get("input", row.raw))
    if len(top) > 1:
        extra = ", ".join(key for key in top if key != "messages")
        raise InvalidRow(f"a pair of prompt and completion has no place for {extra}")
    more = {key for message in messages for key in message} - _KNOWN_KEYS
    if more:
        raise InvalidRow(
            "a message has more than role and content, and a pair has no place for it:"
            f" {', '.join(sorted(more))}"
        )
    if messages[0]["role"] in _SYSTEM_ROLES:
        raise InvalidRow("a pair has no place for the system message")
    if [message["role"] for message in messages] != ["user", "assistant"]:
        raise InvalidRow("only a chat of one question and its answer becomes prompt and completion")
    return {"prompt": message_text(messages[0]), "completion": message_text(messages[1])}


def _write_lines(raws: Iterable[JsonObject], stream: BinaryIO) -> None:
    for raw in raws:
        stream.write(orjson.dumps(raw, option=orjson.OPT_APPEND_NEWLINE))


def _write_csv(raws: Iterable[JsonObject], stream: BinaryIO) -> None:
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
    try:
        writer = csv.writer(text, lineterminator="\n")
        quoting = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerow(["prompt", "completion"])
        for raw in raws:
            cells = [str(raw["prompt"]), str(raw["completion"])]
            # a carriage return without quotes ends the row for every reader
            (quoting if "\r" in "".join(cells) else writer).writerow(cells)
    finally:
        text.flush()
        text.detach()
