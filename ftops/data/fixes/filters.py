"""Fixes that drop valid rows: too long, duplicate, outvoted or annotated."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from ftops.data.checks.duplicates import ValuePart, split_values
from ftops.data.fixes.fix import DROPPED, DatasetFilter, FixBatch, FixParam, RowFilter, RowHashes
from ftops.data.rows import Row, raw_id
from ftops.records import Json, RowFormat
from ftops.rows.messages import JsonObject
from ftops.rows.tools import answer_text


class DropLongRows(RowFilter):
    CODE = "drop-long-rows"
    TITLE = "drop rows that are too long"
    ABOUT = (
        "Drops rows with more characters, prompt and completion together, than the given number."
    )
    PARAMS: ClassVar = {"characters": FixParam("number", "the maximum of a row")}

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
    TITLE = "keep the most frequent completion of a prompt"
    ABOUT = (
        "Where a prompt has several labels, the rows with the most frequent one stay; on a"
        " tie, those with the first one. Proposed only for classification, since variety may"
        " be intended elsewhere."
    )
    NEEDS_PROMPTS = True

    def drop_rows(self, hashes: RowHashes) -> int:
        count = 0
        for part in split_values(hashes.prompts):
            first: dict[int, int] = {}
            several: set[int] = set()
            for number, prompt in part.numbered():
                row = hashes.rows[number]
                if first.setdefault(prompt, row) != row:
                    several.add(prompt)
            del first
            if several:
                count += _count_votes(hashes, several, part)
        return count


def _count_votes(hashes: RowHashes, several: set[int], part: ValuePart) -> int:
    votes: dict[int, dict[int, int]] = {}
    for number, prompt in part.numbered():
        if prompt in several:
            given = votes.setdefault(prompt, {})
            row = hashes.rows[number]
            given[row] = given.get(row, 0) + 1
    # max returns the first of equal values, and mappings keep insertion order
    winners = {prompt: max(given, key=given.__getitem__) for prompt, given in votes.items()}
    count = 0
    for number, prompt in part.numbered():
        if prompt in several and hashes.rows[number] != winners[prompt]:
            hashes.drop(number)
            count += 1
    return count


class DropDuplicates(DatasetFilter):
    CODE = "drop-duplicates"
    TITLE = "keep the first of duplicate rows"
    ABOUT = (
        "Drops rows that are equal after all other fixes. Unicode normalization forms of a"
        " text are equal; no text is rewritten."
    )

    def drop_rows(self, hashes: RowHashes) -> int:
        count = 0
        for part in split_values(hashes.rows):
            if not part.count_again():
                continue
            seen: set[int] = set()
            for number, row in part.numbered():
                if row in seen:
                    hashes.drop(number)
                    count += 1
                elif row != DROPPED:
                    seen.add(row)
        return count


MAX_DROPPED = 10_000


class DropAnnotated(RowFilter):
    CODE = "drop-annotated"
    TITLE = "drop rows annotated drop"
    ABOUT = (
        "Drops rows that were annotated drop in `ftops data sample`. They are identified by"
        " their content before any fix, so they are dropped from other data, too; an edited"
        " row is kept. A plan names 10,000 at most. Applied without confirmation."
    )
    PARAMS: ClassVar = {"rows": FixParam("texts", "the row ids, as in the annotation file")}

    def __init__(self, values: Mapping[str, Json]) -> None:
        super().__init__(values)
        self._dropped = frozenset(self.texts("rows"))

    def find_kept_rows(self, rows: FixBatch) -> Sequence[bool] | None:
        kept = [name not in self._dropped for name in list_row_ids(rows)]
        return None if all(kept) else kept


def list_row_ids(rows: FixBatch) -> Sequence[str]:
    """The content id of each row."""
    raws: Sequence[JsonObject] = rows.raws
    if rows.format is RowFormat.COMPLETION:
        pairs = zip(rows.prompts, rows.completions, strict=True)
        raws = [{"prompt": prompt, "completion": completion} for prompt, completion in pairs]
    return list(map(raw_id, raws))
