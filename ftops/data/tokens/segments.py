"""The segments of rows with their tokens: lengths, sums, and how many are trained on."""

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
    """A text of a row with its role; `trained` when the loss counts it.

    `marks` are the tokens of role and end of a message.
    """

    role: str
    text: str
    trained: bool
    marks: int = 0


def split_row(row: Row) -> list[RowSegment]:
    """The segments of a row in order; both answers of a preference are trained on."""
    if row.format is RowFormat.COMPLETION:
        return [
            RowSegment("prompt", str(row.raw["prompt"]), trained=False),
            RowSegment("completion", str(row.raw["completion"]), trained=True),
        ]
    if row.format is RowFormat.CHAT:
        return [*_cut_tools(row.raw), *_cut_chat(cast("list[JsonObject]", row.raw["messages"]))]
    prompt = cast(JsonObject, row.raw["input"])
    answers = [
        RowSegment(name, message_text(message), trained=True, marks=TOKENS_A_MESSAGE)
        for name, key in (("preferred", "preferred_output"), ("other", "non_preferred_output"))
        for message in cast("list[JsonObject]", row.raw[key])
    ]
    chat = _cut_chat(cast("list[JsonObject]", prompt["messages"]), learned=False)
    return [*_cut_tools(prompt), *chat, *answers]


def _cut_tools(raw: Mapping[str, Json]) -> Iterator[RowSegment]:
    """The tools of a chat, as JSON: the provider's own rendering is unknown."""
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
    """The tokens of rows: all of each row in `lengths`, those trained on in `answers`."""

    lengths: "array[int]" = field(default_factory=lambda: array("L"))
    answers: "array[int]" = field(default_factory=lambda: array("L"))

    @property
    def tokens(self) -> int:
        return sum(self.lengths)

    def add(self, pieces: Sequence[RowSegment], counts: Sequence[int]) -> None:
        """Add a row with the tokens of each segment, markers included."""
        self.lengths.append(sum(counts))
        self.answers.append(sum_trained(pieces, counts))


def count_segments(
    rows: Iterable[Row], counter: VocabularyCounter
) -> Iterator[tuple[Row, list[RowSegment], list[int]]]:
    """Each row with its segments and their tokens, markers included."""
    waiting = iter(rows)
    while some := list(islice(waiting, _AT_ONCE)):
        cut = [split_row(row) for row in some]
        counts = iter(counter.count([piece.text for pieces in cut for piece in pieces]))
        for row, pieces in zip(some, cut, strict=True):
            yield row, pieces, [next(counts) + piece.marks for piece in pieces]


def sum_trained(pieces: Sequence[RowSegment], counts: Sequence[int]) -> int:
    """The tokens that are trained on; the markers of messages are not."""
    learned = (
        count - piece.marks for piece, count in zip(pieces, counts, strict=True) if piece.trained
    )
    return sum(learned)


@dataclass(frozen=True, slots=True)
class FileTokens:
    """The tokens of one epoch of a file, and the rows above the limit of the model."""

    tokens: int
    long_rows: int = 0


def count_file_tokens(
    path: Path, counter: VocabularyCounter, limit: int | None = None
) -> FileTokens:
    """The tokens of a prepared file, of each row at least one and at most `limit`."""
    tokens = long_rows = 0
    for _, _, counts in count_segments(read_rows(path), counter):
        length = max(1, sum(counts))
        if limit is not None and length > limit:
            length = limit
            long_rows += 1
        tokens += length
    return FileTokens(tokens, long_rows)
