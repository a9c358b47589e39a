"""Tokens row by row: sums, lengths, and how many of them are learned."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from ftops.data.rows import Row, read_rows
from ftops.data.tokens.counter import Counter
from ftops.data.tokens.pieces import Piece, cut_row

_AT_ONCE = 256


@dataclass(slots=True)
class TokenFigures:
    """The tokens of rows, one pass over them.

    `lengths` has those of each row and `answers` those that are learned of it, in the order of the
    rows.
    """

    lengths: "array[int]" = field(default_factory=lambda: array("L"))
    answers: "array[int]" = field(default_factory=lambda: array("L"))

    @property
    def tokens(self) -> int:
        return sum(self.lengths)

    def add(self, pieces: Sequence[Piece], counts: Sequence[int]) -> None:
        """Take in a row, with the tokens of each piece, marks included."""
        self.lengths.append(sum(counts))
        self.answers.append(sum_learned(pieces, counts))


def count_pieces(
    rows: Iterable[Row], counter: Counter
) -> Iterator[tuple[Row, list[Piece], list[int]]]:
    """Each row with its pieces and the tokens of each piece, marks included."""
    waiting = iter(rows)
    while some := list(islice(waiting, _AT_ONCE)):
        cut = [cut_row(row) for row in some]
        counts = iter(counter.count([piece.text for pieces in cut for piece in pieces]))
        for row, pieces in zip(some, cut, strict=True):
            yield row, pieces, [next(counts) + piece.marks for piece in pieces]


def sum_learned(pieces: Sequence[Piece], counts: Sequence[int]) -> int:
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


def count_file(path: Path, counter: Counter, limit: int | None = None) -> FileTokens:
    """The tokens of a prepared file: of a row no more than `limit`, and at least one."""
    tokens = long_rows = 0
    for _, _, counts in count_pieces(read_rows(path), counter):
        length = max(1, sum(counts))
        if limit is not None and length > limit:
            length = limit
            long_rows += 1
        tokens += length
    return FileTokens(tokens, long_rows)
