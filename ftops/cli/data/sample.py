"""`ftops data sample`: some rows to read by eye, and what was thought of them."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType

from ftops.cli.command import command
from ftops.cli.data.held_input import check_is_file
from ftops.cli.data.marks import MarksFile, name_marks, say_marks
from ftops.cli.data.options import OneFile, Reading, say_layouts
from ftops.cli.output import Mode, Output
from ftops.data.annotations import (
    Annotation,
    AnnotationLabel,
    parse_annotation,
    read_annotations,
    write_annotations,
)
from ftops.data.findings import format_rows
from ftops.data.review import Sample, SampledRow, draw_sample, render_page
from ftops.errors import UsageError
from ftops.files import write_atomic
from ftops.records import Json

Count = Annotated[int, typer.Option("--rows", "-n", min=1, max=10_000, help="How many rows.")]
Seed = Annotated[int, typer.Option("--seed", help="Another one draws other rows.")]
Html = Annotated[
    Path | None, typer.Option("--html", metavar="PAGE", help="Write them as one page to mark them.")
]
SetMark = Annotated[
    list[str] | None,
    typer.Option(
        "--mark", metavar="ID=MARK", help="Mark a row: fine, fix or drop; again for more."
    ),
]
Review = Annotated[bool, typer.Option("--review", help="Ask for a mark after each row.")]
Unmarked = Annotated[bool, typer.Option("--unmarked", help="Only rows that have no mark yet.")]
_PAGE_MODE = 0o644
_PAGES = (".html", ".htm")
_ANSWERS = {"f": "fine", "x": "fix", "d": "drop"}


@command(
    "data sample",
    examples=[
        "ftops data sample rows.jsonl -n 50",
        "ftops data sample rows.jsonl --review --unmarked",
        "ftops data sample rows.jsonl --html sample.html",
        "ftops data sample rows.jsonl --mark 9f86d081884c7d65=drop",
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
    """Read some rows drawn by lot, and mark them: fine, fix or drop.

    Marks are kept by what a row says, so they stay with it wherever it stands.
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
            raise UsageError(f"--mark {one}: {error}", hint="Such as ID=drop.") from None
    write_annotations(where, marks)
    out.finish(
        {"marks_file": str(where), "marks": len(marks)},
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
        "marks_file": str(where),
        "page": None if page is None else str(page),
    }


def _render_row(row: SampledRow, mark: Annotation | None) -> Iterator[str]:
    said = f"  {mark.verdict}{f': {mark.note}' if mark.note else ''}" if mark else ""
    yield f"── {row.line}  {row.id}{said}"
    for name, text in row.parts:
        yield f"{name}:"
        yield "\n".join(f"    {line}" for line in text.splitlines()) or "    (nothing)"
    yield ""
