"""Rows that stand there twice, and prompts with different answers, by 64-bit hashes.

Sixteen bytes a row are kept. Two different rows have the same hash once in about 10^19 pairs.
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
from ftops.data.findings import (
    SHOWN_PLACES,
    Finding,
    Occurrences,
    Rule,
    Severity,
    create_finding,
)
from ftops.data.profile import DatasetProfile
from ftops.data.screening.minhash import Sketches
from ftops.records import Json, RowFormat
from ftops.text import to_nfc

DUPLICATE = Rule(
    "duplicate-rows", Severity.WARNING, "rows that stand there twice",
    "The same prompt with the same completion counts twice in training, and a copy in the"
    " validation data makes score too good.",
    "Keep the first of each.", "drop-duplicates",
)  # fmt: skip
CONTRADICTION = Rule(
    "conflicting-completions", Severity.WARNING, "same prompt, different completions",
    "The model cannot learn both: the rows contradict one another, unless variety is wanted.",
    "Keep the answer that is right; where people voted, the one with most votes.", "majority-vote",
)  # fmt: skip
_PART = 1 << 18
_MOST_PARTS = 64
_PIECE = 1 << 16


class RowPlaces:
    """The place of each row by its number, in little memory where rows follow each other."""

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
        """The place of the row with that number, from 0."""
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
        again = find_repeated_prompts(self._prompts, self._rows)
        if not again.values:
            return  # where no prompt stands twice, no row does
        count, pairs = find_repeats(self._rows)
        if count:
            place = self._places.of
            first = [(place(early), place(late)) for early, late in pairs]
            seen = Occurrences(count, [late for _, late in first])
            early, late = first[0]
            stand = "row stands" if count == 1 else "rows stand"
            text = f"{count:,} {stand} there already, as {context.unit} {late} repeats {early}"
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
        return f"{prompts:,} {pairs} preferred the other way round, too"
    have = "prompt has" if prompts == 1 else "prompts have"
    return f"{prompts:,} {have} more than one completion"


def find_repeats(values: "array[int]") -> tuple[int, list[tuple[int, int]]]:
    """How many values stood there before, and the first of them: (first time, this time)."""
    count = 0
    found: list[tuple[int, int]] = []
    for part in _parts(values):
        again = part.count_again()
        if not again:
            continue
        count += again
        first: dict[int, int] = {}
        late = ((row, first.setdefault(value, row)) for row, value in part.numbered())
        repeats = ((early, row) for row, early in late if early != row)
        found.extend(islice(repeats, SHOWN_PLACES))
    return count, sorted(found, key=itemgetter(1))[:SHOWN_PLACES]


@dataclass(frozen=True, slots=True)
class PromptRepeats:
    """Prompts that stand there again: how many times, how many of them in `several` different rows,
    and the first rows where that shows.
    """

    values: int
    several: int
    rows: list[int]


def find_repeated_prompts(prompts: "array[int]", rows: "array[int]") -> PromptRepeats:
    """Which prompts stand there again, and which of these with different rows."""
    total = count = 0
    found: list[int] = []
    for part in _parts(prompts):
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
class _Part:
    """Some of the values, equal ones together; each is found by its lowest byte."""

    values: "array[int]"
    chosen: bytes  # for each byte whether it is one of this part

    def _pieces(self) -> Iterator[tuple[int, "array[int]", bytes]]:
        lowest = slice(0 if sys.byteorder == "little" else 7, None, 8)
        for start in range(0, len(self.values), _PIECE):
            piece = self.values[start : start + _PIECE]
            with memoryview(piece) as view, view.cast("B") as octets:
                yield start, piece, octets[lowest].tobytes().translate(self.chosen)

    def count_again(self) -> int:
        """How many of the values stood there before."""
        total, different = 0, set[int]()
        for _, piece, mask in self._pieces():
            total += mask.count(1)
            different.update(compress(piece, mask))
        return total - len(different)

    def numbered(self) -> Iterator[tuple[int, int]]:
        """Each value behind its number in the whole."""
        for start, piece, mask in self._pieces():
            yield from compress(zip(range(start, start + len(piece)), piece, strict=True), mask)


def _parts(values: "array[int]") -> Iterator[_Part]:
    """The values in parts, of which a set fits in memory.

    Some passes over all values cost less than one set of them would take room.
    """
    parts = 1
    while parts < _MOST_PARTS and parts * _PART < len(values):
        parts *= 2
    for part in range(parts):
        yield _Part(values, bytes(byte % parts == part for byte in range(256)))


NEAR = Rule(
    "near-duplicates", Severity.WARNING, "rows that are nearly the same",
    "Three quarters or more of the runs of five letters (three in scripts without spaces) of a"
    " prompt stand in another one, too; case, blanks and punctuation do not count, nor does what a"
    " quarter of the first prompts hold. Such rows teach little, and when one of them is held out,"
    " its score says how well the other was remembered. It is estimated, within about 0.05.",
    "Keep one of each, or keep them on one side: `ftops data split --group-near`.",
)  # fmt: skip


class NearDuplicates(Check):
    """Keeps a sketch of each prompt; of the completion where prompts are empty."""

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

    def sketches(self) -> "Sketches":
        """A row of 64 bytes for each row of the data."""
        import numpy as np

        from ftops.data.screening.minhash import BINS

        return np.frombuffer(self._sketches, np.uint8).reshape(-1, BINS)

    def findings(self, context: CheckContext) -> Iterator[Finding]:
        pairs = self._find_pairs()
        if not pairs:
            return
        late = [place for _, place in pairs[:SHOWN_PLACES]]
        rows = "row is" if len(pairs) == 1 else "rows are"
        text = (
            f"{len(pairs):,} {rows} nearly like an earlier one,"
            f" as {context.unit} {pairs[0][1]} is like {pairs[0][0]}"
        )
        yield create_finding(NEAR, text, Occurrences(len(pairs), late))

    def _find_pairs(self) -> list[tuple[int, int]]:
        """Places of the first of a group and of a later one; texts that are the same count once."""
        import numpy as np

        from ftops.data.screening.near_duplicates import find_groups

        if not self._texts:
            return []
        texts = np.frombuffer(self._texts, np.int64)
        rows = np.sort(np.unique(texts, return_index=True)[1])
        sketches = self.sketches()
        groups = find_groups(sketches if len(rows) == len(sketches) else sketches[rows])
        late = np.flatnonzero(groups != np.arange(len(groups)))
        place = self._places.of
        return [(place(int(rows[groups[one]])), place(int(rows[one]))) for one in late]


def list_compared_texts(batch: RowBatch) -> list[str]:
    """What of each row is compared: its prompt, or what it has instead.

    Of preferences the answers, too, since the same prompt may stand in many.
    """
    columns = batch.prompts_in_nfc(), batch.completions_in_nfc()
    if batch.format is RowFormat.PREFERENCE:
        parts = zip(*columns, map(to_nfc, batch.others), strict=True)
        return ["\n".join(part) for part in parts]
    pairs = zip(*columns, strict=True)
    return [prompt or completion for prompt, completion in pairs]
