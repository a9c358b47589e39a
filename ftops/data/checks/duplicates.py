"""Checks for duplicate and near-duplicate rows.

Duplicates are found by 64-bit hashes: 16 bytes per row. Two different rows have the same hash with
a probability of about 1 in 10^19. Near-duplicates need 72 bytes per row, and about 180 during the
comparison (`benchmarks/screening.py`).
"""

import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress, islice
from operator import itemgetter
from typing import ClassVar, Self

from ftops.data.batch_parser import RowBatch
from ftops.data.checks.check import CLASSIFICATION, OPEN_ENDED, Check, CheckContext
from ftops.data.findings import SHOWN_PLACES, Finding, Occurrences, Rule, Severity, create_finding
from ftops.data.profile import DatasetProfile
from ftops.records import Json, RowFormat
from ftops.text import to_nfc

DUPLICATE = Rule(
    "duplicate-rows", Severity.WARNING, "duplicate rows",
    "The same prompt with the same completion counts twice in training, and a copy in the"
    " validation data inflates the score.",
    "Keep the first of each.", "drop-duplicates",
)  # fmt: skip
CONTRADICTION = Rule(
    "conflicting-completions", Severity.WARNING, "same prompt, different completions",
    "The rows contradict one another, unless variety is intended.",
    "Keep the correct completion, or the majority vote of several annotators.", "majority-vote",
)  # fmt: skip
_PART = 1 << 18
_MOST_PARTS = 64
_PIECE = 1 << 16


class RowPlaces:
    """The line or row number of each row, run-length encoded."""

    def __init__(self) -> None:
        self._starts = array("Q")
        self._offsets = array("q")
        self.rows = 0

    def add(self, places: Sequence[int]) -> None:
        if isinstance(places, range):
            if places:
                self._mark(self.rows, places[0])
                self.rows += len(places)
            return
        for place in places:
            self._mark(self.rows, place)
            self.rows += 1

    def _mark(self, row: int, place: int) -> None:
        if not self._offsets or self._offsets[-1] != place - row:
            self._starts.append(row)
            self._offsets.append(place - row)

    def merge(self, later: "RowPlaces", shift: int) -> None:
        for start, offset in zip(later._starts, later._offsets, strict=True):
            self._mark(self.rows + start, start + offset + shift)
        self.rows += later.rows

    def of(self, row: int) -> int:
        """The line or row number of the row with index `row`."""
        return row + self._offsets[bisect_right(self._starts, row) - 1]


class Duplicates(Check):
    """Keeps a hash of each row and of each prompt."""

    RULES = (DUPLICATE, CONTRADICTION)

    def __init__(self, profile: DatasetProfile) -> None:
        self._rows = array("q")
        self._prompts = array("q")
        self._places = RowPlaces()

    def add(self, batch: RowBatch) -> None:
        if not batch.raws:
            return
        self._prompts.fromlist(list(batch.question_hashes()))
        self._rows.fromlist(list(batch.row_hashes()))
        self._places.add(batch.places)

    def merge(self, later: Self, shift: int) -> None:
        self._rows.extend(later._rows)
        self._prompts.extend(later._prompts)
        self._places.merge(later._places, shift)

    def findings(self, context: CheckContext) -> Iterator[Finding]:
        again = group_repeated_prompts(self._prompts, self._rows)
        if not again.values:
            return  # without repeated prompts there are no duplicate rows
        count, pairs = list_repeats(self._rows)
        if count:
            place = self._places.of
            first = [(place(early), place(late)) for early, late in pairs]
            seen = Occurrences(count, [late for _, late in first])
            early, late = first[0]
            repeat = "row repeats" if count == 1 else "rows repeat"
            text = f"{count:,} {repeat} an earlier row: {context.unit} {late} repeats {early}"
            yield create_finding(DUPLICATE, text, seen, fix_params={})
        if context.task != OPEN_ENDED and again.several:
            places = [self._places.of(row) for row in again.rows]
            # Answers to one prompt may be meant to vary; labels never are.
            fix_params: dict[str, Json] | None = {} if context.task == CLASSIFICATION else None
            text = _say_contradiction(again.several, context)
            yield create_finding(
                CONTRADICTION, text, Occurrences(again.several, places), fix_params=fix_params
            )


def _say_contradiction(prompts: int, context: CheckContext) -> str:
    if context.profile.format is RowFormat.PREFERENCE:
        pairs = "pair of answers is" if prompts == 1 else "pairs of answers are"
        return f"{prompts:,} {pairs} also preferred in reverse"
    have = "prompt has" if prompts == 1 else "prompts have"
    return f"{prompts:,} {have} more than one completion"


def list_repeats(values: "array[int]") -> tuple[int, list[tuple[int, int]]]:
    """The number of repeated values, and the first of them as (first index, this index)."""
    count = 0
    found: list[tuple[int, int]] = []
    for part in split_values(values):
        again = part.count_again()
        if not again:
            continue
        count += again
        first: dict[int, int] = {}
        late = ((row, first.setdefault(value, row)) for row, value in part.numbered())
        repeats = ((early, row) for row, early in late if early != row)
        found.extend(islice(repeats, SHOWN_PLACES))
    return count, sorted(found, key=itemgetter(1))[:SHOWN_PLACES]


def index_first(known: "array[int]", held: "array[int]") -> dict[int, int]:
    """A mapping of indices in `held` to the first index in `known` with an equal value."""
    wanted = set(held)
    first: dict[int, int] = {}
    for row, value in enumerate(known):
        if value in wanted:
            first.setdefault(value, row)
    return {row: first[value] for row, value in enumerate(held) if value in first}


