"""Which rows of a source have marks: what is dropped, and what waits for somebody to mend it."""

from collections.abc import Mapping
from dataclasses import dataclass

from ftops.data.batch_parser import Sifter
from ftops.data.findings import Occurrences
from ftops.data.fixes.filters import MOST_MARKED
from ftops.data.reading.source import Source
from ftops.data.row_hash import raw_id
from ftops.data.samples.marks import Mark, Verdict
from ftops.errors import DatasetError

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Marked:
    """What the marks mean for a source.

    `dropped` are the ids of all rows marked drop, there or not: other data may hold them. `fix` are
    the rows still marked fix, and `absent` counts marks of rows that are not there (any more).
    """

    file: str
    dropped: tuple[str, ...] = ()
    fix: Occurrences | None = None
    absent: int = 0


def find_marked(source: Source, marks: Mapping[str, Mark], file: str) -> Marked:
    """What the marks of that file mean for the source; DatasetError when a plan cannot hold them.

    Only good rows are looked at, as only those are shown to be marked.
    """
    dropped = tuple(sorted(row for row, mark in marks.items() if mark.verdict is Verdict.DROP))
    if len(dropped) > MOST_MARKED:
        raise DatasetError(
            f"{file}: {len(dropped):,} rows are marked drop, and a plan holds {MOST_MARKED:,}",
            hint="Leave them out of the data itself.",
        )
    fix, left = Occurrences(), set(marks)
    sifter = Sifter(unit=source.unit)
    for batch in source.batches() if marks else ():
        rows = sifter.sift(batch)
        for place, raw in zip(rows.places, rows.raws, strict=True):
            row = raw_id(raw)
            left.discard(row)
            if row in marks and marks[row].verdict is Verdict.FIX:
                fix.add(place)
    return Marked(file, dropped, fix if fix.count else None, len(left))


def say_unmended(marked: Marked, unit: str) -> str:
    """Which rows are marked fix; "" when none is."""
    if marked.fix is None:
        return ""
    count, places = marked.fix.count, marked.fix.places[:_SHOWN]
    rows = "1 row is" if count == 1 else f"{count:,} rows are"
    numbers = ", ".join(map(str, places)) + (", …" if count > len(places) else "")
    return f"{rows} marked fix: {unit}{'' if count == 1 else 's'} {numbers}"
