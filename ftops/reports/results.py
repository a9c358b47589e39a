"""Parses the results file of a job to a table with the same columns for all providers.

Providers use different columns (OpenAI, Azure, the legacy API, the built-in engine) and encodings
(plain CSV, or CSV in base64). `parse_results` reads columns by header name and keeps unknown
columns, so that `render_csv` writes every value.
"""

import base64
import binascii
import contextlib
import csv
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import repeat
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from ftops.errors import InvalidResponse
from ftops.files import read_if_there

STEP = "step"
# field of ResultRow -> its headers; `render_csv` writes the first one
HEADERS: Mapping[str, tuple[str, ...]] = {
    "train_loss": ("train_loss", "training_loss"),
    "train_accuracy": ("train_accuracy", "train_mean_token_accuracy", "training_token_accuracy"),
    "valid_loss": ("valid_loss", "validation_loss"),
    "valid_accuracy": (
        "valid_mean_token_accuracy",
        "validation_mean_token_accuracy",
        "validation_token_accuracy",
    ),
    "full_valid_loss": ("full_valid_loss", "full_validation_loss"),
    "full_valid_accuracy": (
        "full_valid_mean_token_accuracy",
        "full_validation_mean_token_accuracy",
    ),
    "epoch": ("epoch",),
    "rows_seen": ("elapsed_examples",),
    "tokens_seen": ("elapsed_tokens",),
    "learning_rate": ("learning_rate", "lr"),
}
# other columns with different names -> the name used here
_SAME_EXTRA: Mapping[str, str] = {
    "training_sequence_accuracy": "train_sequence_accuracy",
    "validation_sequence_accuracy": "valid_sequence_accuracy",
}
_NOT_FINITE = frozenset({"nan", "-nan", "inf", "-inf", "infinity", "-infinity"})
_DIGITS = frozenset("0123456789")
# never part of plain numbers: signs (except in 1e-05, removed before), letters, quotes
_ODD = re.compile(r"[^0-9.,\r\n]")
_MAX_PLAIN = 300  # digits; shorter numbers are never infinite
_NO_NUMBER = _NOT_FINITE | {"", "none", "null"}

_NO_EXTRA: Mapping[str, float | None] = MappingProxyType({})

_Column = Sequence[float | None]


class ResultRow(NamedTuple):
    """The metrics of one training step; missing values are None.

    Losses are in nats per token, accuracies are shares of tokens from 0 to 1. The `valid_` metrics
    are measured on a few validation rows (and noisy), the `full_valid_` metrics on all rows.
    `epoch` counts from 1; `rows_seen` and `tokens_seen` are totals over all epochs so far.
    `is_lost` is true if the training loss is NaN or infinite. `extra` has the other columns of the
    file by name.

    This is a named tuple, which is created five times as fast, because there may be 100,000 rows.
    """

    step: int
    train_loss: float | None = None
    train_accuracy: float | None = None
    valid_loss: float | None = None
    valid_accuracy: float | None = None
    extra: Mapping[str, float | None] = _NO_EXTRA
    full_valid_loss: float | None = None
    full_valid_accuracy: float | None = None
    epoch: int | None = None
    rows_seen: int | None = None
    tokens_seen: int | None = None
    learning_rate: float | None = None
    is_lost: bool = False


def read_results(path: Path) -> list[ResultRow]:
    """The rows of a results file; none if there is no file, or if it cannot be parsed."""
    content = read_if_there(path)
    try:
        return [] if content is None else parse_results(content)
    except InvalidResponse:
        return []  # the results stage has reported the error


def parse_results(content: bytes) -> list[ResultRow]:
    """Parse a results file from a provider; InvalidResponse if it is malformed."""
    text = _unwrap(content)
    table = _Table(text)
    known = {name: table.read(title) for title, name in _map_columns(table.header).items()}
    nothing: _Column = [None] * len(table)
    titles = [title for title in table.header if title and title != STEP]
    extras = [title for title in titles if title not in set(_map_columns(table.header))]
    names = [_SAME_EXTRA.get(title, title) for title in extras]
    others = zip(*(table.read(title, strict=False) for title in extras), strict=True)
    kept: list[Mapping[str, float | None]] = [
        dict(zip(names, cells, strict=True)) for cells in others
    ]
    return make_rows(
        zip(
            table.read_steps(),
            *(known.get(name, nothing) for name in list(HEADERS)[:4]),
            kept or [_NO_EXTRA] * len(table),
            *(known.get(name, nothing) for name in ("full_valid_loss", "full_valid_accuracy")),
            _count_epochs(known.get("epoch"), len(table)),
            *(_whole(known.get(name), len(table)) for name in ("rows_seen", "tokens_seen")),
            known.get("learning_rate", nothing),
            table.list_lost(),
            strict=True,
        )
    )


