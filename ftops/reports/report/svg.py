"""A chart's SVG made fit for a page: only shapes and texts are let through.

Vega escapes texts already. This is the second lock: elements and attributes that are not on the
lists below do not get into a page, whatever stands in the data. It also leaves out what a page
does not need (fonts, empty shapes, roles of single marks: the picture as a whole has a name).
"""

from xml.etree import ElementTree

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


def fit_svg(text: str, *, name: str, prefix: str, kind: str) -> str:
    """The SVG as an image called `name`, of the class `kind`; its ids begin with `prefix`."""
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
