"""Charts as Vega-Lite specifications: plain values, in which texts are data and nothing else.

Source of the format: https://vega.github.io/vega-lite/docs/spec.html
"""

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ftops.reporting.report.confusion import Matrix
from ftops.reporting.report.learning import Curve
from ftops.reporting.report.palette import Palette
from ftops.reporting.report.thinning import BUCKETS, Point, fill_buckets, thin
from ftops.reporting.report.words import is_share, say_value
from ftops.scoring.evaluation import Figure

Spec = dict[str, Any]  # any: a specification is a tree of JSON values, checked by who draws it

WIDE, NARROW = 640, 270  # pixels of the plot itself
_CURVE_HEIGHT = 260
_ROW_HEIGHT = 30
_CELL = 30
_FONT = "Helvetica, Arial, sans-serif"
_DECADES = 100.0  # a loss that falls so much is drawn on a logarithmic axis
_MOST_DECADES = 1e5
_LEAST_BUCKETS, _MOST_POINTS = 80, 640  # of a line, and of all lines of a chart
_BANDED_RUNS = 3  # of more runs the bands would hide each other
_TITLES = {"loss": "loss (nats a token)", "accuracy": "share of tokens that are right"}


@dataclass(frozen=True, slots=True)
class NamedCurve:
    """A curve of one run, by the run's name, with what is marked on it."""

    name: str
    curve: Curve
    epochs: Sequence[float] = ()
    best: Point | None = None
    preferred: int | None = None


@dataclass(frozen=True, slots=True)
class Bar:
    """A figure of somebody, to be drawn as a point with its interval."""

    name: str
    figure: Figure
    strong: bool = False


def draw_curves(curves: Sequence[NamedCurve], palette: Palette, width: int = WIDE) -> Spec:
    """Curves of the same measure over each other: lines of training, marks of validation.

    Where there are more steps than pixels, the line is the mean of neighbouring steps, and a band
    behind it goes from the lowest to the highest of them. The epochs are those of the first curve.
    """
    last = find_last_step(curves)
    alone = len(curves) == 1
    most = choose_detail(len(curves))
    y = _find_scale(curves)
    x: Spec = {
        "type": "quantitative",
        "scale": {"domain": [0, last], "nice": False},
        "axis": {"title": "step", "tickCount": 6, "grid": False, "format": ",d"},
    }
    layers: list[Spec] = []
    if curves[0].epochs:
        layers.append(_draw_epochs(curves[0].epochs, palette, x))
    for index, one in enumerate(curves):
        color = palette.choose(index)
        banded = len(curves) <= _BANDED_RUNS
        layers += _draw_training(one.curve.training, color, x, y, banded=banded, most=most)
        marked = palette.choose(1) if alone else color
        layers += _draw_validation(one.curve.validation, marked, x, y, most=2 * most)
        lone = len(one.curve.validation) == 1
        if one.best is not None and one.curve.measure == "loss" and not lone:
            layers.append(_draw_best(one.best, palette.ink, x, y))
        if one.preferred is not None:
            layers.append(_draw_preferred(one.preferred, palette.ink if alone else color, x))
    return _frame({"layer": layers, "width": width, "height": _CURVE_HEIGHT}, palette)


