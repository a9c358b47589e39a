"""A sample as one page that needs nothing else: rows, buttons to mark them, the marks as a file."""

from collections.abc import Mapping
from pathlib import Path

import orjson

from ftops.dataset.samples.drawing import Sample
from ftops.dataset.samples.marks import Mark

_PAGE = Path(__file__).with_name("page.html")
# what could end the script element, or a line of it, from inside of a text
_ESCAPES = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
)


def render_page(
    sample: Sample, marks: Mapping[str, Mark], *, name: str, unit: str, marks_file: Path
) -> str:
    """The page; texts stand in it as data, never as markup or script."""
    data = {
        "name": name,
        "unit": unit,
        "marks_file": str(marks_file),
        "marks_name": marks_file.name,
        "rows": [{"id": row.id, "line": row.line, "parts": row.parts} for row in sample.rows],
        "marks": {
            row: {"mark": mark.verdict.value, "note": mark.note} for row, mark in marks.items()
        },
    }
    text = orjson.dumps(data).decode().translate(_ESCAPES)
    return _PAGE.read_text(encoding="utf-8").replace("@DATA@", text)
