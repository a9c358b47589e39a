"""`ftops data diff`: compares two versions of a dataset."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType

from ftops.cli.command import command
from ftops.cli.data.files import check_is_file
from ftops.cli.data.options import Reading, print_layouts
from ftops.cli.output import Output
from ftops.data.diff import DatasetDiff, diff_files
from ftops.data.findings import format_rows
from ftops.data.profile import get_common_prefix
from ftops.data.review import SampledRow
from ftops.records import Json

Old = Annotated[Path, typer.Argument(metavar="OLD", help="Earlier version.")]
New = Annotated[Path, typer.Argument(metavar="NEW", help="Later version.")]
Shown = Annotated[
    int, typer.Option("--show", min=0, max=1000, help="Number of rows to show per kind of change.")
]
Exact = Annotated[bool, typer.Option("--exact", help="Count edited rows as removed and added.")]
_KINDS = {
    "added": "added",
    "removed": "removed",
    "answered": "same prompt, other completion",
    "edited": "nearly the same",
}
_LONGEST = 200
_AROUND = 60  # characters before the first difference


@command(
    "data diff",
    examples=["ftops data diff rows.jsonl rows-2.jsonl", "ftops data diff a.csv b.jsonl --json"],
)
def diff(
    out: Output,
    old: Old,
    new: New,
    show: Shown = 3,
    exact: Exact = False,
    *,
    reading: Reading,
) -> None:
    """Compare two versions of a dataset: rows and class shares.

    The order of the rows and the file format do not matter.
    """
    check_is_file(old, new)
    options = reading.to_read_options()
    print_layouts(out, options, old, new)
    found = diff_files(old, new, options, shown=show, edits=not exact)
    out.finish(
        _to_json(found),
        essential=[
            f"{kind} {getattr(found, kind)}"
            for kind in ("same", "added", "removed", "answered", "edited")
        ],
        human=lambda: _render(found),
    )


def _to_json(found: DatasetDiff) -> Json:
    return {
        "old_rows": found.old_rows,
        "new_rows": found.new_rows,
        "same": found.same,
        "added": found.added,
        "removed": found.removed,
        "answered": found.answered,
        "edited": found.edited,
        "classes": None
        if found.classes is None
        else {label: {"old": old, "new": new} for label, (old, new) in found.classes.items()},
        "shown": {
            kind: [{"old": _row_document(old), "new": _row_document(new)} for old, new in pairs]
            for kind, pairs in found.shown.items()
        },
    }


def _row_document(row: SampledRow | None) -> Json:
    if row is None:
        return None
    parts: list[Json] = [{"name": name, "text": text} for name, text in row.parts]
    return {"row": row.id, "line": row.line, "parts": parts}


def _render(found: DatasetDiff) -> Iterator[RenderableType]:
    same = "1 is" if found.same == 1 else f"{found.same:,} are"
    yield f"{format_rows(found.old_rows)} before, {found.new_rows:,} now; {same} the same"
    for kind, name in _KINDS.items():
        count = getattr(found, kind)
        if not count:
            continue
        yield ""
        yield f"{count:,} {name}"
        for old, new in found.shown[kind]:
            yield from _render_pair(old, new)
        if count > len(found.shown[kind]):
            yield "  …"
    yield from _render_classes(found)


def _render_pair(old: SampledRow | None, new: SampledRow | None) -> Iterator[str]:
    """The versions of a row around the first difference; None for an added or removed row."""
    texts = [_join_parts(row) for row in (old, new) if row is not None]
    same = len(get_common_prefix(texts)) if len(texts) > 1 else 0
    for sign, row in (("-", old), ("+", new)):
        if row is not None:
            yield f"  {sign} {row.line}: {_excerpt(_join_parts(row), same)}"


def _join_parts(row: SampledRow) -> str:
    return " | ".join(text for _, text in row.parts).replace("\n", "\\n")


def _excerpt(text: str, at: int) -> str:
    """An excerpt that contains position `at`, from the beginning of the text if possible."""
    start = 0 if at < _LONGEST - _AROUND else at - _AROUND
    lead, piece = ("…" if start else ""), text[start : start + _LONGEST - 2]
    return f"{lead}{piece}{'…' if start + len(piece) < len(text) else ''}"


def _render_classes(found: DatasetDiff) -> Iterator[str]:
    changed = {label: pair for label, pair in (found.classes or {}).items() if pair[0] != pair[1]}
    if not changed:
        return
    yield ""
    yield "classes whose rows changed"
    for label, (old, new) in changed.items():
        before, after = old / max(found.old_rows, 1), new / max(found.new_rows, 1)
        yield f"  {label!r}: {old:,} ({before:.1%}) -> {new:,} ({after:.1%})"
