"""One JSON document: an array of records (read one by one), one record, or columns."""

import json
from collections.abc import Iterator, Mapping, Sequence

import orjson

from ftops.data.reading.batch import Batch, Batches
from ftops.data.reading.conversations import is_message
from ftops.data.reading.json_text import count_quotes, syntax_error
from ftops.data.reading.options import MAX_DOCUMENT_BYTES, MAX_LINE_BYTES
from ftops.data.reading.streams import Pieces
from ftops.data.reading.tables import check_columns
from ftops.errors import DatasetError
from ftops.rows.json_values import count_strings

_BATCH_ROWS = 500
_BATCH_CHARACTERS = 1 << 19
_BLANKS = " \t\r\n"


def read_document(name: str, pieces: Pieces) -> Batches:
    """The records of the document; places are their numbers, from 1.

    Of an array no more than one record is held; anything else is held whole. DatasetError, with
    line and column, where the document is not JSON.
    """
    text = _Window(name, pieces)
    start = text.skip_blanks()
    if start == "[":
        yield from _read_array(text)
    elif start:
        yield from _read_whole(name, text)


class _Window:
    """The part of the document that is being looked at."""

    def __init__(self, name: str, pieces: Pieces) -> None:
        self.name = name
        self._pieces = _decode(name, pieces)
        self.text = ""
        self.at = 0
        self._lines = 1  # the line that `text` begins in
        self._columns = 0  # the characters of it before

    def more(self) -> bool:
        """Take another piece in, and let go of what was passed."""
        piece = next(self._pieces, None)
        if piece is None:
            return False
        passed = self.text[: self.at]
        newline = passed.rfind("\n")
        self._lines += passed.count("\n")
        self._columns = len(passed) - newline - 1 + (self._columns if newline < 0 else 0)
        self.text = self.text[self.at :] + piece
        self.at = 0
        return True

    def skip_blanks(self) -> str:
        """Go to the next character that is not white space, and return it; "" at the end."""
        while True:
            while self.at < len(self.text):
                if self.text[self.at] not in _BLANKS:
                    return self.text[self.at]
                self.at += 1
            if not self.more():
                return ""

    def where(self, position: int) -> str:
        """A place in `text` as file:line:column."""
        before = self.text[:position]
        newline = before.rfind("\n")
        column = len(before) - newline + (self._columns if newline < 0 else 0)
        return f"{self.name}:{self._lines + before.count(chr(10))}:{column}"

    def error(self, position: int, reason: str) -> DatasetError:
        """What is wrong at a place."""
        return DatasetError(
            f"{self.where(position)}: not JSON: {reason}",
            hint="A .json file holds one array of records; for one record a line use .jsonl.",
        )


def _decode(name: str, pieces: Pieces) -> Iterator[str]:
    """UTF-8 pieces as text; DatasetError with the line where they are none."""
    kept, line = b"", 1
    for piece in pieces:
        data = kept + piece
        try:
            text, kept = data.decode(), b""
        except UnicodeDecodeError as error:
            if error.reason != "unexpected end of data":
                raise _bad_utf8(name, data, error, line) from error
            text, kept = data[: error.start].decode(), data[error.start :]
        line += text.count("\n")
        yield text
    if kept:
        raise DatasetError(f"{name}:{line}: not UTF-8: the last character is cut")


def _bad_utf8(name: str, data: bytes, error: UnicodeDecodeError, line: int) -> DatasetError:
    line += data.count(b"\n", 0, error.start)
    return DatasetError(
        f"{name}:{line}: not UTF-8: byte 0x{data[error.start]:02x}",
        hint="Name the encoding, such as --encoding cp1252.",
    )


