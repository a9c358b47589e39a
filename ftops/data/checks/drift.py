"""Validation data that is unlike the training data: other words, other lengths.

Both are judged by a sample of up to 2,048 prompts and completions, chosen by a hash of what they
say, so that it is the same however the file is read.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, Self
from zlib import crc32

from ftops.data.checks.protocol import Check, Facts
from ftops.data.examining.sifting import RowBatch
from ftops.data.examining.survey import Survey
from ftops.data.findings import Finding, Rule, Severity, make_finding
from ftops.data.screening.words import find_words, share_unknown

if TYPE_CHECKING:
    from ftops.data.examining.examination import Examination

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
_LEAST_ROWS = 50
_LENGTH_FACTOR, _LENGTH_CHARS = 2.0, 20
_WORDS_FACTOR, _WORDS_MORE = 1.5, 0.10


class Drift(Check):
    """Keeps the rows with the smallest hashes of their prompts."""

    RULES = (LENGTH, VOCABULARY)
    ASKED: ClassVar[str] = "validation"

    def __init__(self, survey: Survey) -> None:
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

    def findings(self, facts: Facts) -> Iterator[Finding]:
        return iter(())  # one file is not unlike itself

    def rows(self) -> list[tuple[str, int, int]]:
        """Text, characters of the prompt and of the completion, in the order of the hashes."""
        return [self._sample[key] for key in sorted(self._sample)]


def find_drift(training: "Examination", validation: "Examination") -> Iterator[Finding]:
    """Findings about the validation data; both must have been asked for `validation`."""
    from statistics import median

    rows = [
        next(check for check in one.checks if isinstance(check, Drift)).rows()
        for one in (training, validation)
    ]
    if min(map(len, rows)) < _LEAST_ROWS:
        return
    for column, name in ((1, "prompts"), (2, "completions")):
        known, held = (median(int(row[column]) for row in part) for part in rows)
        low, high = sorted((known, held))
        if high >= low * _LENGTH_FACTOR and high - low >= _LENGTH_CHARS:
            text = f"{name} have {held:,.0f} characters (median), {known:,.0f} in the training data"
            yield make_finding(LENGTH, text)
    yield from _compare_words(*([row[0] for row in part] for part in rows))


def _compare_words(known: Sequence[str], held: Sequence[str]) -> Iterator[Finding]:
    vocabulary = {word for text in known[::2] for word in find_words(text)}
    usual = share_unknown(known[1::2], vocabulary)
    here = share_unknown(held, vocabulary)
    if here >= usual * _WORDS_FACTOR and here - usual >= _WORDS_MORE:
        text = f"{here:.0%} of the words are not in half of the training data, {usual:.0%} would be"
        yield make_finding(VOCABULARY, f"{text} usual")
