"""Bar charts and confusion matrices as Vega-Lite specifications, with all texts as data.

Format: https://vega.github.io/vega-lite/docs/spec.html
"""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ftops.metrics.result import MetricResult, Unit, format_value
from ftops.reports.confusion import ConfusionMatrix

Spec = dict[str, Any]  # a tree of JSON values, validated by vl-convert

WIDE, NARROW = 640, 270  # pixels of the plot itself
_FONT = "Helvetica, Arial, sans-serif"
_ROW_HEIGHT, _CELL = 30, 30
SERIES = 10  # number of colours; the eleventh run reuses the first


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of charts."""

    ink: str
    faint: str
    grid: str
    accent: str
    series: Sequence[str]
    heat: str
    miss: str
    background: str | None

    def choose(self, index: int) -> str:
        """The colour of the series with this index."""
        return self.series[index % len(self.series)]


PAGE = Palette(
    ink="var(--ink)",
    faint="var(--faint)",
    grid="var(--grid)",
    accent="var(--s0)",
    series=tuple(f"var(--s{number})" for number in range(SERIES)),
    heat="var(--heat)",
    miss="var(--miss)",
    background=None,
)
PAPER = Palette(
    ink="#1b2129",
    faint="#59636f",
    grid="#e3e7ec",
    accent="#0b5fa5",
    series=(
        "#0b5fa5", "#b3500a", "#15753a", "#a3195b", "#6a3fc0",
        "#0a6c80", "#7c3a12", "#4f6f0a", "#b3202c", "#51606f",
    ),
    heat="#0b5fa5",
    miss="#b3500a",
    background="#ffffff",
)  # fmt: skip


def create_chart(spec: Mapping[str, Any], palette: Palette) -> Spec:
    """The complete specification of a chart, with the common colours and sizes."""
    axis = {
        "labelColor": palette.faint,
        "titleColor": palette.faint,
        "gridColor": palette.grid,
        "domainColor": palette.grid,
        "tickColor": palette.grid,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "labelLimit": 160,
    }
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "background": palette.background,
        "padding": 6,
        "config": {"font": _FONT, "axis": axis, "view": {"stroke": None}},
        **spec,
    }


def truncate_middle(name: str, most: int) -> str:
    """The name, truncated in the middle, because names of runs often differ at the end."""
    if truncate(name, most) == name:
        return name
    half = most // 2
    return f"{truncate(name, half)}{truncate(name[::-1], half).rstrip('…')[::-1]}"


def truncate(name: str, most: int) -> str:
    """The name, truncated to a width of `most`; wide characters count twice.

    Vega would split surrogate pairs.
    """
    width = 0
    for place, character in enumerate(name):
        width += 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if width > most:
            return f"{name[:place]}…"
    return name


@dataclass(frozen=True, slots=True)
class Bar:
    """A metric of a candidate, shown as a point with its interval."""

    name: str
    figure: MetricResult
    strong: bool = False


def draw_bars(bars: Sequence[Bar], metric: str, palette: Palette, width: int = WIDE) -> Spec:
    """A chart with one line per value and its 95% interval."""
    rows = [
        {
            "place": index,
            "value": bar.figure.value,
            "low": bar.figure.value if bar.figure.low is None else bar.figure.low,
            "high": bar.figure.value if bar.figure.high is None else bar.figure.high,
            "strong": bar.strong,
            "text": format_value(bar.figure.value, bar.figure.unit),
        }
        for index, bar in enumerate(bars)
    ]
    is_share = all(bar.figure.unit is Unit.SHARE for bar in bars)
    names = [bar.name for bar in bars]
    low = min([0.0, *(row["low"] for row in rows)])  # type: ignore[type-var]
    high = max([1.0 if is_share else 0.0, *(row["high"] for row in rows)])  # type: ignore[type-var]
    # rows are identified by number: equal names would share a line, and a name must never be part
    # of an expression
    y: Spec = {
        "field": "place",
        "type": "ordinal",
        "axis": None,
        "scale": {"domain": list(range(len(rows)))},
    }
    axis = {"title": metric, "tickCount": 5, **({"format": ".0%"} if is_share else {})}
    x: Spec = {"type": "quantitative", "scale": {"domain": [low, high], "nice": False}}
    color: Spec = {
        "condition": {"test": "datum.strong", "value": palette.accent},
        "value": palette.faint,
    }
    layers: list[Spec] = [
        {
            "mark": {"type": "rule", "strokeWidth": 3, "opacity": 0.55},
            "encoding": {
                "x": {"field": "low", **x, "axis": axis},
                "x2": {"field": "high"},
                "y": y,
                "color": color,
            },
        },
        {
            "mark": {"type": "point", "filled": True, "size": 90, "opacity": 1},
            "encoding": {"x": {"field": "value", **x}, "y": y, "color": color},
        },
        {
            "mark": {"type": "text", "dy": -11, "fontSize": 12, "fontWeight": 600},
            "encoding": {
                "x": {"field": "value", **x},
                "y": y,
                "text": {"field": "text"},
                "color": {"value": palette.ink},
            },
        },
    ]
    layers.append(_name_rows(names, palette, width))
    height = {"step": _ROW_HEIGHT + (18 if width < WIDE else 8)}
    spec = {"data": {"values": rows}, "layer": layers, "width": width, "height": height}
    return create_chart(spec, palette)


def _name_rows(names: Sequence[str], palette: Palette, width: int) -> Spec:
    """The names to the left of the plot, or above their lines in a narrow plot."""
    narrow = width < WIDE
    mark: Spec = {"type": "text", "color": palette.ink, "fontSize": 12}
    mark |= {"align": "left", "dy": -24} if narrow else {"align": "right", "dx": -12}
    most = 40 if narrow else 30
    cut = [truncate_middle(name, most) for name in names]
    values = [{"place": index, "name": name} for index, name in enumerate(cut)]
    return {
        "data": {"values": values},
        "mark": mark,
        "encoding": {
            "x": {"value": 0},
            "y": {"field": "place", "type": "ordinal", "axis": None},
            "text": {"field": "name"},
        },
    }


def draw_matrix(matrix: ConfusionMatrix, palette: Palette, width: int = WIDE) -> Spec:
    """A chart of a confusion matrix; darker cells have a larger share of their row."""
    rows = [
        {
            "expected": place,
            "given": column,
            "share": cell.share,
            "right": cell.right,
            "text": str(cell.count) if cell.count else "",
        }
        for place, row in enumerate(matrix.cells)
        for column, cell in enumerate(row)
    ]
    x: Spec = {"field": "given", "type": "ordinal", "axis": None}
    y: Spec = {"field": "expected", "type": "ordinal", "axis": None}
    cell = min(_CELL * 2, max(_CELL, width // max(1, len(matrix.columns))))
    layers: list[Spec] = [
        {
            "mark": {"type": "rect", "stroke": palette.grid},
            "encoding": {
                "x": x,
                "y": y,
                "color": {
                    "condition": {"test": "datum.right", "value": palette.heat},
                    "value": palette.miss,
                },
                "opacity": {
                    "field": "share",
                    "type": "quantitative",
                    "legend": None,
                    "scale": {"domain": [0, 1], "range": [0, 0.5]},
                },
            },
        },
        {
            "mark": {"type": "text", "fontSize": 11, "color": palette.ink},
            "encoding": {"x": x, "y": y, "text": {"field": "text"}},
        },
        _name_places("expected", matrix.labels, palette, {"align": "right", "dx": -8}),
        _name_places("given", matrix.columns, palette, {"align": "right", "dy": 8, "angle": -40}),
    ]
    spec = {
        "data": {"values": rows},
        "layer": layers,
        "width": {"step": cell},
        "height": {"step": _CELL},
    }
    return create_chart(spec, palette)


def _name_places(field: str, names: Sequence[str], palette: Palette, mark: Spec) -> Spec:
    """The labels next to the rows or below the columns of a matrix."""
    place: Spec = {"field": field, "type": "ordinal", "axis": None}
    ends: Spec = {"x": {"value": 0}, "y": place}
    if field == "given":
        ends = {"x": place, "y": {"value": "height"}}
    values = [{field: index, "name": truncate(name, 24)} for index, name in enumerate(names)]
    return {
        "data": {"values": values},
        "mark": {"type": "text", "color": palette.ink, "fontSize": 12, **mark},
        "encoding": {**ends, "text": {"field": "name"}},
    }
