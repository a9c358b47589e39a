"""The results file of a job: the figures of each training step.

Providers disagree about its columns (OpenAI, Azure, the legacy API, the built-in engine) and about
its wrapping (plain CSV, or base64 of it). `parse_results` reads them all by header name; columns
that it does not know are kept, so that `render_csv` gives back every figure that came in.
"""

import base64
import binascii
import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ftops.errors import BadAnswer

STEP = "step"
# field of ResultRow -> the headers that mean it; the first one is what `render_csv` writes
_HEADERS: Mapping[str, tuple[str, ...]] = {
    "train_loss": ("train_loss", "training_loss"),
    "train_accuracy": ("train_accuracy", "train_mean_token_accuracy", "training_token_accuracy"),
    "valid_loss": ("valid_loss", "validation_loss", "full_valid_loss"),
    "valid_accuracy": (
        "valid_mean_token_accuracy",
        "validation_mean_token_accuracy",
        "validation_token_accuracy",
        "full_valid_mean_token_accuracy",
    ),
}
_NO_FIGURE = frozenset({"", "none", "null", "nan", "-nan", "inf", "-inf", "infinity", "-infinity"})


@dataclass(frozen=True, slots=True)
class ResultRow:
    """What one training step measured; None where nothing was.

    Losses are nats a token, accuracies shares of tokens between 0 and 1; `extra` holds the other
    columns of the file under their own names.
    """

    step: int
    train_loss: float | None = None
    train_accuracy: float | None = None
    valid_loss: float | None = None
    valid_accuracy: float | None = None
    extra: Mapping[str, float | None] = field(default_factory=dict)


def parse_results(content: bytes) -> list[ResultRow]:
    """Read a results file as the provider stores it; BadAnswer when it is none."""
    reader = csv.reader(io.StringIO(_unwrap(content)), strict=True)
    try:
        header = [name.strip() for name in next(reader)]
        columns = _find_columns(header)
        return [
            _parse_row(cells, header, columns, line=reader.line_num) for cells in reader if cells
        ]
    except csv.Error as error:
        raise BadAnswer(f"results file, line {reader.line_num}: {error}") from error


def render_csv(rows: Sequence[ResultRow]) -> str:
    """The rows as CSV with OpenAI's column names, then the extra columns; empty cells for None."""
    extras = list(dict.fromkeys(name for row in rows for name in row.extra))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([STEP, *(names[0] for names in _HEADERS.values()), *extras])
    for row in rows:
        figures = [getattr(row, name) for name in _HEADERS]
        figures += [row.extra.get(name) for name in extras]
        writer.writerow([row.step, *(_render_figure(figure) for figure in figures)])
    return out.getvalue()


def _unwrap(content: bytes) -> str:
    """The CSV text inside `content`, which may be base64 of it."""
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
    raise BadAnswer(
        "the results file is empty"
        if not content.strip()
        else f"the results file has no column {STEP!r}; it begins with {shown!r}"
    )


def _decode(content: bytes) -> str | None:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def _has_step(text: str) -> bool:
    first_line = text.partition("\n")[0]
    return STEP in [name.strip().strip('"') for name in first_line.split(",")]


def _find_columns(header: Sequence[str]) -> dict[str, str]:
    """Header name -> field of ResultRow; of two headers for one field the first listed wins."""
    columns = {}
    for name, candidates in _HEADERS.items():
        found = next((candidate for candidate in candidates if candidate in header), None)
        if found is not None:
            columns[found] = name
    return columns


def _parse_row(
    cells: Sequence[str], header: Sequence[str], columns: Mapping[str, str], *, line: int
) -> ResultRow:
    if len(cells) != len(header):
        raise BadAnswer(
            f"results file, line {line}: {len(cells)} cells under {len(header)} headers;"
            " the file may have been cut off"
        )
    step = 0
    known: dict[str, float | None] = {}
    extra: dict[str, float | None] = {}
    for name, cell in zip(header, cells, strict=True):
        if name == STEP:
            step = _parse_step(cell, line)
        elif name in columns:
            figure = _parse_figure(cell, name, line)
            # losses and shares are never negative: Azure writes -1 where nothing was measured
            known[columns[name]] = None if figure is not None and figure < 0 else figure
        elif name:
            extra[name] = _find_figure(cell)
    return ResultRow(step=step, extra=extra, **known)


def _parse_step(cell: str, line: int) -> int:
    figure = _find_figure(cell)
    if figure is None or figure < 0 or figure != int(figure):
        raise BadAnswer(f"results file, line {line}: step {cell!r} is not a whole number")
    return int(figure)


def _parse_figure(cell: str, name: str, line: int) -> float | None:
    figure = _find_figure(cell)
    if figure is None and cell.strip().lower() not in _NO_FIGURE:
        raise BadAnswer(f"results file, line {line}: {name} {cell!r} is not a number")
    return figure


def _find_figure(cell: str) -> float | None:
    try:
        figure = float(cell)
    except ValueError:
        return None
    return figure if math.isfinite(figure) else None


def _render_figure(figure: float | None) -> str:
    if figure is None:
        return ""
    return str(int(figure)) if figure == int(figure) and abs(figure) < 1e15 else repr(figure)
