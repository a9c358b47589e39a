"""A chart for the terminal: the first series as a line of braille dots, the others as markers.

For comparisons, all curves are drawn as markers (`lines=0`). Steps can be marked on the axis. A
braille cell has 2 x 4 dots; points in the same column of dots are averaged. Markers differ by
character, not by colour.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_MARKS = "ox+*#@%&=~" + "abcdefghijklmnpqrstuvwyz"  # repeat after the last one
_LINE_KEY = "⠒"
_LONE_POINT = "•"
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # by row, then column, of a cell
_BRAILLE = 0x2800
_MIN_PLOT_WIDTH = 10
_MIN_HEIGHT = 3
_USUAL_SHARE = 0.95  # of all points are within the frame; points above it are drawn at its edge
_HEADROOM = 1.2


@dataclass(frozen=True, slots=True)
class Series:
    """Points (x, y) under one label; points that are not finite are ignored."""

    label: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Ticks:
    """Ticks on the x axis with the same sign, which the legend explains with `label`."""

    sign: str
    label: str
    places: Sequence[float]


@dataclass(frozen=True, slots=True)
class _Scale:
    """Maps values of a range to `cells` equal steps."""

    low: float
    high: float

    def place(self, value: float, cells: int) -> int:
        if self.high <= self.low:
            return 0
        share = (value - self.low) / (self.high - self.low)
        return min(cells - 1, max(0, round(share * (cells - 1))))


def render_curve(
    series: Sequence[Series],
    *,
    width: int = 78,
    height: int = 12,
    y_label: str = "loss (nats per token)",
    x_label: str = "step",
    lines: int = 1,
    ticks: Sequence[Ticks] = (),
) -> str:
    """The chart as lines of at most `width` characters, with `height` lines for the plot.

    The first `lines` series are drawn as lines, the others as markers. Later ticks cover earlier
    ones. Returns "" if no series has a point.
    """
    drawn = [Series(one.label, _finite(one.points)) for one in series]
    points = [point for one in drawn for point in one.points]
    if not points:
        return ""
    across = _Scale(min(x for x, _ in points), max(x for x, _ in points))
    upward = _get_range(drawn, drawn[lines:] if lines else ())
    height = max(height, _MIN_HEIGHT)
    labels = _render_labels(upward, height)
    margin = max(len(label) for label in labels)
    plot_width = max(_MIN_PLOT_WIDTH, width - margin - 2)
    grid = _draw(drawn, across, upward, (plot_width, height), lines)
    text = _render_heading(drawn, y_label, upward, margin + 2 + plot_width, lines)
    for label, cells in zip(labels, grid, strict=True):
        text.append(f"{label:>{margin}} {'┤' if label else '│'}{''.join(cells)}".rstrip())
    text.append(f"{'':>{margin}} └{_render_axis(across, ticks, plot_width)}")
    explained = "   ".join([x_label, *(f"{one.sign} {one.label}" for one in ticks if one.places)])
    text.append(f"{'':>{margin}}  {_render_feet(across, explained, plot_width)}")
    return "\n".join(text)


def _finite(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]


def _get_range(series: Sequence[Series], marked: Sequence[Series]) -> _Scale:
    """The range from the minimum, or from 0 if that wastes little height, to the maximum.

    A few points far above the others, such as at the start of a steep fall, are cut off.
    """
    values = sorted(y for one in series for _, y in one.points)
    low, high = values[0], values[-1]
    usual = values[int((len(values) - 1) * _USUAL_SHARE)]
    marks = [y for one in marked for _, y in one.points]
    wanted = max(_HEADROOM * usual, *marks, 0.0) if usual > 0 else high
    if wanted < high / 2:
        high = wanted
    if low >= 0 and low < high / 2:
        low = 0.0
    if low == high:
        spread = abs(low) / 2 or 1.0
        low, high = low - spread, high + spread
    return _Scale(low, high)


def _render_labels(upward: _Scale, height: int) -> list[str]:
    """One label per line from the top; most are empty."""
    digits = max(0, 2 - math.floor(math.log10(upward.high - upward.low)))
    every = max(2, round((height - 1) / 4))
    labels = []
    for line in range(height):
        share = 1 - line / (height - 1)
        value = upward.low + share * (upward.high - upward.low)
        # the last line always has a label, and the line above it has none
        labelled = line == height - 1 or (line % every == 0 and line < height - 2)
        labels.append(f"{value:.{min(digits, 6)}f}" if labelled else "")
    return labels


def _draw(
    series: Sequence[Series], across: _Scale, upward: _Scale, size: tuple[int, int], lines: int
) -> list[list[str]]:
    """The characters of the plot, line by line from the top."""
    width, height = size
    grid = [[" "] * width for _ in range(height)]
    for index, one in enumerate(series):
        mark = _find_mark(index, lines)
        if mark is None:
            _draw_line(grid, one.points, across, upward)
            continue
        for x, y in one.points:
            line = height - 1 - upward.place(y, height)
            grid[line][across.place(x, width)] = mark
    return grid


def _find_mark(index: int, lines: int) -> str | None:
    """The marker of a series; None for the first `lines` series."""
    return None if index < lines else _MARKS[(index - lines) % len(_MARKS)]


def _render_axis(across: _Scale, ticks: Sequence[Ticks], width: int) -> str:
    cells = ["─"] * width
    for one in ticks:
        for place in one.places:
            if across.low <= place <= across.high:
                cells[across.place(place, width)] = one.sign
    return "".join(cells)


def _draw_line(
    grid: list[list[str]], points: Sequence[tuple[float, float]], across: _Scale, upward: _Scale
) -> None:
    columns, rows = 2 * len(grid[0]), 4 * len(grid)
    buckets: dict[int, list[float]] = {}
    for x, y in points:
        buckets.setdefault(across.place(x, columns), []).append(y)
    path = [
        (column, upward.place(math.fsum(found) / len(found), rows))
        for column, found in sorted(buckets.items())
    ]
    if len(path) == 1:  # one dot is too small to be seen
        column, row = path[0]
        grid[(rows - 1 - row) // 4][column // 2] = _LONE_POINT
        return
    cells: dict[tuple[int, int], int] = {}
    for start, end in pairwise(path):
        steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
        for step in range(steps + 1):
            column = round(start[0] + (end[0] - start[0]) * step / steps)
            row = rows - 1 - round(start[1] + (end[1] - start[1]) * step / steps)
            place = (row // 4, column // 2)
            cells[place] = cells.get(place, 0) | _DOTS[row % 4][column % 2]
    for (line, cell), dots in cells.items():
        grid[line][cell] = chr(_BRAILLE + dots)


def _render_heading(
    series: Sequence[Series], y_label: str, upward: _Scale, width: int, lines: int
) -> list[str]:
    """The name of the axis and the legend, on several lines if they are long."""
    legend = [
        f"{_find_mark(index, lines) or _LINE_KEY} {one.label}"
        for index, one in enumerate(series)
        if one.points
    ]
    highest = max(y for one in series for _, y in one.points)
    beyond = f", up to {highest:.3g}" if highest > upward.high else ""
    left = width - len("   ".join(legend)) - 2
    if len(y_label) > left:
        return [y_label + beyond, *_fill_lines(legend, width)]
    y_label += beyond if len(y_label) + len(beyond) <= left else ""
    return [f"{y_label:<{left}}  {'   '.join(legend)}"]


def _fill_lines(words: Sequence[str], width: int) -> list[str]:
    lines = [""]
    for word in words:
        longer = f"{lines[-1]}   {word}" if lines[-1] else word
        if len(longer) <= width or not lines[-1]:
            lines[-1] = longer[:width]
        else:
            lines.append(word[:width])
    return lines


def _render_feet(across: _Scale, x_label: str, width: int) -> str:
    left, right = f"{across.low:g}", f"{across.high:g}"
    x_label = x_label[: max(1, width - len(left) - len(right) - 2)]
    if across.low == across.high:
        return f"{left}  {x_label}"
    middle = x_label.center(max(len(x_label) + 2, width - len(left) - len(right)))
    return f"{left}{middle}{right}"
