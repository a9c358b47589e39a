"""`ftops data sample`: draws rows for review and stores annotations."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType

from ftops.cli.command import command
from ftops.cli.data.files import check_is_file
from ftops.cli.data.options import OneFile, Reading, print_layouts
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

AnnotationFile = Annotated[
    Path | None,
    typer.Option(
        "--annotations",
        metavar="PATH",
        help="Annotation file; default: FILE.annotations.jsonl.",
    ),
]


def get_annotation_path(file: Path) -> Path:
    """The default annotation file of a data file."""
    return file.with_name(f"{file.name}.annotations.jsonl")


def format_annotation_count(count: int) -> str:
    """The number as text, such as "2 annotations"."""
    return "1 annotation" if count == 1 else f"{count:,} annotations"


def apply_annotations(
    out: Output,
    source: Source,
    file: str,
    where: Path | None,
    *,
    writing: bool,
) -> AnnotatedRows | None:
    """The annotated rows, if there are any. Raises DatasetError if rows are annotated fix."""
    if where is None:
        where = None if file == "-" else get_annotation_path(Path(file))
        if where is None or not where.is_file():
            return None
    annotations = read_annotations(where)
    marked = match_annotations(source, annotations, str(where))
    absent = f", {marked.absent:,} of rows that are not in {file}" if marked.absent else ""
    out.info(f"{where}: {format_annotation_count(len(annotations))}{absent}")
    rows_to_fix = format_rows_to_fix(marked, source.unit)
    if rows_to_fix and writing:
        raise DatasetError(
            f"{source.name}: {rows_to_fix}",
            hint="Edit them in the file, which removes the annotation; annotate them keep or drop;"
            " or pass --ignore-annotations.",
        )
    if rows_to_fix:
        out.info(f"warning: {rows_to_fix}; nothing is written until they are fixed")
    return marked


Count = Annotated[int, typer.Option("--rows", "-n", min=1, max=10_000, help="Number of rows.")]
Seed = Annotated[int, typer.Option("--seed", help="Random seed.")]
Html = Annotated[
    Path | None,
    typer.Option(
        "--html", metavar="PAGE", help="Write an HTML page to annotate the rows in a browser."
    ),
]
SetAnnotation = Annotated[
    list[str] | None,
    typer.Option(
        "--annotate", metavar="ID=LABEL", help="Annotate a row: keep, fix or drop. Repeatable."
    ),
]
Review = Annotated[bool, typer.Option("--review", help="Ask for a label after each row.")]
Unannotated = Annotated[
    bool, typer.Option("--unannotated", help="Only rows without an annotation.")
]
_PAGE_MODE = 0o644
_PAGES = (".html", ".htm")
_ANSWERS = {"k": "keep", "f": "fix", "d": "drop"}


@dataclass(frozen=True, slots=True)
class SampleOptions:
    """Which rows are drawn, and how they are reviewed and annotated."""

    count: Count = 20
    seed: Seed = 42
    html: Html = None
    annotation_file: AnnotationFile = None
    annotate: SetAnnotation = None
    review: Review = False
    unannotated: Unannotated = False


@command(
    "data sample",
    examples=[
        "ftops data sample rows.jsonl -n 50",
        "ftops data sample rows.jsonl --review --unannotated",
        "ftops data sample rows.jsonl --html sample.html",
        "ftops data sample rows.jsonl --annotate 9f86d081884c7d65=drop",
    ],
)
def sample(out: Output, file: OneFile, *, options: SampleOptions, reading: Reading) -> None:
    """Review a random sample and annotate rows: keep, fix or drop.

    Annotations are stored by row content, so they stay with a row in any file and order.
    """
    check_is_file(file)
    read_options = reading.to_read_options()
    where = options.annotation_file or get_annotation_path(file)
    annotations = read_annotations(where) if where.exists() else {}
    if options.annotate:
        _set_annotations(out, options.annotate, annotations, where)
        return
    print_layouts(out, read_options, file)
    without = annotations if options.unannotated else ()
    drawn = draw_sample(file, read_options, options.count, options.seed, without=without)
    if drawn.problem:
        out.info(f"warning: {drawn.problem}; run `ftops data check` for details")
    if options.html is not None:
        _write_page(options.html, drawn, annotations, file, where)
    if options.review:
        _review(out, drawn, annotations, where)
    shown = not options.review and options.html is None
    _finish(out, drawn, annotations, options.html, where, shown=shown)


def _set_annotations(
    out: Output, wanted: list[str], annotations: dict[str, Annotation], where: Path
) -> None:
    for one in wanted:
        row, _, name = one.partition("=")
        try:
            annotations.update([parse_annotation({"row": row, "label": name})])
        except ValueError as error:
            raise UsageError(f"--annotate {one}: {error}", hint="Such as ID=drop.") from None
    write_annotations(where, annotations)
    out.finish(
        {"annotations_file": str(where), "annotations": len(annotations)},
        essential=[str(where)],
        human=lambda: [f"{format_annotation_count(len(annotations))} in {where}"],
    )


def _write_page(
    page: Path, drawn: Sample, annotations: dict[str, Annotation], file: Path, where: Path
) -> None:
    if page.suffix.lower() not in _PAGES:  # never overwrite data with a page
        raise UsageError(f"--html {page}: the page must end in .html", hint=f"Such as {page}.html.")
    text = render_page(drawn, annotations, name=file.name, unit="row", annotations_file=where)
    write_atomic(page, text.encode("utf-8", "replace"), mode=_PAGE_MODE)


def _review(out: Output, drawn: Sample, annotations: dict[str, Annotation], where: Path) -> None:
    """Prompt for each row; each answer is written to disk before the next prompt."""
    for number, row in enumerate(drawn.rows, 1):
        out.info("\n".join(_render_row(row, annotations.get(row.id))))
        out.info(f"[{number} of {len(drawn.rows)}] k: keep, f: fix, d: drop, q: end, else: next")
        answer = sys.stdin.readline()
        if not answer or answer.strip().lower() == "q":
            return
        name, _, note = answer.strip().partition(" ")
        if name.lower() in _ANSWERS:
            annotations[row.id] = Annotation(AnnotationLabel(_ANSWERS[name.lower()]), note.strip())
            write_annotations(where, annotations)


def _finish(
    out: Output,
    drawn: Sample,
    annotations: dict[str, Annotation],
    page: Path | None,
    where: Path,
    *,
    shown: bool,
) -> None:
    document = _to_json(drawn, annotations, page, where)

    def human() -> Iterator[RenderableType]:
        for row in drawn.rows if shown else ():
            yield from _render_row(row, annotations.get(row.id))
        marked = sum(row.id in annotations for row in drawn.rows)
        yield f"{len(drawn.rows):,} of {format_rows(drawn.total)}; {marked:,} annotated in {where}"
        if page is not None:
            yield f"open {page}"
        if annotations:
            yield "`ftops data prepare` drops rows annotated drop; rows annotated fix block it."

    essential = [str(page)] if page is not None else [row.id for row in drawn.rows]
    if shown and out.mode is Mode.HUMAN and out.console.is_terminal:
        with out.console.pager():
            out.finish(document, essential=essential, human=human)
        return
    out.finish(document, essential=essential, human=human)


def _to_json(
    drawn: Sample, annotations: dict[str, Annotation], page: Path | None, where: Path
) -> Json:
    return {
        "rows": [
            {
                "row": row.id,
                "line": row.line,
                "label": annotations[row.id].label.value if row.id in annotations else None,
                "parts": [{"name": name, "text": text} for name, text in row.parts],
            }
            for row in drawn.rows
        ],
        "total_rows": drawn.total,
        "annotations_file": str(where),
        "page": None if page is None else str(page),
    }


def _render_row(row: SampledRow, annotation: Annotation | None) -> Iterator[str]:
    said = (
        f"  {annotation.label}{f': {annotation.note}' if annotation.note else ''}"
        if annotation
        else ""
    )
    yield f"── {row.line}  {row.id}{said}"
    for name, text in row.parts:
        yield f"{name}:"
        yield "\n".join(f"    {line}" for line in text.splitlines()) or "    (nothing)"
    yield ""
