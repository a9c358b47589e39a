"""Texts are sent to a judge in bounded batches, each of them once, and what he says is kept."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

from ftops.data.screening.verdicts import Verdicts

# The categories in which each of the texts is harmful; empty for one that is not.
Judge: TypeAlias = Callable[[Sequence[str]], list[tuple[str, ...]]]

MOST_TEXTS = 32
# UTF-8; about 4,000 tokens of English, where the smallest accounts have 10,000 a minute
MOST_BYTES = 16_384


class Courtroom:
    """Asks the judge only about texts whose verdicts are not known."""

    def __init__(self, judge: Judge, verdicts: Verdicts, on_sent: Callable[[int], None]) -> None:
        self._judge = judge
        self._verdicts = verdicts
        self._on_sent = on_sent
        self.sent = 0  # texts

    def judge(self, rows: Iterable[Sequence[str]]) -> list[frozenset[str]]:
        """What is harmful in each row, by all of its texts.

        Verdicts are kept after each request, so that an error, or a death, loses at most one.
        """
        pieces = [[piece for text in row for piece in cut_text(text)] for row in rows]
        distinct = dict.fromkeys(piece for row in pieces for piece in row)
        unknown = [piece for piece in distinct if self._verdicts.find(piece) is None]
        for batch in cut_batches(unknown):
            self._verdicts.add(batch, self._judge(batch))
            self.sent += len(batch)
            self._on_sent(self.sent)
        return [
            frozenset(name for piece in row for name in self._verdicts.find(piece) or ())
            for row in pieces
        ]


def cut_text(text: str) -> list[str]:
    """The text, in pieces when it is longer than a request; nothing of a blank one.

    Half a surrogate pair, which no request can carry, becomes a question mark.
    """
    if not text.strip():
        return []
    encoded = text.encode("utf-8", "replace")
    pieces = []
    while len(encoded) > MOST_BYTES:
        end = MOST_BYTES
        while encoded[end] & 0xC0 == 0x80:  # within a character
            end -= 1
        pieces.append(encoded[:end].decode())
        encoded = encoded[end:]
    return [*pieces, encoded.decode()]


def cut_batches(texts: Iterable[str]) -> Iterator[list[str]]:
    """The texts in their order, at most MOST_TEXTS and MOST_BYTES at a time."""
    batch: list[str] = []
    size = 0
    for text in texts:
        length = len(text.encode())
        if batch and (len(batch) == MOST_TEXTS or size + length > MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += length
    if batch:
        yield batch
