"""Reads Excel workbooks with python-calamine, one sheet at a time.

calamine holds a whole sheet in memory, and a single cell in the last corner makes it allocate all
cells before. So the size of the sheet is first read from the XML, in constant memory.
"""

import datetime
import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from xml.parsers import expat

from python_calamine import CalamineError, CalamineSheet, load_workbook

from ftops.data.reading.options import MAX_COLUMNS
from ftops.data.reading.tables import Table, make_table
from ftops.errors import DatasetError
from ftops.text import find_nearest

_MAX_CELLS = 8_000_000
_MAX_XML_BYTES = 1 << 30
_MAX_RATIO = 200
_FREE_BYTES = 64 << 20
_REFERENCE = re.compile(rb'<(?:\w+:)?c\b[^>]*?\sr="([A-Z]{1,3})([0-9]{1,7})"')
_UNCOMPUTED = re.compile(rb"<f\b[^>]*(?:/>|>[^<]*</f>)\s*(?:<v\s*/>|<v>\s*</v>|</c>)")
_PIECE = 1 << 20
_OVERLAP = 1 << 12


def read_sheet(name: str, data: bytes, wanted: str | None) -> tuple[Table, str, Sequence[str]]:
    """The sheet called `wanted` (None: the first), its name, and the names of all sheets.

    Whole numbers are written without a fraction, dates in ISO format, empty cells as "".
    DatasetError if the file is not a workbook or is too large.
    """
    _check_archive(name, data)
    try:
        workbook = load_workbook(io.BytesIO(data))
        names = list(workbook.sheet_names)
        chosen = _choose(name, names, wanted)
        sheet = workbook.get_sheet_by_name(chosen)
    except (CalamineError, OSError, ValueError, expat.ExpatError) as error:
        raise _broken(name, error) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # a panic of Rust; not a subclass of Exception
            raise
        raise _broken(name, error) from error
    table = make_table(f"{name} [{chosen}]", _read_rows(sheet))
    return table, chosen, names


def _broken(name: str, error: BaseException) -> DatasetError:
    return DatasetError(
        f"{name}: cannot read the workbook: {error}",
        hint="Save it as .xlsx or .csv with a spreadsheet program.",
    )


def _choose(name: str, names: Sequence[str], wanted: str | None) -> str:
    if not names:
        raise DatasetError(f"{name}: the workbook has no sheets")
    if wanted is None:
        return names[0]
    if wanted in names:
        return wanted
    near = find_nearest(wanted, names)
    raise DatasetError(
        f"{name}: there is no sheet {wanted!r}; there are {', '.join(names)}",
        hint=f"Did you mean {near!r}?" if near else "Name one of them with --sheet.",
    )


def _read_rows(sheet: CalamineSheet) -> Iterator[tuple[int, Sequence[str]]]:
    top = sheet.start[0] if sheet.start else 0
    for place, cells in enumerate(sheet.iter_rows(), 1 if top == 0 else top + 1):
        texts = [cell if type(cell) is str else _to_text(cell) for cell in cells]
        if any(texts):
            yield place, texts


def _to_text(cell: object) -> str:
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else repr(cell)
    if isinstance(cell, datetime.datetime | datetime.date | datetime.time):
        return cell.isoformat()
    return str(cell)


def _check_archive(name: str, data: bytes) -> None:
    """Raise DatasetError if the sheets would need too much memory."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = archive.infolist()
            if not any(part.filename.startswith("xl/") for part in parts):
                raise DatasetError(
                    f"{name}: a zip archive, not a workbook", hint="Extract it first."
                )
            size = sum(part.file_size for part in parts)
            if size > max(_FREE_BYTES, min(_MAX_XML_BYTES, _MAX_RATIO * len(data))):
                raise DatasetError(
                    f"{name}: it decompresses from {len(data):,} to {size:,} bytes",
                    hint="Save the sheet as CSV: that is read row by row.",
                )
            for part in parts:
                if part.filename.startswith("xl/worksheets/") and not part.is_dir():
                    _check_part(name, archive, part)
    except (
        zipfile.BadZipFile,
        EOFError,
        OSError,
        ValueError,
        RuntimeError,
        NotImplementedError,
    ) as error:
        raise _broken(name, error) from error
    except Exception as error:
        if type(error).__module__ == "zlib":
            raise _broken(name, error) from error
        raise


def _check_part(name: str, archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> None:
    columns: set[bytes] = set()
    last_row = 0
    tail = b""
    with archive.open(part) as stream:
        while piece := stream.read(_PIECE):
            text = tail + piece
            if _UNCOMPUTED.search(text):
                raise DatasetError(
                    f"{name}: {part.filename} has formulas without computed results",
                    hint="Open the workbook with a spreadsheet program and save it there.",
                )
            found = _REFERENCE.findall(text)
            if found:
                columns.update(column for column, _ in found)
                last_row = max(last_row, *(int(row) for _, row in found))
            tail = text[-_OVERLAP:]
    width = max((_column_number(column) for column in columns), default=0)
    if width > MAX_COLUMNS:
        raise DatasetError(
            f"{name}: {part.filename} has {width:,} columns; at most {MAX_COLUMNS:,} are read"
        )
    if width * last_row > _MAX_CELLS:
        raise DatasetError(
            f"{name}: {part.filename} spans {last_row:,} rows of {width:,} columns;"
            f" at most {_MAX_CELLS:,} cells are read",
            hint="Delete cells far below or beside the data, or save the sheet as CSV.",
        )


def _column_number(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number
