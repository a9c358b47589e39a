"""Renders Vega-Lite specifications with vl-convert, and sanitizes the SVG for pages.

vl-convert includes Vega, a JavaScript engine and fonts; it opens no file and no connection.
"""

from typing import Any
from xml.etree import ElementTree

from ftops.errors import RunError

_VERSION = "6.1"  # of Vega-Lite, which `charts` uses
_HINT = "pip install 'ftops[report]'"


def check_chart_libraries() -> None:
    """Raise RunError if the libraries of HTML and PNG reports are not installed."""
    try:
        import jinja2
        import vl_convert
    except ImportError as error:
        raise RunError(
            f"reports as HTML or PNG need the package {error.name}, which is not installed",
            hint=f"{_HINT} installs it; reports as .md and .json need nothing.",
        ) from error
    del jinja2, vl_convert


def render_svg(spec: dict[str, Any]) -> str:
    """The chart as SVG, not sanitized."""
    import vl_convert

    return str(vl_convert.vegalite_to_svg(spec, vl_version=_VERSION))


def render_png(spec: dict[str, Any], scale: float = 2.0) -> bytes:
    """The chart as PNG, with `scale` pixels per unit."""
    import vl_convert

    return bytes(vl_convert.vegalite_to_png(spec, vl_version=_VERSION, scale=scale))


_SVG = "http://www.w3.org/2000/svg"
_ELEMENTS = frozenset({"g", "path", "line", "rect", "circle", "text", "tspan", "clipPath", "defs"})
_ATTRIBUTES = frozenset(
    {
        "d", "x", "y", "x1", "y1", "x2", "y2", "dx", "dy", "r", "cx", "cy", "width", "height",
        "transform", "fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-miterlimit",
        "opacity", "fill-opacity", "stroke-opacity", "text-anchor", "font-size", "font-weight",
        "clip-path", "id", "display",
    }
)  # fmt: skip
_FORBIDDEN = ("url(http", "url(//", "javascript:", "data:", "expression(", "@import")
_KEPT_CLASSES = ("background", "mark-")


def sanitize_svg(text: str, *, name: str, prefix: str, kind: str) -> str:
    """The SVG with only allowed elements and attributes, the label `name` and the class `kind`.

    Vega already escapes texts; this is a second barrier. Fonts, empty shapes and the roles of
    single marks are removed. Ids get a `prefix`.
    """
    root = ElementTree.fromstring(text)
    width, height = root.attrib["width"], root.attrib["height"]
    made = ElementTree.Element(
        "svg",
        {
            "class": f"chart {kind}",
            "viewBox": f"0 0 {width} {height}",
            "role": "img",
            "aria-label": name,
        },
    )
    for child in root:
        if (copy := _copy(child, prefix)) is not None:
            made.append(copy)
    return ElementTree.tostring(made, encoding="unicode")


def _copy(element: ElementTree.Element, prefix: str) -> ElementTree.Element | None:
    tag = element.tag.removeprefix(f"{{{_SVG}}}")
    if tag not in _ELEMENTS or element.attrib.get("display") == "none":
        return None
    if tag == "path" and not element.attrib.get("d"):
        return None
    copy = ElementTree.Element(tag)
    for name, value in element.attrib.items():
        kept = _fit_attribute(name, value, prefix)
        if kept is not None:
            copy.set(name, kept)
    copy.text = element.text if tag in ("text", "tspan") else None
    for child in element:
        if (inner := _copy(child, prefix)) is not None:
            copy.append(inner)
    if tag == "g" and len(copy) == 0:
        return None
    return copy


def _fit_attribute(name: str, value: str, prefix: str) -> str | None:
    if any(part in value.lower() for part in _FORBIDDEN):
        return None
    if name == "class":
        kept = [one for one in value.split() if one.startswith(_KEPT_CLASSES)]
        return kept[0] if kept else None
    if name not in _ATTRIBUTES:
        return None
    if name == "id":
        return f"{prefix}-{value}"
    if name == "clip-path":
        return value.replace("url(#", f"url(#{prefix}-")
    return value
