"""Turns the tree of a job file into plain values, and remembers for each where it stood.

On the way variables are filled in and every text is looked at: nothing that looks like a secret
passes, whether it was written out, escaped, or came out of the environment.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ftops.records import Json
from ftops.spec.problem import KeyPath, ProblemReport, Source, Span, quoted
from ftops.spec.secret import is_secret_field, list_secrets, mask_secrets
from ftops.spec.yaml_reader import (
    InvalidNode,
    MappingNode,
    Node,
    ScalarNode,
    SequenceNode,
    find_control,
    parse_yaml,
    resolve_plain,
)
from ftops.text import find_nearest

_SECRET_REASON = "this looks like a secret; secrets never stand in a job file"
_SECRET_WAY_OUT = (
    "keep it in the environment, and name the variable under provider: {api_key_env: …}"
)


@dataclass(frozen=True, slots=True)
class ValueLocation:
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
    locations: dict[KeyPath, ValueLocation] = field(default_factory=dict)
    invalid: set[KeyPath] = field(default_factory=set)

    def is_invalid(self, path: KeyPath) -> bool:
        """Whether the value at `path`, or something that holds it, has been reported."""
        return any(path[:length] in self.invalid for length in range(len(path) + 1))

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

    def span(self, path: KeyPath, *, key: bool = False) -> Span:
        """Where to point for `path`: its value or its key, else the nearest thing around it."""
        for length in range(len(path), -1, -1):
            place = self.locations.get(path[:length])
            if place is not None:
                use_key = place.key is not None and (key or length < len(path))
                return place.key if use_key and place.key else place.span
        raise KeyError(path)


def read_values(root: Node, environ: Mapping[str, str], report: ProblemReport) -> Values:
    """The values under `root`, variables filled in; adds to `report` what must not be there."""
    filler = _Filler(environ, report)
    filler.values.value = filler.fill(root, (), None)
    return filler.values


def report_secrets(source: Source, report: ProblemReport) -> None:
    """Report, and hide, everything in the raw text that looks like a secret, comments included."""
    for start, end in list_secrets(source.text):
        span = Span(source, start, end)
        report.hidden.append(span)
        report.add(span, _SECRET_REASON, _SECRET_WAY_OUT)


class _Filler:
    def __init__(self, environ: Mapping[str, str], report: ProblemReport) -> None:
        self.values = Values()
        self._environ = environ
        self._report = report

    def fill(self, node: Node, path: KeyPath, key: Span | None) -> Json:
        shown = _collection_shown(node)
        self.values.locations[path] = ValueLocation(node.span, key, shown)
        if isinstance(node, ScalarNode):
            return self._scalar(node, path, key)
        if isinstance(node, SequenceNode):
            return [self.fill(item, (*path, i), None) for i, item in enumerate(node.items)]
        if isinstance(node, InvalidNode):
            self.values.invalid.add(path)
            return None
        return {
            name: self.fill(value, (*path, name), key_span)
            for name, (key_span, value) in node.entries.items()
        }

    def _scalar(self, node: ScalarNode, path: KeyPath, key: Span | None) -> Json:
        if any(isinstance(name, str) and is_secret_field(name) for name in path):
            self._report.hidden.append(node.span)
        try:
            filled = interpolate(node.text, self._environ)
        except InterpolationError as error:
            self._refuse(node, path, error.message, error.suggestion)
            return None
        if list_secrets(filled.text):
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
        self.values.locations[path] = ValueLocation(node.span, key, shown, filled.names)
        return value

    def _refuse(self, node: ScalarNode, path: KeyPath, reason: str, suggestion: str = "") -> None:
        self._report.add(node.span, reason, suggestion)
        self.values.invalid.add(path)

    def _refuse_secret(self, node: ScalarNode, path: KeyPath, *, changed: bool) -> None:
        raw = node.span.source.text[node.span.start : node.span.end]
        if changed:
            reason = f"what {quoted(node.text)} gives looks like a secret"
            self._refuse(node, path, f"{reason}; secrets never stand in a job", _SECRET_WAY_OUT)
        elif list_secrets(raw):
            self.values.invalid.add(path)  # the scan of the raw text has reported it
        else:
            self._refuse(node, path, _SECRET_REASON, _SECRET_WAY_OUT)


def _scalar_shown(node: ScalarNode, value: Json) -> str:
    if value is None:
        return "nothing" if node.text == "" else "null"
    if isinstance(value, str):
        return quoted(value)
    return node.text


def _collection_shown(node: Node) -> str:
    if isinstance(node, SequenceNode):
        return f"a list of {len(node.items)}" if node.items else "an empty list"
    if isinstance(node, MappingNode):
        return f"a mapping of {len(node.entries)}" if node.entries else "an empty mapping"
    return ""


_PIECE = re.compile(
    r"""\$\$\{                                   # an escaped opening
      | \$\{ (?P<name>[A-Za-z_][A-Za-z0-9_]*)
             (?: :- (?P<default>[^}]*) )? \}     # a variable
      | (?P<bad>\$\{)                            # an opening that leads nowhere
    """,
    re.VERBOSE,
)


class InterpolationError(Exception):
    """The text cannot be filled in; the message says why, `suggestion` what to do."""

    def __init__(self, message: str, suggestion: str) -> None:
        super().__init__(message)
        self.message = message
        self.suggestion = suggestion


@dataclass(frozen=True, slots=True)
class Interpolated:
    """A text with its variables replaced; `changed` when there were any.

    `names` are the variables whose values were taken from the environment, each once.
    """

    text: str
    changed: bool
    names: tuple[str, ...] = ()


def interpolate(text: str, environ: Mapping[str, str]) -> Interpolated:
    """Replace the variables in `text`; Uninterpolated when one is not set or not well written."""
    if "${" not in text:
        return Interpolated(text, changed=False)
    changed = False
    names: dict[str, None] = {}

    def value(match: re.Match[str]) -> str:
        nonlocal changed
        if match["bad"]:
            raise InterpolationError(
                "'${' begins a variable that is not well written",
                "write ${NAME} or ${NAME:-default}, or $${ for a literal ${",
            )
        if match["name"] is None:
            return "${"
        changed = True
        if environ.get(match["name"]):
            names[match["name"]] = None
        return _lookup(match["name"], match["default"], environ)

    filled = _PIECE.sub(value, text)
    return Interpolated(filled, changed, tuple(names))


def _lookup(name: str, default: str | None, environ: Mapping[str, str]) -> str:
    found = environ.get(name)
    if default is not None:
        return found or default
    if found is None:
        near = find_nearest(name, environ, strict=True)
        meant = f"did you mean ${{{near}}}? Or " if near else ""
        raise InterpolationError(
            f"the environment variable {name} is not set",
            f"{meant}write ${{{name}:-…}} to give a default",
        )
    return found


_MAX_KEYS = 8


def apply_overrides(root: MappingNode, overrides: Sequence[str], report: ProblemReport) -> None:
    """Put the overrides into the tree `root`; those that cannot be read become problems."""
    for text in overrides:
        _apply(root, text, report)


def _apply(root: MappingNode, text: str, report: ProblemReport) -> None:
    key_path, separator, value_text = text.partition("=")
    keys = [key.strip() for key in key_path.split(".")]
    shown = f"{key_path}{separator}***" if is_secret_field(keys[-1]) else text
    source = Source(f"--set {_printable(mask_secrets(shown))}", value_text, override=True)
    span = Span(source, 0, len(value_text))
    if not separator or not all(keys) or len(keys) > _MAX_KEYS:
        report.add(span, "an override is key=value or section.key=value")
        return
    before = len(report.problems)
    report_secrets(source, report)
    at = find_control(value_text)
    if at is not None:
        report.add(span, f"the value holds the control character U+{ord(value_text[at]):04X}")
    if len(report.problems) > before:
        _put(root, keys, InvalidNode(span), report)
        return
    node = parse_yaml(source, report)
    if node is None:
        node = InvalidNode(span) if len(report.problems) > before else ScalarNode("", True, span)
    _put(root, keys, node, report)


def _put(root: MappingNode, keys: list[str], node: Node, report: ProblemReport) -> None:
    """Hang `node` at the path `keys`, making the mappings on the way."""
    here = root
    for depth, key in enumerate(keys[:-1], start=1):
        key_span, child = here.entries.get(key, (node.span, None))
        if child is None or (isinstance(child, ScalarNode) and child.plain and child.text == ""):
            child = MappingNode(node.span)
            here.entries[key] = (key_span, child)
        if not isinstance(child, MappingNode):
            kind = "a list" if isinstance(child, SequenceNode) else "a single value"
            if not isinstance(child, InvalidNode):
                where = ".".join(keys[:depth])
                message = f"{where} is {kind} in the job file, so it has no {keys[depth]!r}"
                report.add(node.span, message, f"set {where} as a whole")
            return
        here = child
    here.entries[keys[-1]] = (node.span, node)


def _printable(text: str) -> str:
    """`text` as one line that a terminal shows as it is, cut after 80 characters."""
    line = "".join(character if character.isprintable() else "\ufffd" for character in text)
    return line if len(line) <= 80 else line[:79] + "…"
