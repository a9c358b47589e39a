"""Random samples of rows for review; the same rows and seed give the same sample in any order."""

import heapq
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import orjson

from ftops.data.annotations import Annotation
from ftops.data.batch_parser import digest_text
from ftops.data.reading.options import ReadOptions
from ftops.data.rows import Row, read_rows, row_id
from ftops.errors import DatasetError
from ftops.rows.formats import COMPLETION, PREFERENCE
from ftops.rows.tools import answer_text
from ftops.text import show_hidden

_PAGE = Path(__file__).with_name("review.html")
# characters that could end the script element from inside a text
_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


@dataclass(frozen=True, slots=True)
class SampledRow:
    """A row with its id and line; `parts` are names and texts in reading order."""

    id: str
    line: int
    parts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """The rows in the order of the file; `problem` is the first error of the other rows."""

    rows: tuple[SampledRow, ...]
    total: int
    problem: str = ""


def draw_sample(
    path: Path, options: ReadOptions, count: int, seed: int, *, without: Collection[str] = ()
) -> Sample:
    """A sample of `count` distinct rows, without those whose id is in `without`.

    DatasetError if there is no valid row. Memory holds only the sample.
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
            lot = -int.from_bytes(digest_text(f"{seed}\n{name}"))
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
    rows = sorted(((row.line, name, row) for _, name, row in kept), key=lambda row: row[0])
    sampled = tuple(SampledRow(name, line, read_parts(row)) for line, name, row in rows)
    return Sample(sampled, total, problem)


def read_parts(row: Row) -> tuple[tuple[str, str], ...]:
    """Names and texts of a row: prompt and completion, or roles and messages."""
    if row.format is COMPLETION:
        return tuple((key, cast(str, row.raw[key])) for key in ("prompt", "completion"))
    parts = [(cast(str, message["role"]), answer_text(message)) for message in row.messages]
    if row.format is PREFERENCE:
        parts[-1] = ("preferred", parts[-1][1])
        parts.append(("not preferred", row.other))
    return tuple(parts)


def render_page(
    sample: Sample,
    annotations: Mapping[str, Annotation],
    *,
    name: str,
    unit: str,
    annotations_file: Path,
) -> str:
    """The review page as HTML; texts are data in it, never markup or script.

    Hidden characters are shown as escapes. Notes keep their text unless they are edited.
    """
    rows = [
        {
            "id": row.id,
            "line": row.line,
            "parts": [(show_hidden(label), show_hidden(text)) for label, text in row.parts],
            "note": show_hidden(annotations[row.id].note) if row.id in annotations else "",
        }
        for row in sample.rows
    ]
    data = {
        "name": show_hidden(name),
        "unit": unit,
        "annotations_file": show_hidden(str(annotations_file)),
        "annotations_name": annotations_file.name,
        "rows": rows,
        "annotations": {
            row: {"label": annotation.label.value, "note": annotation.note}
            for row, annotation in annotations.items()
        },
    }
    text = show_hidden(orjson.dumps(data).decode()).translate(_ESCAPES)  # escapes of JSON, too
    return _PAGE.read_text(encoding="utf-8").replace("@DATA@", text)
