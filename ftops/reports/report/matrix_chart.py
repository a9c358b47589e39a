"""A confusion matrix as a picture."""

from collections.abc import Sequence

from ftops.reports.report.charts import WIDE, Spec, fit, frame
from ftops.reports.report.confusion import Matrix
from ftops.reports.report.palette import Palette

_CELL = 30


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
    return frame(spec, palette)


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
