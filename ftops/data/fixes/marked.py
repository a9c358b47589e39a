"""Rows that somebody has read and wants left out."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from ftops.data.fixes.protocol import Portion, RowFilter, Value
from ftops.data.identity import raw_id
from ftops.data.messages import Raw
from ftops.records import Json, RowFormat

MOST_MARKED = 10_000


class DropMarked(RowFilter):
    CODE = "drop-marked"
    TITLE = "leave out rows that were marked drop"
    ABOUT = (
        "Rows that were marked drop in `ftops data sample`, known by what they say before any fix:"
        " they are left out of other data, too, wherever they stand in it, and once they are edited"
        f" they stay. A plan names {MOST_MARKED:,} at most. It is done without a question."
    )
    VALUES: ClassVar = {"rows": Value("texts", "the ids of the rows, as in the file of marks")}

    def __init__(self, values: Mapping[str, Json]) -> None:
        super().__init__(values)
        self._dropped = frozenset(self.texts("rows"))

    def find_kept(self, portion: Portion) -> Sequence[bool] | None:
        kept = [name not in self._dropped for name in name_rows(portion)]
        return None if all(kept) else kept


def name_rows(portion: Portion) -> Sequence[str]:
    """The id of each row."""
    raws: Sequence[Raw] = portion.raws
    if portion.format is RowFormat.COMPLETION:
        pairs = zip(portion.prompts, portion.completions, strict=True)
        raws = [{"prompt": prompt, "completion": completion} for prompt, completion in pairs]
    return list(map(raw_id, raws))
