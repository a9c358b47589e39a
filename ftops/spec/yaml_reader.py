"""Parses untrusted YAML into a tree with the location of every node.

The tree is built from parser events in a loop, without expansion, construction or recursion, so no
file can exhaust the stack or the memory. Aliases, anchors, tags, multiple documents, deep nesting,
and duplicate or non-text keys are problems. Plain scalars follow YAML's core schema: `no` and
`2026-11-22` are text, `1e-1` is a number.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import yaml

from ftops.errors import SpecError
from ftops.records import Json
from ftops.spec.problem import ProblemReport, SourceText, Span, quoted

MAX_BYTES = 1 << 20
MAX_DEPTH = 50
_TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels"
_BOM = b"\xef\xbb\xbf"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
# Quoted text and comments, in which brackets do not count; and brackets.
_BRACKETS = re.compile(r"""'(?:[^']|'')*'?|"(?:[^"\\]|\\.)*"?|#[^\n]*|[\[{\]}]""", re.DOTALL)
_INT = re.compile(r"[-+]?[0-9]{1,40}|0o[0-7]{1,20}|0x[0-9a-fA-F]{1,20}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_CONSTANTS = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True,
    "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_MESSAGES = {  # part of a message of libyaml: a message with the next step
    "mapping values are not allowed": "':' is not allowed here; put the text in quotes",
    "could not find expected ':'": "this line should be `key: value`, with a space after the colon",
    "did not find expected key": "the indentation or a quote is off: expected a key here",
    "cannot start any token": "this character cannot start a value; put the text in quotes",
    "tab character": "a tab cannot indent YAML; use spaces",
    "found unexpected end of stream": "this quote is never closed",
    "expected ',' or ']'": "a list that opens with '[' is never closed, or lacks a comma",
    "expected ',' or '}'": "a mapping that opens with '{' is never closed, or lacks a comma",
    "unknown escape character": "unknown backslash sequence; single quotes keep it as it is",
    "document start": "nothing else is allowed here, at the top level of the file",
}


@dataclass(frozen=True, slots=True)
class ScalarNode:
    """A scalar; `plain` if it has no quotes, so it may be a number."""

    text: str
    plain: bool
    span: Span

    @property
    def value(self) -> Json:
        """The text, or what it means without quotes."""
        return resolve_plain(self.text) if self.plain else self.text


@dataclass(frozen=True, slots=True)
class SequenceNode:
    """A list."""

    span: Span
    items: "list[Node]" = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class MappingNode:
    """A mapping: the location and the value of each key."""

    span: Span
    entries: "dict[str, tuple[Span, Node]]" = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InvalidNode:
    """A placeholder for a value whose problem is already reported."""

    span: Span


Node: TypeAlias = ScalarNode | SequenceNode | MappingNode | InvalidNode


