"""Statistics of a data set in one pass: lengths, tokens, words, languages."""

from array import array
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise

from ftops.data.batch_parser import BatchParser, RowBatch
from ftops.data.check_set import CheckResult, CheckSet, read_profile
from ftops.data.checks.check import DataTarget
from ftops.data.reading.source import Source
from ftops.data.rows import Row
from ftops.data.tokens.counter import VocabularyCounter
from ftops.data.tokens.segments import TokenCounts, split_row
from ftops.data.words import LanguageCounter, WordCounter

_MOST_BINS = 12
_WIDTHS = (1, 2, 5)


def _numbers() -> "array[int]":
    return array("L")


@dataclass(slots=True)
class DataCounts:
    """Lengths in characters, tokens by vocabulary, words and languages of the valid rows."""

    prompts: "array[int]" = field(default_factory=_numbers)
    completions: "array[int]" = field(default_factory=_numbers)
    tokens: dict[str, TokenCounts] = field(default_factory=dict)
    words: WordCounter = field(default_factory=WordCounter)
    languages: LanguageCounter = field(default_factory=LanguageCounter)
    bad_rows: int = 0  # not counted elsewhere

    def add(self, batch: RowBatch, counters: Mapping[str, VocabularyCounter]) -> None:
        """Add a batch; `counters` are keyed by vocabulary."""
        self.bad_rows += sum(row_error.count for row_error in batch.row_errors)
        if not batch.raws:
            return
        self.prompts.extend(batch.prompt_lengths())
        self.completions.extend(batch.completion_lengths())
        for prompt, completion in zip(batch.prompts, batch.completions, strict=True):
            text = f"{prompt}\n{completion}"
            self.words.add(text)
            self.languages.add(text)
        self._count_tokens(batch, counters)

    def _count_tokens(self, batch: RowBatch, counters: Mapping[str, VocabularyCounter]) -> None:
        placed = zip(batch.places, batch.raws, strict=True)
        cut = [split_row(Row(place, batch.format, raw)) for place, raw in placed]
        texts = [piece.text for pieces in cut for piece in pieces]
        for vocabulary, counter in counters.items():
            counts = iter(counter.count(texts))
            tokens = self.tokens.setdefault(vocabulary, TokenCounts())
            for pieces in cut:
                tokens.add(pieces, [next(counts) + piece.marks for piece in pieces])


@dataclass(frozen=True, slots=True)
class DataStatistics:
    """The statistics of a source; `result` has its rows, format and classes."""

    result: CheckResult
    tally: DataCounts


def measure_source(
    source: Source, counters: Sequence[VocabularyCounter], *, task: str | None = None
) -> DataStatistics:
    """Read the source once; invalid rows are counted and skipped."""
    batches = source.batches()
    first, profile = read_profile(batches, source.unit)
    examination = CheckSet(profile)
    parser = BatchParser(profile.format, source.unit)
    named = {counter.vocabulary: counter for counter in counters}
    tally = DataCounts()
    for batch in chain(first, batches):
        rows = parser.parse(batch)
        examination.add(rows)
        tally.add(rows, named)
    return DataStatistics(examination.get_result(DataTarget(), task=task, unit=source.unit), tally)


@dataclass(frozen=True, slots=True)
class Distribution:
    """Summary statistics of numbers, 0 without any; `high` is the 95th percentile."""

    least: int = 0
    median: int = 0
    mean: float = 0.0
    high: int = 0
    most: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Bin:
    """The number of values from `first` to `last`, both included."""

    first: int
    last: int
    count: int


def describe_distribution(numbers: Sequence[int]) -> Distribution:
    """The summary statistics of `numbers`."""
    if not numbers:
        return Distribution()
    ordered = sorted(numbers)
    total = sum(ordered)
    return Distribution(
        least=ordered[0],
        median=ordered[(len(ordered) - 1) // 2],
        mean=total / len(ordered),
        high=ordered[(len(ordered) * 95 + 99) // 100 - 1],
        most=ordered[-1],
        total=total,
    )


def make_bins(numbers: Sequence[int]) -> list[Bin]:
    """At most twelve bins with round bounds, of equal width unless there are outliers.

    With outliers each bin is twice as wide as the one before it.
    """
    if not numbers:
        return []
    least, most = min(numbers), max(numbers)
    bounds = _bounds(least, most, describe_distribution(numbers).high)
    counts = [0] * (len(bounds) - 1)
    for number in numbers:
        counts[bisect_right(bounds, number) - 1] += 1
    return [
        Bin(first, behind - 1, count)
        for (first, behind), count in zip(pairwise(bounds), counts, strict=True)
    ]


def _bounds(least: int, most: int, high: int) -> list[int]:
    """The first number of each bin, and the one after the last bin."""
    if most > 4 * max(high, 1):
        return _doubling(least, most)
    width, power = 1, 0
    while (most // width) - (least // width) >= _MOST_BINS:
        power += 1
        width = _WIDTHS[power % 3] * 10 ** (power // 3)
    first = least - least % width
    return list(range(first, most + width + 1, width))[: (most - first) // width + 2]


def _doubling(least: int, most: int) -> list[int]:
    bounds = [0, 1]
    while bounds[-1] <= most:
        bounds.append(bounds[-1] * 2)
    while len(bounds) > 2 and bounds[1] <= least:
        del bounds[0]
    while len(bounds) > _MOST_BINS + 1:
        del bounds[1]
    return bounds
