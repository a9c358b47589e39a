"""Rows of the validation data that stand in the training data, too.

Sixteen bytes a row are kept, of hashes that are the same in every process.
"""

from array import array
from collections.abc import Iterable
from hashlib import blake2b
from typing import ClassVar, Self
from zlib import crc32

from ftops.data.batch_parser import TEXT_SEPARATOR, RowBatch
from ftops.data.checks.check import Check
from ftops.data.checks.duplicates import RowPlaces
from ftops.data.findings import (
    Rule,
    Severity,
)
from ftops.data.profile import DatasetProfile
from ftops.records import RowFormat
from ftops.text import to_nfc

_W = Severity.WARNING
_APART = "Take them out of one of the files, or split again: `ftops data split`."
_TOO_GOOD = "The score then says how well rows were remembered, not how well the task was learned."
ROWS = Rule(
    "leaked-rows", _W, "validation rows that are training rows",
    "Rows that stand in the training data, too. " + _TOO_GOOD, _APART,
)  # fmt: skip
PROMPTS = Rule(
    "leaked-prompts", _W, "validation prompts that are training prompts",
    "The same prompt stands in the training data with another completion, so the model was taught"
    " an answer that counts as wrong here.",
    _APART,
)  # fmt: skip
NEARLY = Rule(
    "leaked-near-duplicates", _W, "validation rows that are nearly training rows",
    "Requires `--near-duplicates`. A prompt is a near-duplicate of a training prompt. " + _TOO_GOOD,
    "Split again with `ftops data split --group-near`, or remove them from one file.",
)  # fmt: skip


class Leaks(Check):
    """Keeps a hash of each row and of each prompt; `find_leaks` compares those of two files."""

    RULES = (ROWS, PROMPTS, NEARLY)
    OPTIONAL: ClassVar[str] = "validation"

    def __init__(self, profile: DatasetProfile) -> None:
        self.rows = array("Q")
        self.prompts = array("Q")
        self.places = RowPlaces()

    def add(self, batch: RowBatch) -> None:
        if not batch.raws:
            return
        asked, completions = batch.prompts_in_nfc(), batch.completions_in_nfc()
        if batch.format is RowFormat.PREFERENCE:
            pairs = map(sorted, zip(completions, map(to_nfc, batch.others), strict=True))
            asked = [TEXT_SEPARATOR.join((p, *pair)) for p, pair in zip(asked, pairs, strict=True)]
        answers = zip(asked, completions, strict=True)
        self.prompts.frombytes(_digest(asked))
        self.rows.frombytes(
            _digest(f"{asked}\n{TEXT_SEPARATOR}{answer}" for asked, answer in answers)
        )
        self.places.add(batch.places)

    def merge(self, later: Self, shift: int) -> None:
        self.rows.extend(later.rows)
        self.prompts.extend(later.prompts)
        self.places.merge(later.places, shift)


def _digest(texts: Iterable[str]) -> bytes:
    return b"".join(
        [blake2b(text.encode("utf-8", "replace"), digest_size=8).digest() for text in texts]
    )


LENGTH = Rule(
    "length-drift", Severity.WARNING, "validation data of another length",
    "The median prompt or completion of the validation data is twice as long as that of the"
    " training data, or half as long (by 20 characters or more).",
    "Take both from one source, and split it with `ftops data split`.",
)  # fmt: skip
VOCABULARY = Rule(
    "vocabulary-drift", Severity.WARNING, "validation data with other words",
    "One half of the training prompts lacks some words of the other half. It lacks words of the"
    " validation prompts half as often again, and a tenth of all words more: they are about"
    " something else, or in another language.",
    "Take both from one source, and split it with `ftops data split`.",
)  # fmt: skip
_SAMPLE = 2048
_LONGEST = 2000  # characters of a text that are kept


class Drift(Check):
    """Keeps the rows with the smallest hashes of their prompts."""

    RULES = (LENGTH, VOCABULARY)
    OPTIONAL: ClassVar[str] = "validation"

    def __init__(self, profile: DatasetProfile) -> None:
        self._limit = 1 << 32  # hashes from here on are left out
        self._sample: dict[int, tuple[str, int, int]] = {}

    def add(self, batch: RowBatch) -> None:
        for prompt, completion in zip(batch.prompts, batch.completions, strict=True):
            text = prompt or completion
            value = crc32(text.encode("utf-8", "replace"))
            if value < self._limit:
                self._sample[value] = text[:_LONGEST], len(prompt), len(completion)
        self._shrink()

    def merge(self, later: Self, shift: int) -> None:
        self._limit = min(self._limit, later._limit)
        self._sample |= later._sample
        self._shrink()

    def _shrink(self) -> None:
        while len(self._sample) > _SAMPLE:
            self._limit //= 2
            self._keep()
        self._keep()

    def _keep(self) -> None:
        if max(self._sample, default=0) >= self._limit:
            self._sample = {key: row for key, row in self._sample.items() if key < self._limit}

    def rows(self) -> list[tuple[str, int, int]]:
        """Text, characters of the prompt and of the completion, in the order of the hashes."""
        return [self._sample[key] for key in sorted(self._sample)]
