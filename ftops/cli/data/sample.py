"""`ftops data sample`: some rows to read by eye, and what was thought of them."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType

from ftops.cli.command import command
from ftops.cli.data.files import check_is_file
from ftops.cli.data.options import OneFile, Reading, say_layouts
from ftops.cli.output import Mode, Output
from ftops.data.annotations import (
    AnnotatedRows,
    Annotation,
    AnnotationLabel,
    format_rows_to_fix,
    match_annotations,
    parse_annotation,
    read_annotations,
    write_annotations,
)
from ftops.data.findings import format_rows
from ftops.data.reading.source import Source
from ftops.data.review import Sample, SampledRow, draw_sample, render_page
from ftops.errors import DatasetError, UsageError
from ftops.files import write_atomic
from ftops.records import Json

MarksFile = Annotated[
    Path | None,
    typer.Option(
        "--annotations",
        metavar="PATH",
        help="Annotation file; default: FILE.annotations.jsonl.",
    ),
]


def name_marks(file: Path) -> Path:
    """Where the marks of a file are kept unless somebody says otherwise."""
    return file.with_name(f"{file.name}.annotations.jsonl")


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
            " --ignore-annotations.",
        )
    if unmended:
        out.info(f"warning: {unmended}; nothing will be written before they are mended")
    return marked


Count = Annotated[int, typer.Option("--rows", "-n", min=1, max=10_000, help="Number of rows.")]
Seed = Annotated[int, typer.Option("--seed", help="Random seed.")]
Html = Annotated[
    Path | None,
    typer.Option(
        "--html", metavar="PAGE", help="Write an HTML page to annotate the rows in a browser."
    ),
]
SetMark = Annotated[
    list[str] | None,
    typer.Option(
        "--annotate", metavar="ID=LABEL", help="Annotate a row: fine, fix or drop. Repeatable."
    ),
]
Review = Annotated[bool, typer.Option("--review", help="Ask for a label after each row.")]
Unmarked = Annotated[bool, typer.Option("--unannotated", help="Only rows without an annotation.")]
_PAGE_MODE = 0o644
_PAGES = (".html", ".htm")
_ANSWERS = {"f": "fine", "x": "fix", "d": "drop"}


@command(
    "data sample",
    examples=[
        "ftops data sample rows.jsonl -n 50",
        "ftops data sample rows.jsonl --review --unannotated",
        "ftops data sample rows.jsonl --html sample.html",
        "ftops data sample rows.jsonl --annotate 9f86d081884c7d65=drop",
    ],
)
def sample(
    out: Output,
    file: OneFile,
    count: Count = 20,
    seed: Seed = 42,
    html: Html = None,
    marks_file: MarksFile = None,
    mark: SetMark = None,
    review: Review = False,
    unmarked: Unmarked = False,
    *,
    reading: Reading,
) -> None:
    """Review a random sample and annotate rows: fine, fix or drop.

    Annotations are stored by row content, so they stay with a row in any file and order.
    """
    check_is_file(file)
    options = reading.find_options()
    where = marks_file or name_marks(file)
    marks = read_annotations(where) if where.exists() else {}
    if mark:
        _set_marks(out, mark, marks, where)
        return
    say_layouts(out, options, file)
    drawn = draw_sample(file, options, count, seed, without=marks if unmarked else ())
    if drawn.problem:
        out.info(f"warning: {drawn.problem}; `ftops data check` tells more")
    if html is not None:
        _write_page(html, drawn, marks, file, where)
    if review:
        _review(out, drawn, marks, where)
    _finish(out, drawn, marks, html, where, shown=not review and html is None)


def _set_marks(out: Output, wanted: list[str], marks: dict[str, Annotation], where: Path) -> None:
    for one in wanted:
        row, _, name = one.partition("=")
        try:
            marks.update([parse_annotation({"row": row, "mark": name})])
        except ValueError as error:
            raise UsageError(f"--annotate {one}: {error}", hint="Such as ID=drop.") from None
    write_annotations(where, marks)
    out.finish(
        {"annotations_file": str(where), "marks": len(marks)},
        essential=[str(where)],
        human=lambda: [f"{say_marks(len(marks))} in {where}"],
    )


def _write_page(
    page: Path, drawn: Sample, marks: dict[str, Annotation], file: Path, where: Path
) -> None:
    if page.suffix.lower() not in _PAGES:  # nobody means to write a page over data
        raise UsageError(f"--html {page}: a page is called .html", hint=f"Such as {page}.html.")
    text = render_page(drawn, marks, name=file.name, unit="row", marks_file=where)
    write_atomic(page, text.encode("utf-8", "replace"), mode=_PAGE_MODE)


def _review(out: Output, drawn: Sample, marks: dict[str, Annotation], where: Path) -> None:
    """Ask row by row; each answer is on disk before the next question."""
    for number, row in enumerate(drawn.rows, 1):
        out.info("\n".join(_render_row(row, marks.get(row.id))))
        out.info(f"[{number} of {len(drawn.rows)}] f: fine, x: fix, d: drop, q: end, else: next")
        answer = sys.stdin.readline()
        if not answer or answer.strip().lower() == "q":
            return
        name, _, note = answer.strip().partition(" ")
        if name.lower() in _ANSWERS:
            marks[row.id] = Annotation(AnnotationLabel(_ANSWERS[name.lower()]), note.strip())
            write_annotations(where, marks)


def _finish(
    out: Output,
    drawn: Sample,
    marks: dict[str, Annotation],
    page: Path | None,
    where: Path,
    *,
    shown: bool,
) -> None:
    document = _to_json(drawn, marks, page, where)

    def human() -> Iterator[RenderableType]:
        for row in drawn.rows if shown else ():
            yield from _render_row(row, marks.get(row.id))
        marked = sum(row.id in marks for row in drawn.rows)
        yield f"{len(drawn.rows):,} of {format_rows(drawn.of)}; {marked:,} marked in {where}"
        if page is not None:
            yield f"open {page}"
        if marks:
            yield "`ftops data prepare` leaves out what is marked drop, and waits for what is fix."

    essential = [str(page)] if page is not None else [row.id for row in drawn.rows]
    if shown and out.mode is Mode.HUMAN and out.console.is_terminal:
        with out.console.pager():
            out.finish(document, essential=essential, human=human)
        return
    out.finish(document, essential=essential, human=human)


def _to_json(drawn: Sample, marks: dict[str, Annotation], page: Path | None, where: Path) -> Json:
    return {
        "rows": [
            {
                "row": row.id,
                "line": row.line,
                "mark": marks[row.id].verdict.value if row.id in marks else None,
                "parts": [{"name": name, "text": text} for name, text in row.parts],
            }
            for row in drawn.rows
        ],
        "of": drawn.of,
        "annotations_file": str(where),
        "page": None if page is None else str(page),
    }


def _render_row(row: SampledRow, mark: Annotation | None) -> Iterator[str]:
    said = f"  {mark.verdict}{f': {mark.note}' if mark.note else ''}" if mark else ""
    yield f"── {row.line}  {row.id}{said}"
    for name, text in row.parts:
        yield f"{name}:"
        yield "\n".join(f"    {line}" for line in text.splitlines()) or "    (nothing)"
    yield ""
