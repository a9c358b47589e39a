"""One JSON document: an array of records (read one by one), one record, or columns."""

import json
from collections.abc import Iterator, Mapping, Sequence

import orjson

from ftops.data.reading.batch import Batch, Batches
from ftops.data.reading.conversations import is_message
from ftops.data.reading.decoding import Pieces
from ftops.data.reading.json_text import syntax_error
from ftops.data.reading.options import MAX_DOCUMENT_BYTES, MAX_LINE_BYTES
from ftops.data.reading.tables import check_columns
from ftops.errors import DatasetError
from ftops.rows.json_values import count_quotes, count_strings

_BATCH_ROWS = 500
_BATCH_CHARACTERS = 1 << 19
_BLANKS = " \t\r\n"


def read_document(name: str, pieces: Pieces) -> Batches:
    """The records of the document; places are record numbers, from 1.

    An array is read record by record; any other value is held in memory. Raises DatasetError, with
    line and column, for invalid JSON.
    """
    text = _Window(name, pieces)
    start = text.skip_blanks()
    if start == "[":
        yield from _read_array(text)
    elif start:
        yield from _read_whole(name, text)


class _Window:
    """A sliding window over the document."""

    def __init__(self, name: str, pieces: Pieces) -> None:
        self.name = name
        self._pieces = _decode(name, pieces)
        self.text = ""
        self.at = 0
        self._lines = 1  # the line in which `text` begins
        self._columns = 0  # the characters of that line before `text`

    def more(self) -> bool:
        """Read another piece, and release the text before `at`."""
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
        """Advance to the next character that is not white space, and return it; "" at the end."""
        while True:
            while self.at < len(self.text):
                if self.text[self.at] not in _BLANKS:
                    return self.text[self.at]
                self.at += 1
            if not self.more():
                return ""

    def where(self, position: int) -> str:
        """A position in `text` as file:line:column."""
        before = self.text[:position]
        newline = before.rfind("\n")
        column = len(before) - newline + (self._columns if newline < 0 else 0)
        return f"{self.name}:{self._lines + before.count(chr(10))}:{column}"

    def error(self, position: int, reason: str) -> DatasetError:
        """A syntax error at a position."""
        return DatasetError(
            f"{self.where(position)}: not JSON: {reason}",
            hint="A .json file holds one array of records; use .jsonl for one record per line.",
        )


def _decode(name: str, pieces: Pieces) -> Iterator[str]:
    """UTF-8 pieces as text. Raises DatasetError with the line of invalid bytes."""
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
        raise DatasetError(f"{name}:{line}: not UTF-8: the last character is truncated")


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
        raise window.error(window.at, "unexpected content after the array")


_DECODER = json.JSONDecoder()


def _read_record(window: _Window) -> bytes:
    """The text of the next record; the decoder only locates its end."""
    while True:
        try:
            _, end = _DECODER.raw_decode(window.text, window.at)
        except RecursionError:
            raise window.error(window.at, "nested too deep") from None
        except json.JSONDecodeError as error:
            position, reason = error.pos, error.msg
        else:
            if end < len(window.text):  # a number at the very end may be incomplete
                record = window.text[window.at : end].encode("utf-8", "surrogatepass")
                window.at = end
                return record
            position, reason = end, "the array is truncated: ] is missing"
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
                f"{name}: a document larger than {MAX_DOCUMENT_BYTES >> 20} MiB must be an array",
                hint="Save it as JSON lines: one record per line.",
            )
    try:
        value = orjson.loads(window.text)
    except orjson.JSONDecodeError as error:
        raised = window.error(error.pos, error.msg.partition(": line")[0])
        if error.msg.startswith("unexpected content after"):
            raised.hint = (
                "Put multi-line records into one array, or write one record per line, for"
                f" example with `jq -c . {name}`."
            )
        raise raised from error
    text = window.text.encode()
    columns = _find_columns(name, value)
    if columns is None:
        yield Batch([value], [1], [text])
        return
    strings = count_strings(value)
    if strings is None or count_quotes(text) != 2 * strings:
        raise DatasetError(f"{name}: a column is duplicated or nested too deeply")
    names, cells = columns
    rows = [dict(zip(names, row, strict=True)) for row in zip(*cells, strict=True)]
    for start in range(0, len(rows), _BATCH_ROWS):
        part: list[object] = [*rows[start : start + _BATCH_ROWS]]
        yield Batch(part, range(start + 1, start + 1 + len(part)))


def holds_columns(value: Mapping[str, object]) -> bool:
    """Whether an object is a table of columns, not one record."""
    kinds = {type(cells) for cells in value.values()}
    if kinds != {list} and kinds != {dict}:
        return False
    lists = [cells for cells in value.values() if isinstance(cells, list)]
    return "messages" not in value and not any(any(map(is_message, cells)) for cells in lists)


def _find_columns(name: str, value: object) -> tuple[Sequence[str], list[list[object]]] | None:
    """The names and cells of a table of columns; None for a record."""
    if not isinstance(value, dict) or not holds_columns(value):
        return None
    keys = [
        list(cells) if isinstance(cells, dict) else range(len(cells)) for cells in value.values()
    ]
    if any(one != keys[0] for one in keys):
        lengths = ", ".join(f"{key} {len(cells)}" for key, cells in list(value.items())[:5])
        raise DatasetError(f"{name}: the columns have different lengths: {lengths}")
    names = check_columns(name, list(value))
    return names, [
        list(cells.values()) if isinstance(cells, dict) else cells for cells in value.values()
    ]
