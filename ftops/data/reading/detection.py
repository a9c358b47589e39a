"""Format detection from the first bytes of a source; the file name extension is a hint."""

import csv
import io
from collections.abc import Sequence
from pathlib import PurePath

import orjson

from ftops.data.reading.json_document import holds_columns
from ftops.data.reading.options import Format
from ftops.errors import DatasetError

DELIMITERS = (",", "\t", ";", "|")
_COMPRESSED = {".gz", ".gzip", ".zst", ".zstd"}
_EXTENSIONS = {
    ".jsonl": Format.JSONL, ".ndjson": Format.JSONL, ".json": Format.JSON, ".csv": Format.CSV,
    ".tsv": Format.TSV, ".tab": Format.TSV, ".xlsx": Format.XLSX, ".xlsm": Format.XLSX,
    ".txt": Format.TXT, ".parquet": Format.PARQUET, ".pq": Format.PARQUET,
}  # fmt: skip
_FOREIGN = (
    (b"%PDF", "a PDF document", "Export its text first."),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file", "Save it as .xlsx or .csv."),
    (b"BZh", "compressed with bzip2", "Decompress it, or compress it with gzip or zstd."),
    (b"\xfd7zXZ", "compressed with xz", "Decompress it, or compress it with gzip or zstd."),
    (b"7z\xbc\xaf", "a 7z archive", "Extract it first."),
    (b"Rar!", "a rar archive", "Extract it first."),
    (b"SQLite format 3", "an SQLite database", "Export the table as CSV."),
    (b"ARROW1", "an Arrow file", "Save it as Parquet."),
    (b"\x89PNG", "a picture", "Training data is text."),
    (b"\xff\xd8\xff", "a picture", "Training data is text."),
    (b"\x93NUMPY", "a NumPy array", "Training data is text."),
    (b"\x80\x04\x95", "a Python pickle", "Save the data as JSON lines."),
)
# what a failed download stores instead of the data
_FAILED_DOWNLOADS = (
    ("version https://git-lfs", "a Git LFS pointer, not the data", "Fetch the data: git lfs pull"),
    ("<!doctype html", "a web page", "Download the file itself, not the page about it."),
    ("<html", "a web page", "Download the file itself, not the page about it."),
)
_SAMPLE_LINES = 20


def find_format_by_name(name: str) -> Format | None:
    """The format of a file name extension, ignoring compression."""
    suffixes = [suffix.lower() for suffix in PurePath(name).suffixes]
    while suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    return _EXTENSIONS.get(suffixes[-1]) if suffixes else None


def detect_binary_format(name: str, head: bytes) -> Format | None:
    """The format of binary data; None for text. Raises DatasetError for unsupported formats."""
    if head.startswith(b"PAR1"):
        return Format.PARQUET
    if head.startswith(b"PK\x03\x04"):
        return Format.XLSX
    for start, what, advice in _FOREIGN:
        if head.startswith(start):
            raise DatasetError(f"{name}: this is {what}", hint=advice)
    return None


def check_text(name: str, head: str, hint: Format | None) -> None:
    """Raise DatasetError if `head`, the start of a decoded text, has many control characters.

    Files with a text extension may contain them, except for U+0000.
    """
    sample = head[:4096]
    if hint is not None and "\0" not in sample:
        return
    wrong = sum(1 for character in sample if character < " " and character not in "\t\n\r\f")
    if wrong > len(sample) // 20:
        raise DatasetError(
            f"{name}: unknown binary format",
            hint="If it is text, name its encoding with --encoding.",
        )


def detect_text_format(name: str, head: str, hint: Format | None) -> Format:
    """The format of a text from its start. Raises DatasetError if it is unknown."""
    start = head.lstrip()
    _check_failed_download(name, start)
    if start.startswith("["):
        return Format.JSONL if hint is Format.JSONL and _is_line(start) else Format.JSON
    if start.startswith("{"):
        return _detect_object_format(start, hint)
    if hint is Format.JSONL and _is_pairs_table(head):
        return Format.CSV
    if hint is not None and hint not in (Format.XLSX, Format.PARQUET):
        return hint
    if not start:
        return Format.JSONL
    delimiter = find_delimiter(head)
    if delimiter:
        return Format.TSV if delimiter == "\t" else Format.CSV
    raise DatasetError(
        f"{name}: unknown format",
        hint="Name it with --format: jsonl, json, csv, tsv, xlsx, txt or parquet.",
    )


def _check_failed_download(name: str, start: str) -> None:
    for beginning, what, advice in _FAILED_DOWNLOADS:
        if start[: len(beginning)].lower() == beginning:
            raise DatasetError(f"{name}: this is {what}", hint=advice)


def _is_line(start: str) -> bool:
    """Whether the first line is a JSON list, and more lines follow."""
    first, _, rest = start.partition("\n")
    try:
        orjson.loads(first.encode("utf-8", "replace"))
    except orjson.JSONDecodeError:
        return False
    return bool(rest.strip())


def _detect_object_format(start: str, hint: Format | None) -> Format:
    """JSON lines if the first line is a complete object, unless it is a table of columns."""
    first, _, rest = start.partition("\n")
    try:
        value = orjson.loads(first.encode("utf-8", "replace"))
    except orjson.JSONDecodeError:
        spread = first.strip() == "{" or hint is Format.JSON
        return Format.JSON if spread else Format.JSONL
    lists = all(isinstance(cells, list) for cells in value.values())
    columns = lists and hint is not Format.JSONL and not rest.strip() and holds_columns(value)
    return Format.JSON if columns else Format.JSONL


def find_delimiter(head: str) -> str | None:
    """The delimiter that splits all lines into the same number of columns."""
    best: tuple[int, str] | None = None
    for sign in DELIMITERS:
        widths = [len(cells) for cells in _sample(head, sign)]
        if widths and widths[0] > 1:
            same = widths.count(widths[0])
            if same * 10 >= len(widths) * 9 and (best is None or widths[0] > best[0]):
                best = (widths[0], sign)
    return best[1] if best else None


def _sample(head: str, delimiter: str) -> Sequence[Sequence[str]]:
    complete = head if len(head) < 60_000 else head[: head.rfind("\n") + 1]
    found: list[list[str]] = []
    try:
        for cells in csv.reader(io.StringIO(complete, newline=""), delimiter=delimiter):
            if cells:
                found.append(cells)
            if len(found) > _SAMPLE_LINES:
                break
    except csv.Error:
        pass
    return found[:_SAMPLE_LINES]


def _is_pairs_table(head: str) -> bool:
    first = head.lstrip().partition("\n")[0].lower()
    delimiter = find_delimiter(head)
    names = {name.strip(' "\r') for name in first.split(delimiter)} if delimiter else set()
    return {"prompt", "completion"} <= names
