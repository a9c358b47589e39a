"""Formats values for the terminal: texts, tables, bytes, durations, times, paths.

Everything fits 80 columns. Text from data, job files and providers passes through `cell`, which
escapes it.
"""

import shlex
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ftops.cli.output import clean

WIDTH = 78
CURVE_HEIGHT = 12
_STATUS_STYLES = {"succeeded": "green", "failed": "red", "cancelled": "yellow", "running": "cyan"}


def cell(value: object, style: str = "") -> Text:
    """A literal text for a table or a line; empty for None."""
    return Text("" if value is None else clean(str(value)), style=style)


def render_status(status: str) -> Text:
    return cell(status, _STATUS_STYLES.get(status, ""))


def indent(renderable: RenderableType) -> Padding:
    return Padding(renderable, (0, 0, 0, 2))


def heading(title: str) -> Text:
    return Text(f"\n{title}", style="bold")


def render_pairs(pairs: Iterable[tuple[str, object]]) -> Padding:
    """Names and values in two columns; pairs without a value are omitted."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        if value is not None:
            table.add_row(name, value if isinstance(value, Text) else cell(value))
    return indent(table)


def render_path(path: str | Path) -> str:
    """The path, relative to the current folder if it is inside."""
    absolute, current = Path(path), Path.cwd()
    return str(absolute.relative_to(current) if absolute.is_relative_to(current) else absolute)


def render_time(moment: datetime | None) -> str:
    """A time in the local time zone, to the minute."""
    return "" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M")


def render_seconds(seconds: float | None) -> str:
    """A duration: 0.31 s, 12.4 s, 3 min 05 s, 2 h 10 min."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def render_commands(commands: Iterable[str]) -> list[Text]:
    """Commands to copy; each stays on one line."""
    return [cell(f"  {line}", "cyan") for line in commands]


def quote(*words: str) -> str:
    """The words as a shell command."""
    return shlex.join(words)


def render_bytes(count: float) -> str:
    """A size with a fitting unit: 812 B, 34.1 kB, 1.2 MB."""
    if count < 1e3:
        return f"{count:.0f} B"
    if count < 1e6:
        return f"{count / 1e3:.1f} kB"
    return f"{count / 1e6:.1f} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"


def make_table(*columns: str, right: Iterable[str] = (), whole: Iterable[str] = ()) -> Table:
    """A table without borders; `right` columns are right-aligned, `whole` ones never wrap."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(
            column,
            justify="right" if column in set(right) else "left",
            overflow="fold",
            no_wrap=column in set(whole),
        )
    return table


def render_short_time(moment: datetime) -> str:
    return moment.astimezone().strftime("%m-%d %H:%M")


def to_timestamp(moment: datetime | None) -> int | None:
    """Whole seconds since 1970."""
    return None if moment is None else int(moment.timestamp())