def make_rows(fields: Iterable[Sequence[object]]) -> list[ResultRow]:
    """Rows from their fields, in order, without a call of `ResultRow._make` for each row."""
    return list(map(partial(tuple.__new__, ResultRow), fields))


def render_csv(rows: Sequence[ResultRow]) -> str:
    """The rows as CSV: standard columns, then extra ones, with empty cells for None."""
    return render_csv_of_runs([("", rows)])


def render_csv_of_runs(runs: Sequence[tuple[str, Sequence[ResultRow]]]) -> str:
    """The rows of several runs as one CSV; the first column is the run's id, if it has one."""
    names = dict.fromkeys(name for _, rows in runs for row in rows for name in row.extra)
    extras = list(names)
    named = any(run for run, _ in runs)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    titles = [STEP, *(titles[0] for titles in HEADERS.values()), *extras]
    writer.writerow(["run", *titles] if named else titles)
    for run, rows in runs:
        for row in rows:
            numbers = [getattr(row, name) for name in HEADERS]
            numbers += [row.extra.get(name) for name in extras]
            cells = [str(row.step), *(_format_number(number) for number in numbers)]
            if row.is_lost:
                cells[1] = "nan"
            writer.writerow([run, *cells] if named else cells)
    return out.getvalue()


class _Table:
    """The cells of the file by column, which is faster than by row."""

    def __init__(self, text: str) -> None:
        self._text = text
        head, _, body = text.partition("\n")
        # small numbers such as 1e-05 count as plain
        self._is_plain = not (
            '"' in head or "\r" in head.rstrip("\r") or _ODD.search(body.replace("e-", ""))
        )
        self.header = [name.strip() for name in head.split(",")]
        columns = self._cut(body) if self._is_plain else None
        if columns is None:
            columns = self._read_columns()
        self._length = len(columns[0]) if columns else 0
        # if two columns have the same title, the last one counts
        self._cells: dict[str, Sequence[str]] = dict(zip(self.header, columns, strict=True))

    def _cut(self, body: str) -> list[Sequence[str]] | None:
        """The columns of a text without quotes; None if lines differ in their number of cells."""
        lines = [line for line in body.splitlines() if line]
        width = len(self.header)
        if {line.count(",") for line in lines} - {width - 1}:
            return None
        cells = ",".join(lines).split(",") if lines else []
        return [cells[place::width] for place in range(width)]

    def _read_columns(self) -> list[Sequence[str]]:
        """The columns of any CSV; InvalidResponse with the line number if it is malformed."""
        reader = csv.reader(io.StringIO(self._text), strict=True)
        try:
            self.header = [name.strip() for name in next(reader)]
            rows = [cells for cells in reader if cells]
        except csv.Error as error:
            raise InvalidResponse(f"results file, line {reader.line_num}: {error}") from error
        for index, cells in enumerate(rows):
            if len(cells) != len(self.header):
                raise InvalidResponse(
                    f"results file, line {self._get_line(index)}: {len(cells)} cells under"
                    f" {len(self.header)} headers; the file may have been cut off"
                )
        return list(zip(*rows, strict=True)) if rows else [()] * len(self.header)

    def __len__(self) -> int:
        return self._length

    def read(self, title: str, *, strict: bool = True) -> _Column:
        """The numbers of a column; InvalidResponse for text in a known column (`strict`).

        In a known column, a negative number becomes None: losses and shares are never negative, and
        Azure writes -1 if nothing was measured.
        """
        cells = self._cells[title]
        if self._is_plain:
            with contextlib.suppress(ValueError):
                return _read_plain(cells)
        numbers, is_sure = _read_numbers(cells)
        if not strict:
            return numbers
        for index in () if is_sure else range(len(cells)):
            if numbers[index] is None and cells[index].strip().lower() not in _NO_NUMBER:
                line = self._get_line(index)
                raise InvalidResponse(
                    f"results file, line {line}: {title} {cells[index]!r} is not a number"
                )
        return [None if number is not None and number < 0 else number for number in numbers]

    def read_steps(self) -> list[int]:
        """The steps; InvalidResponse for a step that is not a whole number."""
        if self._is_plain:
            with contextlib.suppress(ValueError):
                return list(map(int, self._cells[STEP]))
        numbers, _ = _read_numbers(self._cells[STEP])
        for index, number in enumerate(numbers):
            if number is None or number < 0 or number != int(number):
                line, cell = self._get_line(index), self._cells[STEP][index]
                raise InvalidResponse(
                    f"results file, line {line}: step {cell!r} is not a whole number"
                )
        return [int(number) for number in numbers if number is not None]

    def list_lost(self) -> list[bool]:
        """For each row, whether its training loss is NaN or infinite."""
        title = next((title for title in HEADERS["train_loss"] if title in self._cells), None)
        if title is None or self._is_plain:
            return [False] * self._length
        cells = self._cells[title]
        # most cells start with a digit and need no further check
        return [cell[:1] not in _DIGITS and cell.strip().lower() in _NOT_FINITE for cell in cells]

    def _get_line(self, index: int) -> int:
        """The line number in the file at which the row with this index ends."""
        reader = csv.reader(io.StringIO(self._text), strict=True)
        next(reader)
        lines = [reader.line_num for cells in reader if cells]
        return lines[index]


