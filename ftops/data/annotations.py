"""Annotations of rows by reviewers: JSON Lines, one object each.

    {"row": "9f86d081884c7d65", "label": "drop", "note": "two questions at once"}

`row` is the id of the row's content (`rows.row_id`): an annotation follows its row through
reordered and renamed files, and ends when the row is edited. `label` is `keep`, `fix` or `drop`;
`note` is optional. The last annotation of a row counts.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import orjson

from ftops.data.batch_parser import BatchParser
from ftops.data.findings import Occurrences
from ftops.data.fixes.filters import MAX_DROPPED
from ftops.data.reading.source import Source
from ftops.data.rows import raw_id
from ftops.errors import DatasetError
from ftops.files import write_atomic

_ID = re.compile(r"[0-9a-f]{16}")
_KEYS = {"row", "label", "note"}
_MODE = 0o644
_MOST_BYTES = 256 << 20


_SHOWN = 5


class AnnotationLabel(StrEnum):
    """What to do with a row: keep it, fix it or drop it."""

    KEEP = "keep"
    FIX = "fix"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Annotation:
    """The label of a row, with a note."""

    label: AnnotationLabel
    note: str = ""


def read_annotations(path: Path) -> dict[str, Annotation]:
    """The annotations of a file by row id; DatasetError names the invalid line."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DatasetError(f"{path}: an annotation file has at most {_MOST_BYTES >> 20} MiB")
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise DatasetError(f"{path}: cannot read: {error.strerror or error}") from error
    annotations: dict[str, Annotation] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row, annotation = parse_annotation(_load(line))
        except ValueError as error:
            raise DatasetError(
                f"{path}:{number}: {error}",
                hint='An annotation is {"row": "16 hex digits", "label": "keep", "fix" or "drop"}.',
            ) from None
        annotations[row] = annotation
    return annotations


def _load(line: bytes) -> object:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg}") from None


def parse_annotation(value: object) -> tuple[str, Annotation]:
    """A row's id and its annotation; ValueError, with the reason, for anything else."""
    if not isinstance(value, dict):
        raise ValueError("not an object")
    unknown = sorted(set(value) - _KEYS)
    if unknown:
        raise ValueError(f"unknown key {unknown[0]!r}")
    row, name, note = value.get("row"), value.get("label"), value.get("note", "")
    if not isinstance(row, str) or not _ID.fullmatch(row):
        raise ValueError(f"row is {row!r}, not the id of a row")
    if name not in list(AnnotationLabel):
        raise ValueError(f"label is {name!r}, not keep, fix or drop")
    if not isinstance(note, str):
        raise ValueError(f"note is {note!r}, not text")
    return row, Annotation(AnnotationLabel(name), note)


def write_annotations(path: Path, annotations: Mapping[str, Annotation]) -> None:
    """Write the annotations to `path`, atomically."""
    write_atomic(path, b"".join(map(_render, annotations.items())), mode=_MODE)


def _render(item: tuple[str, Annotation]) -> bytes:
    row, annotation = item
    note = {"note": annotation.note} if annotation.note else {}
    return orjson.dumps({"row": row, "label": annotation.label.value} | note) + b"\n"


@dataclass(frozen=True, slots=True)
class AnnotatedRows:
    """The annotations of a source.

    `dropped` are the ids of all rows annotated drop, also of rows that the source does not have.
    `fix` are the rows annotated fix; `absent` counts annotations of rows not in the source.
    """

    file: str
    dropped: tuple[str, ...] = ()
    fix: Occurrences | None = None
    absent: int = 0


def match_annotations(
    source: Source, annotations: Mapping[str, Annotation], file: str
) -> AnnotatedRows:
    """The annotations of `file` that apply to the source; DatasetError for too many to plan.

    Only valid rows are matched, as only those are shown for review.
    """
    dropped = tuple(
        sorted(
            row
            for row, annotation in annotations.items()
            if annotation.label is AnnotationLabel.DROP
        )
    )
    if len(dropped) > MAX_DROPPED:
        raise DatasetError(
            f"{file}: {len(dropped):,} rows are annotated drop, and a plan holds {MAX_DROPPED:,}",
            hint="Leave them out of the data itself.",
        )
    fix, left = Occurrences(), set(annotations)
    parser = BatchParser(unit=source.unit)
    for batch in source.batches() if annotations else ():
        rows = parser.parse(batch)
        for place, raw in zip(rows.places, rows.raws, strict=True):
            row = raw_id(raw)
            left.discard(row)
            if row in annotations and annotations[row].label is AnnotationLabel.FIX:
                fix.add(place)
    return AnnotatedRows(file, dropped, fix if fix.count else None, len(left))


def format_rows_to_fix(annotated: AnnotatedRows, unit: str) -> str:
    """Describe the rows annotated fix; "" if there are none."""
    if annotated.fix is None:
        return ""
    count, places = annotated.fix.count, annotated.fix.places[:_SHOWN]
    rows = "1 row is" if count == 1 else f"{count:,} rows are"
    numbers = ", ".join(map(str, places)) + (", …" if count > len(places) else "")
    return f"{rows} annotated fix: {unit}{'' if count == 1 else 's'} {numbers}"
