"""The values of a job file with their locations: variables filled in, overrides applied.

`${VAR}` and `${VAR:-default}` are filled in from the environment that the caller passes; as in a
shell, the default also replaces an empty variable, and `$${` is a literal `${`. Every text is
checked: one that looks like a secret is refused, whether written out, escaped, or filled in.

`--set key.path=value` changes the YAML tree before anything is validated. Its value is parsed like
the file, so `--set seed=7`, `--set metadata={a: b}` and `--set suffix=` (null) mean the same as
there. The last override of a key wins.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ftops.records import Json
from ftops.spec.problem import KeyPath, ProblemReport, SourceText, Span, quoted
from ftops.spec.secret import is_secret_field, list_secrets, mask_secrets
from ftops.spec.section import FieldError
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

_VARIABLE = re.compile(
    r"""\$\$\{                                   # an escaped ${
      | \$\{ (?P<name>[A-Za-z_][A-Za-z0-9_]*)
             (?: :- (?P<default>[^}]*) )? \}     # a variable
      | (?P<bad>\$\{)                            # a malformed variable
    """,
    re.VERBOSE,
)
_MAX_KEYS = 8  # in the path of an override
_SECRET_REASON = "this looks like a secret; secrets are not allowed in a job file"
_SECRET_SUGGESTION = (
    "keep it in the environment, and name the variable under provider: {api_key_env: …}"
)


@dataclass(frozen=True, slots=True)
class ValueLocation:
    """The locations of a value and of its key, and the text that messages show for the value.

    `variables` are the names of the environment variables whose values it contains.
    """

    span: Span
    key: Span | None
    shown: str
    variables: tuple[str, ...] = ()


@dataclass(slots=True)
class Values:
    """The plain values of a job file, with the location of each.

    `invalid` holds the paths whose problems are already reported.
    """

    value: Json = None
    locations: dict[KeyPath, ValueLocation] = field(default_factory=dict)
    invalid: set[KeyPath] = field(default_factory=set)

    def is_invalid(self, path: KeyPath) -> bool:
        """Whether a problem of the value at `path`, or of a parent, is already reported."""
        return any(path[:length] in self.invalid for length in range(len(path) + 1))

    def find(self, *path: str | int) -> Json:
        """The value at `path`."""
        value = self.value
        for key in path:
            if isinstance(value, dict) and isinstance(key, str):
                value = value.get(key)
            elif isinstance(value, list) and isinstance(key, int) and key < len(value):
                value = value[key]
            else:
                return None
        return value

    def hide_variables(self, error: FieldError, path: KeyPath) -> FieldError:
        """The error about the value at `path`, without values of environment variables.

        They may be secrets. A suggestion that repeats such a value becomes empty.
        """
        message, suggestion = error.message, error.suggestion
        for inner, location in self.locations.items():
            if not location.variables or inner[: len(path)] != path:
                continue
            value = self.find(*inner)
            shown = quoted(value) if isinstance(value, str) else f"not {str(value).lower()}"
            hidden = location.shown if isinstance(value, str) else f"not {location.shown}"
            message = message.replace(shown, hidden)
            suggestion = "" if str(value) in suggestion else suggestion
        return replace(error, message=message, suggestion=suggestion)

    def span(self, path: KeyPath, *, key: bool = False) -> Span:
        """The location of the value or key at `path`, else of the nearest parent."""
        for length in range(len(path), -1, -1):
            location = self.locations.get(path[:length])
            if location is not None:
                use_key = location.key is not None and (key or length < len(path))
                return location.key if use_key and location.key else location.span
        raise KeyError(path)


def read_values(root: Node, environ: Mapping[str, str], report: ProblemReport) -> Values:
    """The values of the tree `root`, with variables filled in; adds problems to `report`."""
    reader = _ValueReader(environ, report)
    reader.values.value = reader.read(root, (), None)
    return reader.values


def report_secrets(source: SourceText, report: ProblemReport) -> None:
    """Report and hide all text that looks like a secret, comments included."""
    for start, end in list_secrets(source.text):
        span = Span(source, start, end)
        report.hidden.append(span)
        report.add(span, _SECRET_REASON, _SECRET_SUGGESTION)


class _ValueReader:
    def __init__(self, environ: Mapping[str, str], report: ProblemReport) -> None:
        self.values = Values()
        self._environ = environ
        self._report = report

    def read(self, node: Node, path: KeyPath, key: Span | None) -> Json:
        shown = _show_collection(node)
        self.values.locations[path] = ValueLocation(node.span, key, shown)
        if isinstance(node, ScalarNode):
            return self._read_scalar(node, path, key)
        if isinstance(node, SequenceNode):
            return [self.read(item, (*path, i), None) for i, item in enumerate(node.items)]
        if isinstance(node, InvalidNode):
            self.values.invalid.add(path)
            return None
        return {
            name: self.read(value, (*path, name), key_span)
            for name, (key_span, value) in node.entries.items()
        }

    def _read_scalar(self, node: ScalarNode, path: KeyPath, key: Span | None) -> Json:
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
            reason = f"the value contains the control character U+{ord(filled.text[at]):04X}"
            self._refuse(node, path, reason)
            return None
        value = resolve_plain(filled.text) if node.plain else filled.text
        shown = f"the value of {quoted(node.text)}" if filled.changed else _show_scalar(node, value)
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
            reason = f"the value of {quoted(node.text)} looks like a secret"
            self._refuse(
                node, path, f"{reason}; secrets are not allowed in a job file", _SECRET_SUGGESTION
            )
        elif list_secrets(raw):
            self.values.invalid.add(path)  # already reported by the scan of the text
        else:
            self._refuse(node, path, _SECRET_REASON, _SECRET_SUGGESTION)


def _show_scalar(node: ScalarNode, value: Json) -> str:
    if value is None:
        return "nothing" if node.text == "" else "null"
    if isinstance(value, str):
        return quoted(value)
    return node.text


def _show_collection(node: Node) -> str:
    if isinstance(node, SequenceNode):
        return f"a list of {len(node.items)}" if node.items else "an empty list"
    if isinstance(node, MappingNode):
        return f"a mapping of {len(node.entries)}" if node.entries else "an empty mapping"
    return ""


class InterpolationError(Exception):
    """An error for a text whose variables cannot be filled in, with a suggestion."""

    def __init__(self, message: str, suggestion: str) -> None:
        super().__init__(message)
        self.message = message
        self.suggestion = suggestion


@dataclass(frozen=True, slots=True)
class Interpolated:
    """A text with its variables filled in; `changed` if it had any.

    `names` are the variables with values from the environment, each once.
    """

    text: str
    changed: bool
    names: tuple[str, ...] = ()


def interpolate(text: str, environ: Mapping[str, str]) -> Interpolated:
    """Fill in the variables in `text`; InterpolationError for an unset or malformed one."""
    if "${" not in text:
        return Interpolated(text, changed=False)
    changed = False
    names: dict[str, None] = {}

    def value(match: re.Match[str]) -> str:
        nonlocal changed
        if match["bad"]:
            raise InterpolationError(
                "'${' starts a malformed variable",
                "write ${NAME} or ${NAME:-default}, or $${ for a literal ${",
            )
        if match["name"] is None:
            return "${"
        changed = True
        if environ.get(match["name"]):
            names[match["name"]] = None
        return _lookup(match["name"], match["default"], environ)

    filled = _VARIABLE.sub(value, text)
    return Interpolated(filled, changed, tuple(names))


def _lookup(name: str, default: str | None, environ: Mapping[str, str]) -> str:
    value = environ.get(name)
    if default is not None:
        return value or default
    if value is None:
        near = find_nearest(name, environ, strict=True)
        question = f"did you mean ${{{near}}}? Or " if near else ""
        raise InterpolationError(
            f"the environment variable {name} is not set",
            f"{question}write ${{{name}:-…}} to give a default",
        )
    return value


def apply_overrides(root: MappingNode, overrides: Sequence[str], report: ProblemReport) -> None:
    """Apply the overrides to the tree `root`; adds invalid ones to `report`."""
    for text in overrides:
        _apply(root, text, report)


def _apply(root: MappingNode, text: str, report: ProblemReport) -> None:
    key_path, separator, value_text = text.partition("=")
    keys = [key.strip() for key in key_path.split(".")]
    shown = f"{key_path}{separator}***" if is_secret_field(keys[-1]) else text
    source = SourceText(f"--set {_printable(mask_secrets(shown))}", value_text, override=True)
    span = Span(source, 0, len(value_text))
    if not separator or not all(keys) or len(keys) > _MAX_KEYS:
        report.add(span, "an override is key=value or section.key=value")
        return
    before = len(report.problems)
    report_secrets(source, report)
    at = find_control(value_text)
    if at is not None:
        report.add(span, f"the value contains the control character U+{ord(value_text[at]):04X}")
    if len(report.problems) > before:
        _put(root, keys, InvalidNode(span), report)
        return
    node = parse_yaml(source, report)
    if node is None:
        node = InvalidNode(span) if len(report.problems) > before else ScalarNode("", True, span)
    _put(root, keys, node, report)


def _put(root: MappingNode, keys: list[str], node: Node, report: ProblemReport) -> None:
    """Put `node` at the path `keys`, and create missing mappings."""
    mapping = root
    for depth, key in enumerate(keys[:-1], start=1):
        key_span, child = mapping.entries.get(key, (node.span, None))
        if child is None or (isinstance(child, ScalarNode) and child.plain and child.text == ""):
            child = MappingNode(node.span)
            mapping.entries[key] = (key_span, child)
        if not isinstance(child, MappingNode):
            kind = "a list" if isinstance(child, SequenceNode) else "a single value"
            if not isinstance(child, InvalidNode):
                where = ".".join(keys[:depth])
                message = f"{where} is {kind} in the job file, so it has no {keys[depth]!r}"
                report.add(node.span, message, f"set {where} as a whole")
            return
        mapping = child
    mapping.entries[keys[-1]] = (node.span, node)


def _printable(text: str) -> str:
    """`text` as one line of at most 80 printable characters."""
    line = "".join(character if character.isprintable() else "\ufffd" for character in text)
    return line if len(line) <= 80 else line[:79] + "…"
