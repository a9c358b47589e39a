"""Formats numbers and untrusted texts for reports of every format."""

from datetime import datetime

from ftops.text import show_hidden

_SECONDS = ((86_400, "d"), (3_600, "h"), (60, "min"))
MAX_TEXT = 600  # maximum length of a prompt or an answer


def show(text: str, limit: int | None = None) -> str:
    """An untrusted text with escaped hidden characters, truncated to `limit` characters."""
    if limit is not None and len(text) > limit:
        text = f"{text[:limit]} … ({len(text) - limit:,} characters more)"
    return show_hidden(text)


def format_usd(value: float | None) -> str:
    """ "$1.24"; "" if it is not known."""
    if value is None:
        return ""
    if value == 0:
        return "$0"
    return f"${value:,.2f}" if abs(value) >= 0.1 else f"${value:.2g}"


def format_seconds(value: float | None) -> str:
    """ "0.42 s", "3.1 min", "2.5 h"; "" if it is not known."""
    if value is None:
        return ""
    for size, unit in _SECONDS:
        if abs(value) >= size:
            return f"{value / size:.1f} {unit}"
    return f"{value:.2f} s" if abs(value) < 10 else f"{value:.1f} s"


def format_count(value: float | None) -> str:
    """ "12,345"; "" if it is not known."""
    return "" if value is None else f"{value:,.0f}"


def format_rows(count: int) -> str:
    """ "1 row", "2,000 rows"."""
    return "1 row" if count == 1 else f"{count:,} rows"


def format_bytes(value: float | None) -> str:
    """ "84.5 kB"; "" if it is not known."""
    if value is None:
        return ""
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= size:
            return f"{value / size:.1f} {unit}"
    return f"{value:.0f} bytes"


def format_moment(moment: datetime | None) -> str:
    """ "2026-11-22 14:07 UTC"; "" if it is not known. Independent of the time zone."""
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC"
