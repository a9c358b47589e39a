"""What a source holds, told from its first bytes; the name's extension only hints."""

import csv
import io
from collections.abc import Sequence
from pathlib import PurePath

import orjson

from ftops.data.reading.json_document import holds_columns
from ftops.data.reading.options import Format
from ftops.errors import DatasetError

DELIMITERS = (",", "\t", ";", "|")
_PACKED = {".gz", ".gzip", ".zst", ".zstd"}
_EXTENSIONS = {
    ".jsonl": Format.JSONL, ".ndjson": Format.JSONL, ".json": Format.JSON, ".csv": Format.CSV,
    ".tsv": Format.TSV, ".tab": Format.TSV, ".xlsx": Format.XLSX, ".xlsm": Format.XLSX,
    ".txt": Format.TXT, ".parquet": Format.PARQUET, ".pq": Format.PARQUET,
}  # fmt: skip
_FOREIGN = (
    (b"%PDF", "a PDF document", "Export its text first."),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file", "Save it as .xlsx or .csv."),
    (b"BZh", "packed with bzip2", "Unpack it first, or pack it with gzip or zstd."),
    (b"\xfd7zXZ", "packed with xz", "Unpack it first, or pack it with gzip or zstd."),
    (b"7z\xbc\xaf", "a 7z archive", "Unpack it first."),
    (b"Rar!", "a rar archive", "Unpack it first."),
    (b"SQLite format 3", "an SQLite database", "Export the table as CSV."),
    (b"ARROW1", "an Arrow file", "Save it as Parquet."),
    (b"\x89PNG", "a picture", "Training data is text."),
    (b"\xff\xd8\xff", "a picture", "Training data is text."),
    (b"\x93NUMPY", "a NumPy array", "Training data is text."),
    (b"\x80\x04\x95", "a Python pickle", "Save the data as JSON lines."),
)
# What lies there in the place of data after a download that went wrong.
_STAND_INS = (
    ("version https://git-lfs", "a Git LFS pointer, not the data", "Fetch the data: git lfs pull"),
    ("<!doctype html", "a web page", "Download the file itself, not the page about it."),
    ("<html", "a web page", "Download the file itself, not the page about it."),
)
_SAMPLE_LINES = 20


def find_format_by_name(name: str) -> Format | None:
    """What the extension of a file name says, packing left out."""
    suffixes = [suffix.lower() for suffix in PurePath(name).suffixes]
    while suffixes and suffixes[-1] in _PACKED:
        suffixes.pop()
    return _EXTENSIONS.get(suffixes[-1]) if suffixes else None


def detect_binary_format(name: str, head: bytes) -> Format | None:
    """The format of bytes that are no text; None for text, DatasetError for what is no data."""
    if head.startswith(b"PAR1"):
        return Format.PARQUET
    if head.startswith(b"PK\x03\x04"):
        return Format.XLSX
    for start, what, advice in _FOREIGN:
        if head.startswith(start):
            raise DatasetError(f"{name}: this is {what}", hint=advice)
    return None


def check_text(name: str, head: str, hint: Format | None) -> None:
    """DatasetError when `head`, the beginning of a decoded text, is full of control characters.

    A file that is named as text may hold them, but for U+0000.
    """
    sample = head[:4096]
    if hint is not None and "\0" not in sample:
        return
    wrong = sum(1 for character in sample if character < " " and character not in "\t\n\r\f")
    if wrong > len(sample) // 20:
        raise DatasetError(
            f"{name}: this is no text and no format that is known here",
            hint="If it is text, name its encoding with --encoding.",
        )


def detect_text_format(name: str, head: str, hint: Format | None) -> Format:
    """The format of a text that begins with `head`; DatasetError when nothing tells it."""
    start = head.lstrip()
    _check_stand_in(name, start)
    if start.startswith("["):
        return Format.JSONL if hint is Format.JSONL and _is_line(start) else Format.JSON
    if start.startswith("{"):
        return _sniff_object(start, hint)
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
        f"{name}: it begins like none of the formats that are known here",
        hint="Name it with --format: jsonl, json, csv, tsv, xlsx, txt or parquet.",
    )


def _check_stand_in(name: str, start: str) -> None:
    for beginning, what, advice in _STAND_INS:
        if start[: len(beginning)].lower() == beginning:
            raise DatasetError(f"{name}: this is {what}", hint=advice)


def _is_line(start: str) -> bool:
    """Whether the first line is a list, and more lines follow."""
    first, _, rest = start.partition("\n")
    try:
        orjson.loads(first.encode("utf-8", "replace"))
    except orjson.JSONDecodeError:
        return False
    return bool(rest.strip())


def _sniff_object(start: str, hint: Format | None) -> Format:
    """JSON lines where the first line is a whole object, but for columns in a file of their own."""
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
    """What stands between the columns of a table: the sign that splits all its lines alike."""
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
