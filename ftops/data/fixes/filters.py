"""Rows that are left out though each is good: too long, there already, outvoted."""

import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from itertools import compress
from typing import ClassVar

from ftops.data.fixes.fix import DROPPED, DatasetFilter, FixBatch, FixParam, RowFilter, RowHashes
from ftops.data.row_hash import raw_id
from ftops.data.rows import Row
from ftops.records import Json, RowFormat
from ftops.rows.messages import JsonObject
from ftops.rows.tools import answer_text

_PART = 1 << 17  # values of which a set is held
_MOST_PARTS = 64


class DropLongRows(RowFilter):
    CODE = "drop-long-rows"
    TITLE = "leave out rows that are too long"
    ABOUT = "Rows of more characters than the number given, prompt and completion together."
    PARAMS: ClassVar = {"characters": FixParam("number", "the most that a row may have")}

    def find_kept_rows(self, rows: FixBatch) -> Sequence[bool] | None:
        most = self.number("characters")
        if rows.format is RowFormat.COMPLETION:
            pairs = zip(rows.prompts, rows.completions, strict=True)
            kept = [len(prompt) + len(completion) <= most for prompt, completion in pairs]
        else:
            singles = map(Row, rows.places, [rows.format] * len(rows.raws), rows.raws)
            kept = [
                sum(len(answer_text(one)) for one in row.messages) + len(row.other) <= most
                for row in singles
            ]
        return None if all(kept) else kept


class MajorityVote(DatasetFilter):
    CODE = "majority-vote"
    TITLE = "keep the completion that most rows of a prompt have"
    ABOUT = (
        "Where one prompt has several labels, the rows of the most frequent one stay; where two are"
        " as frequent, those of the one that stands first. Proposed for classification only:"
        " elsewhere variety may be meant."
    )
    NEEDS_PROMPTS = True

    def drop_rows(self, hashes: RowHashes) -> int:
        rows, questions = hashes.rows, hashes.questions
        count = 0
        for mask in iter_value_masks(questions):
            first: dict[int, int] = {}
            several: set[int] = set()
            for question, row in zip(compress(questions, mask), compress(rows, mask), strict=True):
                if first.setdefault(question, row) != row:
                    several.add(question)
            del first
            if several:
                count += _count_votes(hashes, several, mask)
        return count


def _count_votes(hashes: RowHashes, several: set[int], mask: bytes) -> int:
    votes: dict[int, dict[int, int]] = {}
    for number in _find(hashes.questions, several, mask):
        given = votes.setdefault(hashes.questions[number], {})
        row = hashes.rows[number]
        given[row] = given.get(row, 0) + 1
    # max takes the first of equals, and mappings keep the order of coming
    winners = {question: max(given, key=given.__getitem__) for question, given in votes.items()}
    count = 0
    for number in _find(hashes.questions, several, mask):
        if hashes.rows[number] != winners[hashes.questions[number]]:
            hashes.drop(number)
            count += 1
    return count


def _find(questions: "array[int]", several: set[int], mask: bytes) -> Iterator[int]:
    for number in compress(range(len(questions)), mask):
        if questions[number] in several:
            yield number


class DropDuplicates(DatasetFilter):
    CODE = "drop-duplicates"
    TITLE = "keep the first of equal rows"
    ABOUT = (
        "Rows that are the same once all other fixes are done. A letter with an accent is the same"
        " as one code point and as two; nothing is rewritten."
    )

    def drop_rows(self, hashes: RowHashes) -> int:
        rows = hashes.rows
        count = 0
        for mask in iter_value_masks(rows):
            if len(set(compress(rows, mask))) == mask.count(1):
                continue
            seen: set[int] = set()
            for number in compress(range(len(rows)), mask):
                row = rows[number]
                if row in seen:
                    hashes.drop(number)
                    count += 1
                elif row != DROPPED:
                    seen.add(row)
        return count


def iter_value_masks(values: "array[int]") -> Iterator[bytes]:
    """Masks that choose each value once, equal ones together, so that a set of a part is small."""
    parts = 1
    while parts < _MOST_PARTS and parts * _PART < len(values):
        parts *= 2
    lowest = values.tobytes()[0 if sys.byteorder == "little" else 7 :: 8]
    for part in range(parts):
        yield lowest.translate(bytes(byte % parts == part for byte in range(256)))


MOST_MARKED = 10_000


class DropMarked(RowFilter):
    CODE = "drop-marked"
    TITLE = "leave out rows that were marked drop"
    ABOUT = (
        "Rows that were marked drop in `ftops data sample`, known by what they say before any fix:"
        " they are left out of other data, too, wherever they stand in it, and once they are edited"
        f" they stay. A plan names {MOST_MARKED:,} at most. It is done without a question."
    )
    PARAMS: ClassVar = {"rows": FixParam("texts", "the ids of the rows, as in the file of marks")}

    def __init__(self, values: Mapping[str, Json]) -> None:
        super().__init__(values)
        self._dropped = frozenset(self.texts("rows"))

    def find_kept_rows(self, rows: FixBatch) -> Sequence[bool] | None:
        kept = [name not in self._dropped for name in list_row_ids(rows)]
        return None if all(kept) else kept


def list_row_ids(rows: FixBatch) -> Sequence[str]:
    """The id of each row."""
    raws: Sequence[JsonObject] = rows.raws
    if rows.format is RowFormat.COMPLETION:
        pairs = zip(rows.prompts, rows.completions, strict=True)
        raws = [{"prompt": prompt, "completion": completion} for prompt, completion in pairs]
    return list(map(raw_id, raws))
