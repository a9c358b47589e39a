"""A random sample of rows to read by eye: the same for the same rows and seed, in any order."""

import heapq
from collections.abc import Collection
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import cast

from ftops.data.reading.options import ReadOptions
from ftops.data.row_hash import row_id
from ftops.data.rows import Row, read_rows
from ftops.errors import DatasetError
from ftops.rows.formats import COMPLETION, PREFERENCE
from ftops.rows.tools import answer_text


@dataclass(frozen=True, slots=True)
class SampledRow:
    """A row with its id and its line; `parts` are names and texts in the order of reading."""

    id: str
    line: int
    parts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """The rows in the order of the file; `problem` says what was wrong with others."""

    rows: tuple[SampledRow, ...]
    of: int
    problem: str = ""


def draw_sample(
    path: Path, options: ReadOptions, count: int, seed: int, *, without: Collection[str] = ()
) -> Sample:
    """`count` different rows, but for those whose id is in `without`.

    DatasetError when there is no good row at all. Only the rows that are drawn are kept.
    """
    kept: list[tuple[int, str, Row]] = []
    drawn: set[str] = set()
    total, problem = 0, ""
    try:
        for row in read_rows(path, options):
            total += 1
            name = row_id(row)
            if name in without or name in drawn:
                continue
            data = f"{seed}\n{name}".encode()
            lot = -int.from_bytes(blake2b(data, digest_size=8).digest())
            if len(kept) < count:
                heapq.heappush(kept, (lot, name, row))
                drawn.add(name)
            elif lot > kept[0][0]:
                drawn.discard(heapq.heapreplace(kept, (lot, name, row))[1])
                drawn.add(name)
    except DatasetError as error:
        if not total:
            raise
        problem = error.message.partition("\n")[0]
    rows = sorted(((row.line, name, row) for _, name, row in kept), key=lambda one: one[0])
    found = tuple(SampledRow(name, line, read_parts(row)) for line, name, row in rows)
    return Sample(found, total, problem)


def read_parts(row: Row) -> tuple[tuple[str, str], ...]:
    """Names and texts of what a row says: prompt and completion, or who says what."""
    if row.format is COMPLETION:
        return tuple((key, cast(str, row.raw[key])) for key in ("prompt", "completion"))
    parts = [(cast(str, message["role"]), answer_text(message)) for message in row.messages]
    if row.format is PREFERENCE:
        parts[-1] = ("preferred", parts[-1][1])
        parts.append(("not preferred", row.other))
    return tuple(parts)
