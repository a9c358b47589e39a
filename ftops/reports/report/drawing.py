"""Vega-Lite specifications drawn by vl-convert: the one place that knows it.

vl-convert carries Vega, a JavaScript engine and its fonts; it opens no file and asks no network.
"""

from typing import Any

from ftops.errors import RunError

_VERSION = "6.1"  # of Vega-Lite: what `charts` is written in
_HINT = "pip install 'ftops[report]'"


def check_drawing() -> None:
    """RunError when what HTML pages and pictures are made with is not installed."""
    try:
        import jinja2
        import vl_convert
    except ImportError as error:
        raise RunError(
            f"reports as HTML or PNG need the package {error.name}, which is not installed",
            hint=f"{_HINT} installs it; reports as .md and .json need nothing.",
        ) from error
    del jinja2, vl_convert


def draw_svg(spec: dict[str, Any]) -> str:
    """The chart as SVG, as Vega writes it."""
    import vl_convert

    return str(vl_convert.vegalite_to_svg(spec, vl_version=_VERSION))


def draw_png(spec: dict[str, Any], scale: float = 2.0) -> bytes:
    """The chart as PNG, `scale` pixels for each of its own."""
    import vl_convert

    return bytes(vl_convert.vegalite_to_png(spec, vl_version=_VERSION, scale=scale))
