"""Rows that stand there twice, and prompts with different answers, by 64-bit hashes.

Sixteen bytes a row are kept. Two different rows have the same hash once in about 10^19 pairs.
"""

import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import compress
from typing import Self

from ftops.dataset.checks.protocol import CLASSIFICATION, OPEN_ENDED, Check, Facts
from ftops.dataset.findings import (
    SHOWN_PLACES,
    Finding,
    Rule,
    Seen,
    Severity,
    make_finding,
)
from ftops.dataset.sifting import RowBatch
from ftops.dataset.survey import Survey
from ftops.records import Json, RowFormat

DUPLICATE = Rule(
    "duplicate-rows", Severity.WARNING, "rows that stand there twice",
    "The same prompt with the same completion counts twice in training, and a copy in the"
    " validation data makes score too good.",
    "Keep the first of each.", "drop-duplicates",
)  # fmt: skip
CONTRADICTION = Rule(
    "same-prompt", Severity.WARNING, "same prompt, different completions",
    "The model cannot learn both: the rows contradict one another, unless variety is wanted.",
    "Keep the answer that is right; where people voted, the one with most votes.", "vote",
)  # fmt: skip
_PART = 1 << 17
_MOST_PARTS = 16


class Places:
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

    def merge(self, later: "Places", shift: int) -> None:
        for start, offset in zip(later._starts, later._offsets, strict=True):
            self._mark(self.rows + start, start + offset + shift)
        self.rows += later.rows

    def of(self, row: int) -> int:
        """The place of the row with that number, from 0."""
        return row + self._offsets[bisect_right(self._starts, row) - 1]


class Duplicates(Check):
    """Keeps a hash of each row and of each prompt."""

    RULES = (DUPLICATE, CONTRADICTION)

    def __init__(self, survey: Survey) -> None:
        self._rows = array("q")
        self._prompts = array("q")
        self._places = Places()

    def add(self, batch: RowBatch) -> None:
        if not batch.raws:
            return
        self._prompts.extend(batch.question_hashes())
        self._rows.extend(batch.row_hashes())
        self._places.add(batch.places)

    def merge(self, later: Self, shift: int) -> None:
        self._rows.extend(later._rows)
        self._prompts.extend(later._prompts)
        self._places.merge(later._places, shift)

    def findings(self, facts: Facts) -> Iterator[Finding]:
        count, pairs = find_repeats(self._rows)
        if count:
            place = self._places.of
            first = [(place(early), place(late)) for early, late in pairs]
            seen = Seen(count, [late for _, late in first])
            early, late = first[0]
            stand = "row stands" if count == 1 else "rows stand"
            text = f"{count:,} {stand} there already, as {facts.unit} {late} repeats {early}"
            yield make_finding(DUPLICATE, text, seen, remedy={})
        if facts.task == OPEN_ENDED:
            return
        prompts, rows = find_contradictions(self._prompts, self._rows)
        if prompts:
            places = [self._places.of(row) for row in rows]
            # Answers to one prompt may be meant to vary; labels never are.
            remedy: dict[str, Json] | None = {} if facts.task == CLASSIFICATION else None
            text = _say_contradiction(prompts, facts)
            yield make_finding(CONTRADICTION, text, Seen(prompts, places), remedy=remedy)


def _say_contradiction(prompts: int, facts: Facts) -> str:
    if facts.survey.format is RowFormat.PREFERENCE:
        pairs = "pair of answers is" if prompts == 1 else "pairs of answers are"
        return f"{prompts:,} {pairs} preferred the other way round, too"
    have = "prompt has" if prompts == 1 else "prompts have"
    return f"{prompts:,} {have} more than one completion"


def find_repeats(values: "array[int]") -> tuple[int, list[tuple[int, int]]]:
    """How many values stood there before, and the first of them: (first time, this time)."""
    count = 0
    found: list[tuple[int, int]] = []
    for mask in _parts(values):
        part = set(compress(values, mask))
        again = mask.count(1) - len(part)
        if not again:
            continue
        count += again
        first: dict[int, int] = {}
        room = SHOWN_PLACES
        for row, value in zip(
            compress(range(len(values)), mask), compress(values, mask), strict=True
        ):
            early = first.setdefault(value, row)
            if early != row:
                found.append((early, row))
                room -= 1
                if not room:
                    break
    return count, sorted(found, key=lambda pair: pair[1])[:SHOWN_PLACES]


def find_contradictions(prompts: "array[int]", rows: "array[int]") -> tuple[int, list[int]]:
    """How many prompts stand in different rows, and the first rows where that shows."""
    count = 0
    found: list[int] = []
    for mask in _parts(prompts):
        if len(set(compress(prompts, mask))) == mask.count(1):
            continue
        first: dict[int, int] = {}
        several: set[int] = set()
        here: list[int] = []
        chosen = zip(
            compress(prompts, mask), compress(rows, mask), compress(range(len(rows)), mask),
            strict=True,
        )  # fmt: skip
        for prompt, row, number in chosen:
            if first.setdefault(prompt, row) != row and prompt not in several:
                several.add(prompt)
                if len(here) < SHOWN_PLACES:
                    here.append(number)
        count += len(several)
        found += here
    return count, sorted(found)[:SHOWN_PLACES]


def _parts(values: "array[int]") -> Iterable[bytes]:
    """Masks that choose each value once, equal ones together, so that a part fits in memory.

    Three passes over a few parts cost less than one set of all values would take room.
    """
    parts = 1
    while parts < _MOST_PARTS and parts * _PART < len(values):
        parts *= 2
    lowest = values.tobytes()[0 if sys.byteorder == "little" else 7 :: 8]
    for part in range(parts):
        yield lowest.translate(bytes(byte % parts == part for byte in range(256)))