@dataclass(frozen=True, slots=True)
class PromptRepeats:
    """The number of repeated prompts, and of those with different rows (`several`).

    `rows` are the first rows that differ from an earlier row with the same prompt.
    """

    values: int
    several: int
    rows: list[int]


def group_repeated_prompts(prompts: "array[int]", rows: "array[int]") -> PromptRepeats:
    """Find the prompts that repeat, and those of them with different rows."""
    total = count = 0
    found: list[int] = []
    for part in split_values(prompts):
        again = part.count_again()
        if not again:
            continue
        total += again
        first: dict[int, int] = {}
        several: set[int] = set()
        here: list[int] = []
        for number, prompt in part.numbered():
            row = rows[number]
            if first.setdefault(prompt, row) != row and prompt not in several:
                several.add(prompt)
                if len(here) < SHOWN_PLACES:
                    here.append(number)
        count += len(several)
        found += here
    return PromptRepeats(total, count, sorted(found)[:SHOWN_PLACES])


@dataclass(frozen=True, slots=True)
class ValuePart:
    """A subset of the values, selected by their lowest byte, so equal values are together."""

    values: "array[int]"
    chosen: bytes  # for each byte value, 1 if it belongs to this part

    def _pieces(self) -> Iterator[tuple[int, "array[int]", bytes]]:
        lowest = slice(0 if sys.byteorder == "little" else 7, None, 8)
        for start in range(0, len(self.values), _PIECE):
            piece = self.values[start : start + _PIECE]
            with memoryview(piece) as view, view.cast("B") as octets:
                yield start, piece, octets[lowest].tobytes().translate(self.chosen)

    def count_again(self) -> int:
        """The number of values that occur earlier."""
        total, different = 0, set[int]()
        for _, piece, mask in self._pieces():
            total += mask.count(1)
            different.update(compress(piece, mask))
        return total - len(different)

    def numbered(self) -> Iterator[tuple[int, int]]:
        """Pairs of index and value."""
        for start, piece, mask in self._pieces():
            yield from compress(zip(range(start, start + len(piece)), piece, strict=True), mask)


def split_values(values: "array[int]") -> Iterator[ValuePart]:
    """The values in parts that are small enough for a set; several passes need less memory."""
    parts = 1
    while parts < _MOST_PARTS and parts * _PART < len(values):
        parts *= 2
    for part in range(parts):
        yield ValuePart(values, bytes(byte % parts == part for byte in range(256)))


NEAR = Rule(
    "near-duplicates", Severity.WARNING, "near-duplicate rows",
    "Two prompts share at least three quarters of their character 5-grams (3-grams in scripts"
    " without spaces). Case, white space and punctuation are ignored, and so are n-grams of more"
    " than a quarter of the first prompts. Such rows add little, and one of them in the validation"
    " data measures memorization. The similarity is estimated, with an error of about 0.05.",
    "Keep one of each, or keep them in the same file: `ftops data split --group-near`.",
)  # fmt: skip


class NearDuplicates(Check):
    """Keeps a MinHash sketch of each prompt, or of the completion if prompts are empty."""

    RULES = (NEAR,)
    OPTIONAL: ClassVar[str] = "near-duplicates"

    def __init__(self, profile: DatasetProfile) -> None:
        self._common = profile.common
        self._sketches = array("B")
        self._texts = array("q")
        self._places = RowPlaces()

    def add(self, batch: RowBatch) -> None:
        from ftops.data.screening.minhash import sketch_texts

        if not batch.raws:
            return
        texts = list_compared_texts(batch)
        self._sketches.frombytes(sketch_texts(texts, self._common).tobytes())
        self._texts.extend(map(hash, texts))
        self._places.add(batch.places)

    def merge(self, later: Self, shift: int) -> None:
        self._sketches.extend(later._sketches)
        self._texts.extend(later._texts)
        self._places.merge(later._places, shift)

    def sketch_bytes(self) -> "array[int]":
        """The sketches of all rows, 64 bytes each."""
        return self._sketches

    def findings(self, context: CheckContext) -> Iterator[Finding]:
        pairs = self._list_pairs()
        if not pairs:
            return
        late = [place for _, place in pairs[:SHOWN_PLACES]]
        rows = "row is" if len(pairs) == 1 else "rows are"
        text = (
            f"{len(pairs):,} {rows} nearly equal to an earlier one:"
            f" {context.unit} {pairs[0][1]} and {pairs[0][0]}"
        )
        yield create_finding(NEAR, text, Occurrences(len(pairs), late))

    def _list_pairs(self) -> list[tuple[int, int]]:
        """Positions of the first and a later row of each group; equal texts count once."""
        # NumPy is imported only for this check: it needs 15 MB.
        from ftops.data.screening.near_duplicates import pair_near_duplicates

        place = self._places.of
        pairs = pair_near_duplicates(self._sketches, self._texts)
        return [(place(first), place(later)) for first, later in pairs]


def list_compared_texts(batch: RowBatch) -> list[str]:
    """The text of each row to compare: its prompt, or its completion if the prompt is empty.

    For preferences, the text includes the answers, since many rows may share a prompt.
    """
    columns = batch.prompts_in_nfc(), batch.completions_in_nfc()
    if batch.format is RowFormat.PREFERENCE:
        parts = zip(*columns, map(to_nfc, batch.others), strict=True)
        return ["\n".join(part) for part in parts]
    pairs = zip(*columns, strict=True)
    return [prompt or completion for prompt, completion in pairs]
