"""Figures below each other, each as a point with its 95% interval."""

from collections.abc import Sequence
from dataclasses import dataclass

from ftops.evaluation.text import format_value
from ftops.metrics.result import MetricResult, Unit
from ftops.reports.report.charts import WIDE, Spec, fit_both_ends, frame
from ftops.reports.report.palette import Palette

_ROW_HEIGHT = 30


@dataclass(frozen=True, slots=True)
class Bar:
    """A figure of somebody, to be drawn as a point with its interval."""

    name: str
    figure: MetricResult
    strong: bool = False


def draw_bars(bars: Sequence[Bar], metric: str, palette: Palette, width: int = WIDE) -> Spec:
    """Figures with their 95% intervals below each other, each with its value beside it."""
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
    # names are looked up by number: two that are alike would fall on one line, and a name is
    # never a part of an expression
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
    return frame(spec, palette)


def _name_rows(names: Sequence[str], palette: Palette, width: int) -> Spec:
    """The names: left of the plot, or above their lines where it is narrow."""
    narrow = width < WIDE
    mark: Spec = {"type": "text", "color": palette.ink, "fontSize": 12}
    mark |= {"align": "left", "dy": -24} if narrow else {"align": "right", "dx": -12}
    most = 40 if narrow else 30
    cut = [fit_both_ends(name, most) for name in names]
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
