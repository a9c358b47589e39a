"""The marks that are kept beside data: where they are, and what they mean for a preparation."""

from pathlib import Path
from typing import Annotated

import typer

from ftops.cli.output import Output
from ftops.data.annotations import (
    AnnotatedRows,
    format_rows_to_fix,
    match_annotations,
    read_annotations,
)
from ftops.data.reading.source import Source
from ftops.errors import DatasetError

MarksFile = Annotated[
    Path | None,
    typer.Option(
        "--marks", metavar="MARKS", help="Where marks are kept; default: FILE.marks.jsonl."
    ),
]


def name_marks(file: Path) -> Path:
    """Where the marks of a file are kept unless somebody says otherwise."""
    return file.with_name(f"{file.name}.marks.jsonl")


def say_marks(count: int) -> str:
    """ "1 mark", "2 marks", …"""
    return "1 mark" if count == 1 else f"{count:,} marks"


def honour_marks(
    out: Output,
    source: Source,
    file: str,
    where: Path | None,
    *,
    writing: bool,
) -> AnnotatedRows | None:
    """What the marks say, if there are any; DatasetError when rows wait to be mended."""
    if where is None:
        where = None if file == "-" else name_marks(Path(file))
        if where is None or not where.is_file():
            return None
    marks = read_annotations(where)
    marked = match_annotations(source, marks, str(where))
    absent = f", {marked.absent:,} of rows that are not in {file}" if marked.absent else ""
    out.info(f"{where}: {say_marks(len(marks))}{absent}")
    unmended = format_rows_to_fix(marked, source.unit)
    if unmended and writing:
        raise DatasetError(
            f"{source.name}: {unmended}",
            hint="Mend them in the file, which takes the mark away; or mark them fine or drop; or"
            " --ignore-marks.",
        )
    if unmended:
        out.info(f"warning: {unmended}; nothing will be written before they are mended")
    return marked