def _read_array(window: _Window) -> Batches:
    window.at += 1
    number, size = 0, 0
    batch = Batch([], places := [], lines := [])
    if window.skip_blanks() == "]":
        window.at += 1
    else:
        while True:
            number += 1
            record = _read_record(window)
            size += len(record)
            try:
                batch.values.append(orjson.loads(record))
            except orjson.JSONDecodeError as error:
                batch.row_errors.append(syntax_error(number, record, error))
            else:
                places.append(number)
                lines.append(record)
            if len(places) >= _BATCH_ROWS or size > _BATCH_CHARACTERS:
                yield batch
                batch, size = Batch([], places := [], lines := []), 0
            sign = window.skip_blanks()
            if sign not in (",", "]") or not sign:
                raise window.error(window.at, "a comma or ] is missing after a record")
            window.at += 1
            if sign == "]":
                break
            window.skip_blanks()
    if batch.values or batch.row_errors:
        yield batch
    if window.skip_blanks():
        raise window.error(window.at, "something stands behind the end of the array")


_DECODER = json.JSONDecoder()


def _read_record(window: _Window) -> bytes:
    """The text of the next record; the decoder only finds where it ends."""
    while True:
        try:
            _, end = _DECODER.raw_decode(window.text, window.at)
        except RecursionError:
            raise window.error(window.at, "nested too deep") from None
        except json.JSONDecodeError as error:
            position, reason = error.pos, error.msg
        else:
            if end < len(window.text):  # a number at the very end may go on
                record = window.text[window.at : end].encode("utf-8", "surrogatepass")
                window.at = end
                return record
            position, reason = end, "the array is cut: ] is missing"
        if len(window.text) - window.at > MAX_LINE_BYTES:
            raise window.error(position, f"{reason} (or a record above 8 MiB)")
        shift = window.at
        if not window.more():
            raise window.error(position, reason)
        position -= shift


def _read_whole(name: str, window: _Window) -> Batches:
    while window.more():
        if len(window.text) > MAX_DOCUMENT_BYTES:
            raise DatasetError(
                f"{name}: a document of more than {MAX_DOCUMENT_BYTES >> 20} MiB, and no array",
                hint="Save it as JSON lines: one record a line.",
            )
    try:
        value = orjson.loads(window.text)
    except orjson.JSONDecodeError as error:
        raised = window.error(error.pos, error.msg.partition(": line")[0])
        if error.msg.startswith("unexpected content after"):
            raised.hint = (
                "Records that go over several lines stand in one array; JSON lines have each"
                f" record in one line, such as `jq -c . {name}` writes."
            )
        raise raised from error
    text = window.text.encode()
    columns = _find_columns(name, value)
    if columns is None:
        yield Batch([value], [1], [text])
        return
    strings = count_strings(value)
    if strings is None or count_quotes(text) != 2 * strings:
        raise DatasetError(f"{name}: a column stands there more than once, or nests too deep")
    names, cells = columns
    rows = [dict(zip(names, row, strict=True)) for row in zip(*cells, strict=True)]
    for start in range(0, len(rows), _BATCH_ROWS):
        part: list[object] = [*rows[start : start + _BATCH_ROWS]]
        yield Batch(part, range(start + 1, start + 1 + len(part)))


def holds_columns(value: Mapping[str, object]) -> bool:
    """Whether an object holds a list or a mapping of cells under each key, and not one record."""
    kinds = {type(cells) for cells in value.values()}
    if kinds != {list} and kinds != {dict}:
        return False
    lists = [cells for cells in value.values() if isinstance(cells, list)]
    return "messages" not in value and not any(any(map(is_message, cells)) for cells in lists)


def _find_columns(name: str, value: object) -> tuple[Sequence[str], list[list[object]]] | None:
    """The columns that `value` holds, as lists or as mappings of row numbers; None for a record."""
    if not isinstance(value, dict) or not holds_columns(value):
        return None
    keys = [
        list(cells) if isinstance(cells, dict) else range(len(cells)) for cells in value.values()
    ]
    if any(one != keys[0] for one in keys):
        lengths = ", ".join(f"{key} {len(cells)}" for key, cells in list(value.items())[:5])
        raise DatasetError(f"{name}: the columns are not of one length: {lengths}")
    names = check_columns(name, list(value))
    return names, [
        list(cells.values()) if isinstance(cells, dict) else cells for cells in value.values()
    ]
