"""Tokens row by row: sums, lengths, and how many of them are learned."""

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import cast

from ftops.data.rows import Row, read_rows
from ftops.data.tokens.counter import TOKENS_A_CHAT, TOKENS_A_MESSAGE, VocabularyCounter
from ftops.records import Json, RowFormat
from ftops.rows.messages import JsonObject, message_text
from ftops.rows.tools import write_calls, write_tools

_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class RowSegment:
    """A text with its role; `trained` when the model learns to say it.

    `marks` are tokens beside those of the text: who speaks, where a message ends.
    """

    role: str
    text: str
    trained: bool
    marks: int = 0


def split_row(row: Row) -> list[RowSegment]:
    """The pieces of a row in the order in which the model reads them.

    Of a preference, both answers are learned from: the one to be said rather than the other.
    """
    if row.format is RowFormat.COMPLETION:
        return [
            RowSegment("prompt", str(row.raw["prompt"]), trained=False),
            RowSegment("completion", str(row.raw["completion"]), trained=True),
        ]
    if row.format is RowFormat.CHAT:
        return [*_cut_tools(row.raw), *_cut_chat(cast("list[JsonObject]", row.raw["messages"]))]
    asked = cast(JsonObject, row.raw["input"])
    answers = [
        RowSegment(name, message_text(message), trained=True, marks=TOKENS_A_MESSAGE)
        for name, key in (("preferred", "preferred_output"), ("other", "non_preferred_output"))
        for message in cast("list[JsonObject]", row.raw[key])
    ]
    chat = _cut_chat(cast("list[JsonObject]", asked["messages"]), learned=False)
    return [*_cut_tools(asked), *chat, *answers]


def _cut_tools(raw: Mapping[str, Json]) -> Iterator[RowSegment]:
    """The tools that a chat may use, as JSON: how they are written out is the provider's own."""
    for key, text in write_tools(raw).items():
        yield RowSegment(key, text, trained=False)


def _cut_chat(messages: list[JsonObject], *, learned: bool = True) -> Iterator[RowSegment]:
    begin = TOKENS_A_CHAT
    for message in messages:
        role = cast(str, message["role"])
        trained = learned and role == "assistant" and message.get("weight", 1) != 0
        text = message_text(message) + write_calls(message, verbatim=True)
        yield RowSegment(role, text, trained, TOKENS_A_MESSAGE + begin)
        begin = 0


@dataclass(slots=True)
class TokenCounts:
    """The tokens of rows, one pass over them.

    `lengths` has those of each row and `answers` those that are learned of it, in the order of the
    rows.
    """

    lengths: "array[int]" = field(default_factory=lambda: array("L"))
    answers: "array[int]" = field(default_factory=lambda: array("L"))

    @property
    def tokens(self) -> int:
        return sum(self.lengths)

    def add(self, pieces: Sequence[RowSegment], counts: Sequence[int]) -> None:
        """Take in a row, with the tokens of each piece, marks included."""
        self.lengths.append(sum(counts))
        self.answers.append(sum_trained(pieces, counts))


def count_segments(
    rows: Iterable[Row], counter: VocabularyCounter
) -> Iterator[tuple[Row, list[RowSegment], list[int]]]:
    """Each row with its pieces and the tokens of each piece, marks included."""
    waiting = iter(rows)
    while some := list(islice(waiting, _AT_ONCE)):
        cut = [split_row(row) for row in some]
        counts = iter(counter.count([piece.text for pieces in cut for piece in pieces]))
        for row, pieces in zip(some, cut, strict=True):
            yield row, pieces, [next(counts) + piece.marks for piece in pieces]


def sum_trained(pieces: Sequence[RowSegment], counts: Sequence[int]) -> int:
    """The tokens of what is learned; marks at the beginning of a message are not."""
    learned = (
        count - piece.marks for piece, count in zip(pieces, counts, strict=True) if piece.trained
    )
    return sum(learned)


@dataclass(frozen=True, slots=True)
class FileTokens:
    """The tokens of a file, counted once, and the rows that are longer than the model reads."""

    tokens: int
    long_rows: int = 0


def count_file_tokens(
    path: Path, counter: VocabularyCounter, limit: int | None = None
) -> FileTokens:
    """The tokens of a prepared file: of a row no more than `limit`, and at least one."""
    tokens = long_rows = 0
    for _, _, counts in count_segments(read_rows(path), counter):
        length = max(1, sum(counts))
        if limit is not None and length > limit:
            length = limit
            long_rows += 1
        tokens += length
    return FileTokens(tokens, long_rows)
