"""Charts of loss or accuracy by step, of one run or several."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ftops.reports.charts import WIDE, Palette, Spec, create_chart
from ftops.reports.curves import BUCKETS, Curve, Point, downsample, fill_buckets

_HEIGHT = 260
_DECADES = 100.0  # a loss that falls by this factor gets a logarithmic axis
_MOST_DECADES = 1e5
_LEAST_BUCKETS, _MOST_POINTS = 80, 640  # of a line, and of all lines of a chart
_BANDED_RUNS = 3  # with more runs, the bands would hide each other
_TITLES = {"loss": "loss (nats per token)", "accuracy": "share of tokens that are right"}


@dataclass(frozen=True, slots=True)
class NamedCurve:
    """A curve of a run with its markers."""

    name: str
    curve: Curve
    epochs: Sequence[float] = ()
    best: Point | None = None
    preferred: int | None = None


def draw_curves(curves: Sequence[NamedCurve], palette: Palette, width: int = WIDE) -> Spec:
    """A chart of curves of the same measure: lines for training, markers for validation.

    If there are more steps than pixels, the line is the mean of neighbouring steps, and a band
    shows their minimum and maximum. Epochs are those of the first curve.
    """
    last = get_last_step(curves)
    alone = len(curves) == 1
    most = choose_detail(len(curves))
    y = _create_y_axis(curves)
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
    return create_chart({"layer": layers, "width": width, "height": _HEIGHT}, palette)


def choose_detail(curves: int) -> int:
    """The maximum number of points of a line, so that charts of many lines stay small."""
    return max(_LEAST_BUCKETS, min(BUCKETS, _MOST_POINTS // curves))


def _create_y_axis(curves: Sequence[NamedCurve]) -> Spec:
    """The vertical axis: linear from 0, or logarithmic if a loss falls a hundredfold.

    On a linear axis a later rise of such a loss would be invisible.
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


def get_last_step(curves: Sequence[NamedCurve]) -> float:
    """The last step with a point in any curve; at least 1."""
    steps = [x for one in curves for x, _ in (*one.curve.training[-1:], *one.curve.validation[-1:])]
    return max([1.0, *steps])


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
    rows = [{"x": _short(step), "y": _short(value)} for step, value in downsample(points, most)]
    encoding: Spec = {"x": {"field": "x", **x}, "y": {"field": "y", **y}}
    line = {"type": "line", "color": color, "strokeDash": [5, 3], "strokeWidth": 1.6, "clip": True}
    mark = {"type": "point", "filled": True, "color": color, "size": 26, "opacity": 1, "clip": True}
    if len(rows) == 1:  # a line of one point is invisible
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


def _short(value: float) -> float:
    """The value with four significant digits, which are enough for a chart."""
    return float(f"{value:.4g}")