def choose_detail(curves: int) -> int:
    """How many points a line may have, so that many lines over each other stay a small file."""
    return max(_LEAST_BUCKETS, min(BUCKETS, _MOST_POINTS // curves))


def _find_scale(curves: Sequence[NamedCurve]) -> Spec:
    """The vertical axis: from 0 on, or logarithmic where a loss falls a hundredfold.

    On a linear axis such a loss is a wall and a floor, on which nobody sees a validation loss rise.
    """
    title = _TITLES[curves[0].curve.measure]
    if curves[0].curve.measure == "accuracy":
        axis: Spec = {"title": title, "tickCount": 5, "format": ".0%"}
        return {"type": "quantitative", "scale": {"domain": [0, 1]}, "axis": axis}
    means = [bucket.mean for one in curves for bucket in fill_buckets(one.curve.training)]
    values = [*means, *(y for one in curves for _, y in one.curve.validation)]
    high = max(values, default=1.0)
    low = min((value for value in values if value > 0), default=high)
    if high < _DECADES * low or high <= 0:
        domain = [min(0.0, *values) if values else 0.0, high or 1.0]
        scale = {"domain": domain, "nice": False, "clamp": True}
        return {"type": "quantitative", "scale": scale, "axis": {"title": title, "tickCount": 5}}
    low = max(low, high / _MOST_DECADES)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    return {
        "type": "quantitative",
        "scale": {"type": "log", "domain": [low, high], "nice": False, "clamp": True},
        "axis": {
            "title": f"{title[:-1]}, logarithmic)",
            "values": [
                10.0**power for power in range(first, last + 1) if low <= 10.0**power <= high
            ],
            "format": "~g",
        },
    }


def find_last_step(curves: Sequence[NamedCurve]) -> float:
    """The last step that any curve has a point at; at least 1."""
    steps = [x for one in curves for x, _ in (*one.curve.training[-1:], *one.curve.validation[-1:])]
    return max([1.0, *steps])


def draw_bars(bars: Sequence[Bar], metric: str, palette: Palette, width: int = WIDE) -> Spec:
    """Figures with their 95% intervals below each other, each with its value beside it."""
    rows = [
        {
            "place": index,
            "value": bar.figure.value,
            "low": bar.figure.value if bar.figure.low is None else bar.figure.low,
            "high": bar.figure.value if bar.figure.high is None else bar.figure.high,
            "strong": bar.strong,
            "text": say_value(metric, bar.figure.value),
        }
        for index, bar in enumerate(bars)
    ]
    names = [bar.name for bar in bars]
    low = min([0.0, *(row["low"] for row in rows)])  # type: ignore[type-var]
    high = max([1.0 if is_share(metric) else 0.0, *(row["high"] for row in rows)])  # type: ignore[type-var]
    # names are looked up by number: two that are alike would fall on one line, and a name is
    # never a part of an expression
    y: Spec = {
        "field": "place",
        "type": "ordinal",
        "axis": None,
        "scale": {"domain": list(range(len(rows)))},
    }
    axis = {"title": metric, "tickCount": 5, **({"format": ".0%"} if is_share(metric) else {})}
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
    return _frame(spec, palette)


def draw_matrix(matrix: Matrix, palette: Palette, width: int = WIDE) -> Spec:
    """Which labels are taken for which: the darker, the larger the share of the row."""
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
    return _frame(spec, palette)


def fit_both_ends(name: str, most: int) -> str:
    """The name cut in its middle: names of runs differ at their ends."""
    if fit(name, most) == name:
        return name
    half = most // 2
    return f"{fit(name, half)}{fit(name[::-1], half).rstrip('…')[::-1]}"


def fit(name: str, most: int) -> str:
    """The name cut to the width of `most` letters, of which wide characters take two.

    Vega would cut it in the middle of a character that JavaScript holds as two.
    """
    width = 0
    for place, character in enumerate(name):
        width += 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if width > most:
            return f"{name[:place]}…"
    return name


def _draw_epochs(steps: Sequence[float], palette: Palette, x: Spec) -> Spec:
    return {
        "data": {"values": [{"x": step} for step in steps]},
        "mark": {"type": "rule", "strokeDash": [2, 3], "color": palette.grid, "strokeWidth": 1.5},
        "encoding": {"x": {"field": "x", **x}},
    }


def _draw_training(
    points: Sequence[Point], color: str, x: Spec, y: Spec, *, banded: bool, most: int
) -> list[Spec]:
    if not points:
        return []
    rows = [
        {
            "x": _short(one.x),
            "low": _short(one.low),
            "y": _short(one.mean),
            "high": _short(one.high),
        }
        for one in fill_buckets(points, most)
    ]
    line: Spec = {
        "mark": {"type": "line", "color": color, "strokeWidth": 1.8, "clip": True},
        "encoding": {"x": {"field": "x", **x}, "y": {"field": "y", **y}},
    }
    if len(points) == 1:
        line["mark"] = {"type": "point", "filled": True, "color": color, "size": 40}
    if not banded or len(rows) == len(points):
        return [{"data": {"values": rows}, **line}]
    band: Spec = {
        "mark": {"type": "area", "color": color, "opacity": 0.2, "clip": True},
        "encoding": {
            "x": {"field": "x", **x},
            "y": {"field": "low", **y},
            "y2": {"field": "high"},
        },
    }
    return [{"data": {"values": rows}, "layer": [band, line]}]


def _draw_validation(
    points: Sequence[Point], color: str, x: Spec, y: Spec, *, most: int
) -> list[Spec]:
    if not points:
        return []
    rows = [{"x": _short(step), "y": _short(value)} for step, value in thin(points, most)]
    encoding: Spec = {"x": {"field": "x", **x}, "y": {"field": "y", **y}}
    line = {"type": "line", "color": color, "strokeDash": [5, 3], "strokeWidth": 1.6, "clip": True}
    mark = {"type": "point", "filled": True, "color": color, "size": 26, "opacity": 1, "clip": True}
    if len(rows) == 1:  # a line of one point is nothing, and at the end of another one hard to see
        lone = {**mark, "size": 90, "clip": False}
        return [{"data": {"values": rows}, "mark": lone, "encoding": encoding}]
    layers: list[Spec] = [{"mark": line, "encoding": encoding}]
    if len(rows) <= 60:
        layers.append({"mark": mark, "encoding": encoding})
    return [{"data": {"values": rows}, "layer": layers}]


def _draw_best(best: Point, color: str, x: Spec, y: Spec) -> Spec:
    mark = {"type": "point", "shape": "diamond", "size": 130, "filled": False, "color": color}
    return {
        "data": {"values": [{"x": best[0], "y": best[1]}]},
        "mark": {**mark, "strokeWidth": 2, "opacity": 1},
        "encoding": {"x": {"field": "x", **x}, "y": {"field": "y", **y}},
    }


def _draw_preferred(step: int, color: str, x: Spec) -> Spec:
    return {
        "data": {"values": [{"x": step}]},
        "mark": {"type": "rule", "color": color, "strokeWidth": 1.5},
        "encoding": {"x": {"field": "x", **x}},
    }


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


def _name_places(field: str, names: Sequence[str], palette: Palette, mark: Spec) -> Spec:
    """Labels beside the lines, or below the columns, of a matrix."""
    place: Spec = {"field": field, "type": "ordinal", "axis": None}
    ends: Spec = {"x": {"value": 0}, "y": place}
    if field == "given":
        ends = {"x": place, "y": {"value": "height"}}
    values = [{field: index, "name": fit(name, 24)} for index, name in enumerate(names)]
    return {
        "data": {"values": values},
        "mark": {"type": "text", "color": palette.ink, "fontSize": 12, **mark},
        "encoding": {**ends, "text": {"field": "name"}},
    }


def _frame(spec: Mapping[str, Any], palette: Palette) -> Spec:
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


def _short(value: float) -> float:
    """Four digits: more than a chart can show, fewer than a file should carry."""
    return float(f"{value:.4g}")