def _unwrap(content: bytes) -> str:
    """The CSV text in `content`, which may be encoded in base64."""
    text = _decode(content)
    if text is not None and _has_step(text):
        return text
    try:
        decoded = base64.b64decode(b"".join(content.split()), validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    inner = _decode(decoded)
    if inner is not None and _has_step(inner):
        return inner
    shown = content[:40].decode("utf-8", "replace")
    raise InvalidResponse(
        "the results file is empty"
        if not content.strip()
        else f"the results file has no column {STEP!r}; it starts with {shown!r}"
    )


def _decode(content: bytes) -> str | None:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def _has_step(text: str) -> bool:
    first_line = text.partition("\n")[0]
    return STEP in [name.strip().strip('"') for name in first_line.split(",")]


def _map_columns(header: Sequence[str]) -> dict[str, str]:
    """The field of ResultRow by title; the first listed header of a field wins."""
    columns = {}
    for name, candidates in HEADERS.items():
        found = next((candidate for candidate in candidates if candidate in header), None)
        if found is not None:
            columns[found] = name
    return columns


def _read_plain(cells: Sequence[str]) -> _Column:
    """The numbers of plain cells, never negative or not finite; ValueError for other text.

    Almost every file takes this path, and half of the time to parse it is spent here.
    """
    if max(map(len, cells), default=0) > _MAX_PLAIN:
        raise ValueError("a number so long may be beyond all numbers")
    return (
        [float(cell) if cell else None for cell in cells] if "" in cells else [*map(float, cells)]
    )


def _read_numbers(cells: Sequence[str]) -> tuple[_Column, bool]:
    """The finite numbers of the cells, and whether no cell has other text."""
    try:
        numbers: _Column = [float(cell) if cell else None for cell in cells]
    except ValueError:
        return [_parse_number(cell) for cell in cells], False
    finite = math.isfinite
    return [number if number is None or finite(number) else None for number in numbers], True


def _parse_number(cell: str) -> float | None:
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _count_epochs(numbers: _Column | None, length: int) -> Iterable[int | None]:
    """The current epoch of each row; some servers report fractions, which are rounded up."""
    if numbers is None:
        return repeat(None, length)
    return (None if number is None else math.ceil(number) for number in numbers)


def _whole(numbers: _Column | None, length: int) -> Iterable[int | None]:
    if numbers is None:
        return repeat(None, length)
    return (None if number is None else round(number) for number in numbers)


def _format_number(number: float | None) -> str:
    if number is None:
        return ""
    return str(int(number)) if number == int(number) and abs(number) < 1e15 else repr(number)
