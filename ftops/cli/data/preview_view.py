"""Rows as a model sees them, for a terminal: colour, and signs that say the same without it.

A piece is `read` or `learn`ed. New lines show as ⏎ and blanks at both ends as ·, since these are
what goes wrong; the separator and the stop sequence stand in brackets, and tokens are parted by |.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ftops.cli.format import cell, indent, render_pairs
from ftops.cli.output import clean
from ftops.data.preview import PreviewRow, PreviewSegment
from ftops.data.summary import CharCounts, count_chars
from ftops.data.tokens.counter import VocabularyCounter, estimate_error, format_method
from ftops.records import Json

_LEARN, _READ, _MARK, _SIGN = "green", "none", "bold yellow", "dim"
_SHOWN = 600  # characters of a piece


@dataclass(frozen=True, slots=True)
class Look:
    """How rows are shown: with which marks at their ends, split into tokens, and not cut."""

    unit: str = "line"
    separator: str = ""
    stop: str = ""
    tokens: bool = False
    whole: bool = False


def find_error(rows: Sequence[PreviewRow], counter: VocabularyCounter) -> float:
    """The share by which the tokens of these rows may be off, by the scripts of their texts."""
    letters = (count_chars(piece.text) for row in rows for piece in row.pieces)
    return estimate_error(sum(letters, CharCounts())) if counter.error else 0.0


def render_preview(
    about: list[tuple[str, object]], rows: list[PreviewRow], counter: VocabularyCounter, look: Look
) -> Iterator[RenderableType]:
    """What is known of all of it, then row by row."""
    marks = [
        ("separator", repr(look.separator) if look.separator else None),
        ("stop", repr(look.stop) if look.stop else None),
        ("tokens", format_method(counter.method, find_error(rows, counter))),
    ]
    yield render_pairs([*about, *marks])
    for row in rows:
        yield ""
        counted = f"{'about ' if counter.error else ''}{row.tokens:,}"
        yield Text.assemble(
            (f"{look.unit} {row.place:,}", "bold"), f"  {counted} tokens, {row.learned:,} learned"
        )
        yield indent(_render_row(row, look))


def _render_row(row: PreviewRow, look: Look) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for piece in row.pieces:
        how = ("learn", _LEARN) if piece.learned else ("read", _SIGN)
        table.add_row(
            Text(*how), cell(piece.role, "cyan"), f"{piece.tokens:,}", render_piece(piece, look)
        )
    return table


def render_piece(piece: PreviewSegment, look: Look) -> Text:
    """The text of a piece with its signs."""
    style = _LEARN if piece.learned else _READ
    if look.tokens and piece.parts:
        return _render_tokens(piece, style)
    mark = {"prompt": look.separator, "completion": look.stop}.get(piece.role, "")
    body, end = piece.text, ""
    if mark and body.endswith(mark):
        body, end = body.removesuffix(mark), mark
    text = _render_body(body if look.whole else _shorten(body), style)
    if end:
        text.append("⟦", _SIGN).append(_show_breaks(end, blanks=True), _MARK).append("⟧", _SIGN)
    return text


def _render_body(body: str, style: str) -> Text:
    left = len(body) - len(body.lstrip(" "))
    right = len(body) - len(body.rstrip(" ")) if left < len(body) else 0
    text = Text("·" * left, _SIGN)
    text.append(_show_breaks(body[left : len(body) - right]), style)
    return text.append("·" * right, _SIGN)


def _render_tokens(piece: PreviewSegment, style: str) -> Text:
    text = Text()
    for number, part in enumerate(piece.parts):
        if number:
            text.append("|", _SIGN)
        text.append(_show_breaks(part, blanks=True), style)
    return text


def _show_breaks(text: str, *, blanks: bool = False) -> str:
    text = clean(text.replace("\r", "␍").replace("\t", "⇥")).replace("\n", "⏎")
    return text.replace(" ", "·") if blanks else text


def _shorten(text: str) -> str:
    if len(text) <= _SHOWN:
        return text
    half = _SHOWN // 2
    return f"{text[:half]} … {len(text) - 2 * half:,} characters … {text[-half:]}"


def preview_to_json(
    name: str, rows: list[PreviewRow], counter: VocabularyCounter, look: Look, changes: str | None
) -> Json:
    """For programs: all texts whole."""
    return {
        "file": name,
        "unit": look.unit,
        "as": changes,
        "separator": look.separator or None,
        "stop": look.stop or None,
        "tokens_method": counter.method,
        "tokens_error": find_error(rows, counter),
        "rows": [
            {
                "place": row.place,
                "tokens": row.tokens,
                "learned_tokens": row.learned,
                "pieces": [
                    {**asdict(piece), "parts": list(piece.parts) or None} for piece in row.pieces
                ],
            }
            for row in rows
        ],
    }
