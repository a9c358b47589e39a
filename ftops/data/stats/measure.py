"""One pass over a source that leaves all figures of it."""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from ftops.data.batch_parser import RowBatch, Sifter
from ftops.data.check_set import Examination, Verdict, take_survey
from ftops.data.checks.check import DataTarget
from ftops.data.reading.source import Source
from ftops.data.rows import Row
from ftops.data.stats.scripts import Tongues
from ftops.data.stats.words import Words
from ftops.data.tokens.counter import Counter
from ftops.data.tokens.figures import TokenFigures
from ftops.data.tokens.pieces import cut_row


def _numbers() -> "array[int]":
    return array("L")


@dataclass(slots=True)
class Tally:
    """Lengths in characters, tokens by each vocabulary, words and languages of the good rows."""

    prompts: "array[int]" = field(default_factory=_numbers)
    completions: "array[int]" = field(default_factory=_numbers)
    tokens: dict[str, TokenFigures] = field(default_factory=dict)
    words: Words = field(default_factory=Words)
    tongues: Tongues = field(default_factory=Tongues)
    bad_rows: int = 0  # which are left out

    def add(self, batch: RowBatch, counters: Mapping[str, Counter]) -> None:
        """Take a batch in; `counters` go by their vocabularies."""
        self.bad_rows += sum(row_error.count for row_error in batch.row_errors)
        if not batch.raws:
            return
        self.prompts.extend(batch.prompt_lengths())
        self.completions.extend(batch.completion_lengths())
        for prompt, completion in zip(batch.prompts, batch.completions, strict=True):
            text = f"{prompt}\n{completion}"
            self.words.add(text)
            self.tongues.add(text)
        self._count_tokens(batch, counters)

    def _count_tokens(self, batch: RowBatch, counters: Mapping[str, Counter]) -> None:
        placed = zip(batch.places, batch.raws, strict=True)
        cut = [cut_row(Row(place, batch.format, raw)) for place, raw in placed]
        texts = [piece.text for pieces in cut for piece in pieces]
        for vocabulary, counter in counters.items():
            counts = iter(counter.count(texts))
            tokens = self.tokens.setdefault(vocabulary, TokenFigures())
            for pieces in cut:
                tokens.add(pieces, [next(counts) + piece.marks for piece in pieces])


@dataclass(frozen=True, slots=True)
class DataFigures:
    """What a source holds; the verdict has its rows, what they look like, and their classes."""

    verdict: Verdict
    tally: Tally


def measure_source(
    source: Source, counters: Sequence[Counter], *, task: str | None = None
) -> DataFigures:
    """Read the source once; rows that cannot be used are counted and left out."""
    batches = source.batches()
    first, survey = take_survey(batches, source.unit)
    examination = Examination(survey)
    sifter = Sifter(survey.format, source.unit)
    named = {counter.vocabulary: counter for counter in counters}
    tally = Tally()
    for batch in chain(first, batches):
        rows = sifter.sift(batch)
        examination.add(rows)
        tally.add(rows, named)
    return DataFigures(examination.conclude(DataTarget(), task=task, unit=source.unit), tally)
