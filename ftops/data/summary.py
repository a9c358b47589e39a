"""Statistics of a data file, from one pass.

Memory grows with the file only by 8 bytes per row: at most 100 different short completions are
counted as classes, and duplicates are counted by 64-bit hashes of the rows.
"""

import hashlib
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import orjson

from ftops.data.reading.options import ReadOptions
from ftops.data.rows import Row, read_rows
from ftops.files import measure_path
from ftops.records import RowFormat
from ftops.rows.formats import COMPLETION, PREFERENCE
from ftops.rows.messages import JsonObject
from ftops.rows.tools import answer_text, number_calls, write_tools
from ftops.text import json_to_nfc, to_nfc

MAX_CLASSES = 100
_MAX_CLASS_CHARS = 200
_HASH_BITS = 0xFFFF_FFFF_FFFF_FFFF
_BUCKETS = 256
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

    `classes` counts the rows of each completion if completions look like labels: at most 100
    different ones, and fewer than a third of the rows. `messages` is 0 for completion rows.
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
    row_hashes: "Sequence[array[int]]" = field(repr=False, compare=False)  # in buckets


class SummaryBuilder:
    """Counts rows, one by one."""

    def __init__(self) -> None:
        self.rows = 0
        self._format = COMPLETION
        self._latin = 0
        self._other = CharCounts()
        self._messages = 0
        self._longest = 0
        self._classes: dict[str, int] | None = {}
        self._hashes = [array("Q") for _ in range(_BUCKETS)]

    def add(self, row: Row) -> None:
        """Count one row."""
        self.rows += 1
        self._format = row.format
        if row.format is COMPLETION:
            self._add_text(str(row.raw["prompt"]))
            completion = str(row.raw["completion"])
        else:
            messages = row.messages
            self._messages += len(messages)
            if row.format is PREFERENCE:
                self._messages += 1
                self._add_text(row.other)
            for message in messages[:-1]:
                self._add_text(answer_text(message))
            for offered in write_tools(cast(JsonObject, row.raw.get("input", row.raw))).values():
                self._add_text(offered)
            completion = answer_text(messages[-1])
        self._add_text(completion)
        if len(completion) > self._longest:
            self._longest = len(completion)
        if self._classes is not None:
            self._count_class(completion)
        value = _row_hash(row)
        self._hashes[value % _BUCKETS].append(value)

    def summary(self, path: Path, size: int, sha256: str) -> DataSummary:
        """The summary of the file at `path` of `size` bytes."""
        classes = self._classes
        if classes is not None and len(classes) * 3 < self.rows:
            ordered = sorted(classes.items(), key=lambda item: (-item[1], item[0]))
            classes = dict(ordered)
        else:
            classes = None
        return DataSummary(
            path=path,
            format=self._format,
            rows=self.rows,
            bytes=size,
            sha256=sha256,
            classes=classes,
            letters=self._other + CharCounts(self._latin),
            messages=self._messages,
            longest_completion_chars=self._longest,
            duplicate_rows=sum(len(bucket) - len(set(bucket)) for bucket in self._hashes),
            row_hashes=self._hashes,
        )

    def _add_text(self, text: str) -> None:
        if text.isascii():
            self._latin += len(text)
        else:
            self._other += count_chars(text)

    def _count_class(self, completion: str) -> None:
        classes = self._classes
        assert classes is not None
        label = to_nfc(completion)
        classes[label] = classes.get(label, 0) + 1
        if len(classes) > MAX_CLASSES or len(completion) > _MAX_CLASS_CHARS:
            self._classes = None


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


def summarize(rows: Iterable[Row]) -> SummaryBuilder:
    """Count all `rows`."""
    tally = SummaryBuilder()
    for row in rows:
        tally.add(row)
    return tally


def check_file(path: Path, options: ReadOptions | None = None) -> DataSummary:
    """The summary of valid data. Raises DatasetError if a row is invalid."""
    tally = summarize(read_rows(path, options))
    size, digest = measure_path(path)
    return tally.summary(path, size, digest)


def count_overlap(training: DataSummary, validation: DataSummary) -> int:
    """The number of validation rows that are also training rows."""
    count = 0
    for trained, held_out in zip(training.row_hashes, validation.row_hashes, strict=True):
        if held_out:
            known = set(held_out).intersection(trained)
            count += sum(value in known for value in held_out)
    return count


def _row_hash(row: Row) -> int:
    """A 64-bit hash; equal rows have equal hashes within one process."""
    if row.format is COMPLETION:
        pair = to_nfc(str(row.raw["prompt"])), to_nfc(str(row.raw["completion"]))
        return hash(pair) & _HASH_BITS
    raw = number_calls(row.raw)
    return hash(json_to_nfc(orjson.dumps(raw, option=orjson.OPT_SORT_KEYS))) & _HASH_BITS
