"""Statistics of a data file, from one pass.

Memory grows with the file only by 8 bytes per row: for the hashes that find equal rows.
"""

import hashlib
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from ftops.data.batch_parser import RowBatch
from ftops.data.checks.duplicates import index_first, list_repeats
from ftops.data.profile import are_labels, may_be_labels
from ftops.data.reading.options import ReadOptions
from ftops.data.reading.source import open_source
from ftops.data.rows import read_batches
from ftops.files import measure_path
from ftops.records import Json, RowFormat
from ftops.rows.formats import CHAT, COMPLETION, PREFERENCE
from ftops.rows.tools import write_tools

_ALPHABET = {*range(0xC6, 0xE2)}  # U+0180 to U+1FFF, as first bytes of UTF-8
_DENSE = {*range(0xE2, 0xF5)}  # and beyond
_NOT_ALPHABET = bytes(set(range(256)) - _ALPHABET)
_NOT_DENSE = bytes(set(range(256)) - _DENSE)


@dataclass(frozen=True, slots=True)
class CharCounts:
    """The characters of texts, in groups with similar numbers of tokens per character.

    `latin` are Latin letters and symbols, `alphabet` other alphabets (Greek, Cyrillic, Arabic,
    Hindi, …), and `dense` scripts with many tokens per character (Chinese, Japanese, Korean,
    emoji).
    """

    latin: int = 0
    alphabet: int = 0
    dense: int = 0

    def __add__(self, other: "CharCounts") -> "CharCounts":
        return CharCounts(
            self.latin + other.latin, self.alphabet + other.alphabet, self.dense + other.dense
        )


def count_chars(text: str) -> CharCounts:
    """Count the characters of a text by the first byte of each in UTF-8."""
    if text.isascii():
        return CharCounts(len(text))
    data = text.encode("utf-8", "replace")
    alphabet = len(data.translate(None, _NOT_ALPHABET))
    dense = len(data.translate(None, _NOT_DENSE))
    return CharCounts(len(text) - alphabet - dense, alphabet, dense)


@dataclass(frozen=True, slots=True)
class DataSummary:
    """Statistics of one data file; `letters` are those of prompts, completions, messages and tools.

    `classes` counts the rows of each completion if completions are labels. `messages` is 0 for
    completion rows.
    """

    path: Path
    format: RowFormat
    rows: int
    bytes: int
    sha256: str
    classes: Mapping[str, int] | None
    letters: CharCounts
    messages: int
    longest_completion_chars: int
    duplicate_rows: int  # equal to an earlier row of the file
    row_hashes: "array[int]" = field(repr=False, compare=False)


class SummaryBuilder:
    """Counts rows, a batch at a time."""

    def __init__(self) -> None:
        self.rows = 0
        self._format = COMPLETION
        self._letters = CharCounts()
        self._messages = 0
        self._longest = 0
        self._labels: Counter[str] | None = Counter()
        self._hashes = array("q")

    def add(self, batch: RowBatch) -> None:
        """Count the rows of a batch."""
        if not batch.raws:
            return
        self.rows += len(batch.raws)
        self._format = batch.format
        self._longest = max(self._longest, *batch.completion_lengths())
        self._letters += _count_texts(batch.prompts, batch.prompt_text())
        self._letters += _count_texts(batch.completions, batch.completion_text())
        self._letters += _count_texts(batch.others, "".join(batch.others))
        if batch.format is not COMPLETION:
            self._count_messages(batch)
        if self._labels is not None:
            self._labels.update(batch.completions_in_nfc())
            self._labels = self._labels if may_be_labels(self._labels) else None
        self._hashes.extend(batch.row_hashes())

    def _count_messages(self, batch: RowBatch) -> None:
        """Count messages and tools; the newlines that join the messages of a prompt are removed."""
        answers, newlines = 2 if batch.format is PREFERENCE else 1, 0
        for raw in batch.raws:
            chat = cast("dict[str, list[Json]]", raw.get("input", raw))
            prompts = len(chat["messages"]) - (batch.format is CHAT)
            self._messages += prompts + answers
            newlines += max(prompts - 1, 0)
            for tools in write_tools(chat).values():
                self._letters += count_chars(tools)
        self._letters += CharCounts(-newlines)

    def summary(self, path: Path, size: int, sha256: str) -> DataSummary:
        """The summary of the file at `path` of `size` bytes."""
        classes = None
        if self._labels is not None and are_labels(self._labels, self.rows):
            classes = dict(sorted(self._labels.items(), key=lambda item: (-item[1], item[0])))
        return DataSummary(
            path=path,
            format=self._format,
            rows=self.rows,
            bytes=size,
            sha256=sha256,
            classes=classes,
            letters=self._letters,
            messages=self._messages,
            longest_completion_chars=self._longest,
            duplicate_rows=list_repeats(self._hashes)[0],
            row_hashes=self._hashes,
        )


def _count_texts(texts: Sequence[str], joined: str) -> CharCounts:
    if joined.isascii():
        return CharCounts(sum(map(len, texts)))
    return sum(map(count_chars, texts), CharCounts())


class ContentHasher:
    """Computes the size and the SHA-256 of a stream of bytes."""

    def __init__(self) -> None:
        self.bytes = 0
        self._digest = hashlib.sha256()

    def add(self, piece: bytes) -> None:
        self.bytes += len(piece)
        self._digest.update(piece)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


def check_file(path: Path, options: ReadOptions | None = None) -> DataSummary:
    """The summary of valid data. Raises DatasetError if a row is invalid."""
    builder = SummaryBuilder()
    for batch in read_batches(open_source(path, options)):
        builder.add(batch)
    size, digest = measure_path(path)
    return builder.summary(path, size, digest)


def count_overlap(training: DataSummary, validation: DataSummary) -> int:
    """The number of validation rows that are also training rows."""
    return len(index_first(training.row_hashes, validation.row_hashes))
