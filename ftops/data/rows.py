"""Reads training data row by row; what is wrong is told with file, line and reason."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import cast

from ftops.data.batch_parser import BatchParser
from ftops.data.reading.batch import RowError
from ftops.data.reading.options import ReadOptions
from ftops.data.reading.recognition import suggest_columns
from ftops.data.reading.source import Source, open_source
from ftops.errors import DatasetError
from ftops.records import Message, Prompt, RowFormat
from ftops.rows.formats import COMPLETION, PREFERENCE
from ftops.rows.messages import JsonObject, message_text
from ftops.rows.tools import answer_text

_SHOWN_ROWS = 10


@dataclass(frozen=True, slots=True)
class Row:
    """One good row: its line in the file, from 1, its shape, and the JSON object as it stood."""

    line: int
    format: RowFormat
    raw: JsonObject

    @property
    def prompt(self) -> Prompt:
        """What the model is given: the prompt, or all messages but the answer."""
        if self.format is COMPLETION:
            return cast(str, self.raw["prompt"])
        return tuple(
            Message(role=cast(str, message["role"]), content=message_text(message))
            for message in self.messages[:-1]
        )

    @property
    def completion(self) -> str:
        """What the model should answer: the completion, the last message, the preferred one.

        Calls of tools are part of it, as the JSON that `calls.py` writes.
        """
        if self.format is COMPLETION:
            return cast(str, self.raw["completion"])
        return answer_text(self.messages[-1])

    @property
    def messages(self) -> list[JsonObject]:
        """The messages of a chat, as they stood; of a preference, with the preferred answer."""
        if self.format is PREFERENCE:
            asked = cast(dict[str, list[JsonObject]], self.raw["input"])
            return asked["messages"] + cast(list[JsonObject], self.raw["preferred_output"])
        return cast(list[JsonObject], self.raw["messages"])

    @property
    def other(self) -> str:
        """The answer of a preference row that was not preferred; nothing in other rows."""
        found = cast(list[JsonObject], self.raw.get("non_preferred_output") or [])
        return "".join(message_text(message) for message in found)


@dataclass(slots=True)
class RowErrors:
    """What was wrong in a file: how many rows, and the first ten with their reasons.

    `columns` are options that name columns of a row without any key that is known.
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
        """Add all the records that `row error` stands for."""
        self.bad += row_error.count
        if row_error.code == "missing-key" and not self.columns:
            self.columns = suggest_columns(row_error.record)
        room = min(row_error.count, _SHOWN_ROWS - len(self.shown))
        for line in range(row_error.place, row_error.place + room):
            self.shown.append(f"{self.path}:{line}: {row_error.reason}")

    def error(self) -> DatasetError:
        """All of it as one error."""
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
    """The good rows of any readable data; then DatasetError if there was a bad one.

    The error has the count and the first ten, so only a reader who came to the end knows that the
    data is good.
    """
    yield from read_source_rows(open_source(path, options))


def read_source_rows(source: Source) -> Iterator[Row]:
    """The good rows of a source that was opened; then DatasetError, likewise."""
    bad = RowErrors(source.name)
    parser = BatchParser(unit=source.unit)
    for batch in source.batches():
        rows = parser.parse(batch)
        for row_error in rows.row_errors:
            bad.add_error(row_error)
        bad.good += len(rows.raws)
        yield from map(Row, rows.places, repeat(rows.format), rows.raws)
    if bad.bad:
        raise bad.error()
    if not bad.good:
        raise DatasetError(
            f"{source.name}: the file holds no rows", hint="One JSON object a line is a row."
        )