def read_source(path: Path, what: str = "job file") -> SourceText:
    """The text of a file without a byte order mark; SpecError if it cannot be read.

    `what` is the kind of file for messages.
    """
    try:
        if path.is_dir():
            raise SpecError(f"{path}: this is a folder, not a {what}")
        if path.exists() and not path.is_file():
            raise SpecError(f"{path}: this is not a regular file")
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise SpecError(
            f"{path}: there is no such file", hint="`ftops init` writes a job file to start from."
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SpecError(f"{path}: cannot be read: {reason}") from error
    if len(data) > MAX_BYTES:
        raise SpecError(f"{path}: larger than 1 MiB, too large for a {what}")
    if not data.strip():
        raise SpecError(f"{path}: the file is empty")
    return _decode(str(path), data.removeprefix(_BOM))


def _decode(name: str, data: bytes) -> SourceText:
    report = ProblemReport()
    try:
        source = SourceText(name, data.decode("utf-8"))
    except UnicodeDecodeError as error:
        source = SourceText(name, data.decode("utf-8", errors="replace"))
        # The prefix decodes to the characters before the invalid byte.
        offset = len(data[: error.start].decode("utf-8"))
        message = f"not UTF-8: byte 0x{data[error.start]:02x}"
        report.add(Span(source, offset, offset + 1), message, "save the file as UTF-8")
        raise report.error() from None
    at = find_control(source.text)
    if at is not None:
        message = f"control character U+{ord(source.text[at]):04X}"
        report.add(Span(source, at, at + 1), message, "remove it")
        raise report.error()
    return source


def find_control(text: str) -> int | None:
    """The index of the first control character other than tab and line ends."""
    match = _CONTROL.search(text)
    return match.start() if match else None


def parse_yaml(source: SourceText, report: ProblemReport, what: str = "job files") -> Node | None:
    """The tree of the only document in `source`; `what` is the kind of file for messages.

    Adds problems to `report`; None if the text has no value or cannot be parsed further.
    """
    builder = _TreeBuilder(source, report, what)
    try:
        for event in _events(source.text):
            if not builder.take(event):
                return None
    except yaml.MarkedYAMLError as error:
        at = min(_mark_index(error), len(source.text))
        too_deep = _find_too_deep(source.text[: at + 1])
        if too_deep is not None:  # the parser also has a nesting limit
            report.add(Span(source, too_deep, too_deep + 1), _TOO_DEEP)
        else:
            report.add(
                Span(source, at, at + 1), _improve_message(error.problem or "not valid YAML")
            )
        return None
    except yaml.YAMLError as error:
        report.add(Span(source, 0, 1), f"not valid YAML: {str(error).splitlines()[0]}")
        return None
    return builder.root


def resolve_plain(text: str) -> bool | int | float | str | None:
    """The value of an unquoted scalar."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INT.fullmatch(text):
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    return float(text) if _FLOAT.fullmatch(text) and len(text) <= 40 else text


def _events(text: str) -> Iterator[yaml.Event]:
    events: Iterator[yaml.Event] = yaml.parse(text, Loader=_LOADER)
    return events


def _mark_index(error: yaml.MarkedYAMLError) -> int:
    """The index of the error; for an unclosed quote, the index of the quote."""
    marks = [error.problem_mark, error.context_mark]
    if "unexpected end" in (error.problem or ""):
        marks.reverse()
    return next((mark.index for mark in marks if mark is not None), 0)


def _find_too_deep(text: str) -> int | None:
    """The index of the first bracket beyond the nesting limit."""
    depth = 0
    for match in _BRACKETS.finditer(text):
        if match[0] in ("[", "{"):
            depth += 1
            if depth > MAX_DEPTH:
                return match.start()
        elif match[0] in ("]", "}"):
            depth -= 1
    return None


def _improve_message(problem: str) -> str:
    for piece, words in _MESSAGES.items():
        if piece in problem:
            return words
    return f"not valid YAML: {problem}"


class _TreeBuilder:
    """Builds the tree from events; `take` returns False if the rest cannot be parsed."""

    def __init__(self, source: SourceText, report: ProblemReport, what: str) -> None:
        self._what = what
        self.root: Node | None = None
        self._source = source
        self._report = report
        self._open: list[
            tuple[SequenceNode | MappingNode, bool]
        ] = []  # (collection, whether it is kept)
        self._keys: list[
            tuple[Span, str | None] | None
        ] = []  # per open collection: the pending key

    def take(self, event: yaml.Event) -> bool:
        start = event.start_mark.index if event.start_mark else 0
        end = event.end_mark.index if event.end_mark else start
        span = Span(self._source, start, end)
        if isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
            self._report.add(span, "a second document starts here; a job file has one")
            return False
        if isinstance(event, yaml.AliasEvent):
            self._report.add(span, f"aliases are not allowed in {self._what}", "repeat the value")
            self._put(InvalidNode(span))
        elif isinstance(event, yaml.NodeEvent):
            return self._take_node(event, span)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._open.pop()
            self._keys.pop()
        return True

    def _take_node(self, event: yaml.NodeEvent, span: Span) -> bool:
        if event.anchor is not None:
            self._report.add(span, f"anchors are not allowed in {self._what}", "repeat the value")
        tagged = getattr(event, "tag", None) is not None
        if tagged:
            self._report.add(
                span, f"tags are not allowed in {self._what}", "write the value plainly"
            )
        if isinstance(event, yaml.ScalarEvent):
            plain = event.style in (None, "")
            self._put(InvalidNode(span) if tagged else ScalarNode(event.value, plain, span))
            return True
        if len(self._open) == MAX_DEPTH:
            self._report.add(span, _TOO_DEEP)
            return False
        is_list = isinstance(event, yaml.SequenceStartEvent)
        node: SequenceNode | MappingNode = SequenceNode(span) if is_list else MappingNode(span)
        keep = self._put(node)
        self._open.append((node, keep))
        self._keys.append(None)
        return True

    def _put(self, node: Node) -> bool:
        """Add `node` to the open collection; False if it is discarded."""
        if not self._open:
            self.root = node
            return True
        parent, keep = self._open[-1]
        if isinstance(parent, SequenceNode):
            parent.items.append(node)
            return keep
        pending = self._keys[-1]
        if pending is None:
            self._keys[-1] = (node.span, self._key(node, parent if keep else None))
            return False
        self._keys[-1] = None
        key_span, key = pending
        if key is None:
            return False
        parent.entries[key] = (key_span, node)
        return keep

    def _key(self, node: Node, parent: MappingNode | None) -> str | None:
        """The text of a key; None, with a problem, if it is invalid."""
        if not isinstance(node, ScalarNode):
            if not isinstance(node, InvalidNode):
                self._report.add(node.span, "a list or a mapping cannot be a key")
            return None
        if node.plain and not isinstance(resolve_plain(node.text), str):
            shown = quoted(node.text).strip("'") or "nothing"
            self._report.add(node.span, f"a key must be text, not {shown}", "put it in quotes")
            return None
        if parent is not None and node.text in parent.entries:
            line = self._source.locate(parent.entries[node.text][0].start)[0]
            message = f"duplicate key {quoted(node.text)}; it is already in line {line}"
            self._report.add(node.span, message)
            return None
        return node.text


def render_value(value: Json) -> str:
    """The value as one line of YAML: JSON, with escapes for non-printable characters."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
