"""A sample as one page that needs nothing else: rows, buttons to mark them, the marks as a file."""

from collections.abc import Mapping
from pathlib import Path

import orjson

from ftops.data.samples.drawing import Sample
from ftops.data.samples.marks import Mark
from ftops.text import show_hidden

_PAGE = Path(__file__).with_name("page.html")
# what could end the script element from inside of a text
_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def render_page(
    sample: Sample, marks: Mapping[str, Mark], *, name: str, unit: str, marks_file: Path
) -> str:
    """The page; texts stand in it as data, never as markup or script.

    Hidden characters are shown as escapes. Notes are saved as they were unless they are edited.
    """
    rows = [
        {
            "id": row.id,
            "line": row.line,
            "parts": [(show_hidden(label), show_hidden(text)) for label, text in row.parts],
            "note": show_hidden(marks[row.id].note) if row.id in marks else "",
        }
        for row in sample.rows
    ]
    data = {
        "name": show_hidden(name),
        "unit": unit,
        "marks_file": show_hidden(str(marks_file)),
        "marks_name": marks_file.name,
        "rows": rows,
        "marks": {
            row: {"mark": mark.verdict.value, "note": mark.note} for row, mark in marks.items()
        },
    }
    text = show_hidden(orjson.dumps(data).decode()).translate(_ESCAPES)  # escapes of JSON, too
    return _PAGE.read_text(encoding="utf-8").replace("@DATA@", text)
