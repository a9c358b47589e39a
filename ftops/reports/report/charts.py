"""What all charts have in common: Vega-Lite specifications, in which texts are values only.

Source of the format: https://vega.github.io/vega-lite/docs/spec.html
"""

import unicodedata
from collections.abc import Mapping
from typing import Any

from ftops.reports.report.palette import Palette

Spec = dict[str, Any]  # any: a specification is a tree of JSON values, checked by who draws it

WIDE, NARROW = 640, 270  # pixels of the plot itself
_FONT = "Helvetica, Arial, sans-serif"


def frame(spec: Mapping[str, Any], palette: Palette) -> Spec:
    """The whole specification of a chart: its own parts, with the colours and sizes of all."""
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
