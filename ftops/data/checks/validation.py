"""The data that the comparison with validation data needs; `leakage.py` compares.

Leaks need 16 bytes per row: hashes that are equal in every process. Drift needs a sample of up to
2,048 rows, selected by a hash of their text, so it does not depend on how the file is read.
"""

from array import array
from typing import ClassVar, Self
from zlib import crc32

from ftops.data.batch_parser import RowBatch
from ftops.data.checks.check import Check
from ftops.data.checks.duplicates import RowPlaces
from ftops.data.findings import Rule, Severity
from ftops.data.profile import DatasetProfile

_W = Severity.WARNING
_SEPARATE = "Remove them from one file, or split again: `ftops data split`."
_INFLATED = "The score then measures memorization, not generalization."
ROWS = Rule(
    "leaked-rows", _W, "validation rows are training rows",
    "Rows are also in the training data. " + _INFLATED, _SEPARATE,
)  # fmt: skip
PROMPTS = Rule(
    "leaked-prompts", _W, "validation prompts are training prompts",
    "The prompt is also in the training data with another completion, so the model is trained on an"
    " answer that counts as wrong here.",
    _SEPARATE,
)  # fmt: skip
NEARLY = Rule(
    "leaked-near-duplicates", _W, "validation rows are near-duplicates of training rows",
    "Requires `--near-duplicates`. A prompt is a near-duplicate of a training prompt. " + _INFLATED,
    "Split again with `ftops data split --group-near`, or remove them from one file.",
)  # fmt: skip


class Leaks(Check):
    """Keeps a hash of each row and of each prompt."""

    RULES = (ROWS, PROMPTS, NEARLY)
    OPTIONAL: ClassVar[str] = "validation"

    def __init__(self, profile: DatasetProfile) -> None:
        self.rows = array("Q")
        self.prompts = array("Q")
        self.places = RowPlaces()

    def add(self, batch: RowBatch) -> None:
        if not batch.raws:
            return
        questions, rows = batch.digests()
        self.prompts.frombytes(questions)
        self.rows.frombytes(rows)
        self.places.add(batch.places)

    def merge(self, later: Self, shift: int) -> None:
        self.rows.extend(later.rows)
        self.prompts.extend(later.prompts)
        self.places.merge(later.places, shift)


LENGTH = Rule(
    "length-drift", Severity.WARNING, "length drift",
    "The median prompt or completion of the validation data is twice as long as that of the"
    " training data, or half as long (by 20 characters or more).",
    "Take both from one source, and split it with `ftops data split`.",
)  # fmt: skip
VOCABULARY = Rule(
    "vocabulary-drift", Severity.WARNING, "vocabulary drift",
    "One half of the training prompts lacks some words of the other half. It lacks 1.5 times as"
    " many words of the validation prompts, and at least 10 % of all words more: they have another"
    " topic or language.",
    "Take both from one source, and split it with `ftops data split`.",
)  # fmt: skip
_SAMPLE = 2048
_LONGEST = 2000  # characters to keep per text


class Drift(Check):
    """Keeps the rows with the smallest hashes of their prompts."""

    RULES = (LENGTH, VOCABULARY)
    OPTIONAL: ClassVar[str] = "validation"

    def __init__(self, profile: DatasetProfile) -> None:
        self._limit = 1 << 32  # rows with a larger hash are not in the sample
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
        """Tuples of text, prompt and completion characters, in the order of the hashes."""
        return [self._sample[key] for key in sorted(self._sample)]
