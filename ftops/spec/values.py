"""Turns the tree of a job file into plain values, and remembers for each where it stood.

On the way variables are filled in and every text is looked at: nothing that looks like a secret
passes, whether it was written out, escaped, or came out of the environment.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from ftops.records import Json
from ftops.spec.interpolate import Uninterpolated, interpolate
from ftops.spec.problems import Report, Source, Span, quoted
from ftops.spec.reader import Broken, Entries, Items, Node, Scalar, find_control, resolve_plain
from ftops.spec.secrets import find_secrets, is_secret_field

Path: TypeAlias = tuple[str | int, ...]
_SECRET_REASON = "this looks like a secret; secrets never stand in a job file"
_SECRET_WAY_OUT = (
    "keep it in the environment, and name the variable under provider: {api_key_env: …}"
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stood (`span`), where its key stood, and how a message may show the value.

    `variables` are the names of the environment variables whose values are part of it.
    """

    span: Span
    key: Span | None
    shown: str
    variables: tuple[str, ...] = ()


@dataclass(slots=True)
class Values:
    """The plain values of a job file, with a place for every path that has one.

    `broken` holds the paths whose problem has been reported: nothing more is said about them.
    """

    value: Json = None
    places: dict[Path, Place] = field(default_factory=dict)
    broken: set[Path] = field(default_factory=set)

    def is_broken(self, path: Path) -> bool:
        """Whether the value at `path`, or something that holds it, has been reported."""
        return any(path[:length] in self.broken for length in range(len(path) + 1))

    def find(self, *path: str | int) -> Json:
        """The value at `path`; None where there is none."""
        value = self.value
        for key in path:
            if isinstance(value, dict) and isinstance(key, str):
                value = value.get(key)
            elif isinstance(value, list) and isinstance(key, int) and key < len(value):
                value = value[key]
            else:
                return None
        return value

    def span(self, path: Path, *, key: bool = False) -> Span:
        """Where to point for `path`: its value or its key, else the nearest thing around it."""
        for length in range(len(path), -1, -1):
            place = self.places.get(path[:length])
            if place is not None:
                use_key = place.key is not None and (key or length < len(path))
                return place.key if use_key and place.key else place.span
        raise KeyError(path)


def read_values(root: Node, environ: Mapping[str, str], report: Report) -> Values:
    """The values under `root`, variables filled in; adds to `report` what must not be there."""
    filler = _Filler(environ, report)
    filler.values.value = filler.fill(root, (), None)
    return filler.values


def report_secrets(source: Source, report: Report) -> None:
    """Report, and hide, everything in the raw text that looks like a secret, comments included."""
    for start, end in find_secrets(source.text):
        span = Span(source, start, end)
        report.hidden.append(span)
        report.add(span, _SECRET_REASON, _SECRET_WAY_OUT)


class _Filler:
    def __init__(self, environ: Mapping[str, str], report: Report) -> None:
        self.values = Values()
        self._environ = environ
        self._report = report

    def fill(self, node: Node, path: Path, key: Span | None) -> Json:
        shown = _collection_shown(node)
        self.values.places[path] = Place(node.span, key, shown)
        if isinstance(node, Scalar):
            return self._scalar(node, path, key)
        if isinstance(node, Items):
            return [self.fill(item, (*path, i), None) for i, item in enumerate(node.items)]
        if isinstance(node, Broken):
            self.values.broken.add(path)
            return None
        return {
            name: self.fill(value, (*path, name), key_span)
            for name, (key_span, value) in node.entries.items()
        }

    def _scalar(self, node: Scalar, path: Path, key: Span | None) -> Json:
        if any(isinstance(name, str) and is_secret_field(name) for name in path):
            self._report.hidden.append(node.span)
        try:
            filled = interpolate(node.text, self._environ)
        except Uninterpolated as error:
            self._refuse(node, path, error.message, error.suggestion)
            return None
        if find_secrets(filled.text):
            self._report.hidden.append(node.span)
            self._refuse_secret(node, path, changed=filled.changed)
            return None
        at = find_control(filled.text)
        if at is not None:
            reason = f"the value holds the control character U+{ord(filled.text[at]):04X}"
            self._refuse(node, path, reason)
            return None
        value = resolve_plain(filled.text) if node.plain else filled.text
        shown = f"what {quoted(node.text)} gives" if filled.changed else _scalar_shown(node, value)
        if path == ("notify", "webhook_url"):
            self._report.hidden.append(node.span)
        self.values.places[path] = Place(node.span, key, shown, filled.names)
        return value

    def _refuse(self, node: Scalar, path: Path, reason: str, suggestion: str = "") -> None:
        self._report.add(node.span, reason, suggestion)
        self.values.broken.add(path)

    def _refuse_secret(self, node: Scalar, path: Path, *, changed: bool) -> None:
        raw = node.span.source.text[node.span.start : node.span.end]
        if changed:
            reason = f"what {quoted(node.text)} gives looks like a secret"
            self._refuse(node, path, f"{reason}; secrets never stand in a job", _SECRET_WAY_OUT)
        elif find_secrets(raw):
            self.values.broken.add(path)  # the scan of the raw text has reported it
        else:
            self._refuse(node, path, _SECRET_REASON, _SECRET_WAY_OUT)


def _scalar_shown(node: Scalar, value: Json) -> str:
    if value is None:
        return "nothing" if node.text == "" else "null"
    if isinstance(value, str):
        return quoted(value)
    return node.text


def _collection_shown(node: Node) -> str:
    if isinstance(node, Items):
        return f"a list of {len(node.items)}" if node.items else "an empty list"
    if isinstance(node, Entries):
        return f"a mapping of {len(node.entries)}" if node.entries else "an empty mapping"
    return ""
