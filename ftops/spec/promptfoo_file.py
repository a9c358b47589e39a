"""Files of promptfoo: their YAML, their templates, and the items that an import skips.

Templates are Nunjucks. Variables in double braces and `raw` blocks are supported; filters,
expressions and other blocks raise ValueError.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ftops.errors import SpecError
from ftops.records import Json
from ftops.spec.job_file import ALLOW_OUTSIDE, find_outside
from ftops.spec.problem import ProblemReport, quoted
from ftops.spec.yaml_reader import (
    InvalidNode,
    MappingNode,
    Node,
    ScalarNode,
    SequenceNode,
    parse_yaml,
    read_source,
)

WHAT = "promptfoo configuration"


@dataclass(frozen=True, slots=True)
class SkippedItem:
    """An item that is not imported: its location, its description, and the reason."""

    file: str
    line: int
    what: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}: {self.reason}"


@dataclass(slots=True)
class SkippedItems:
    """All items that are not imported, each once, in reading order."""

    items: list[SkippedItem] = field(default_factory=list)
    allow_outside: bool = False

    def skip_if_outside(self, node: Node, what: str, path: Path, folder: Path) -> bool:
        """Skip a file that is not inside the folder; True if it is skipped."""
        if self.allow_outside or find_outside(path, folder) is None:
            return False
        self.add(node, what, f"it is outside the configuration's folder ({ALLOW_OUTSIDE} reads it)")
        return True

    def add(self, node: Node, what: str, reason: str) -> None:
        """Skip the item at that node."""
        source = node.span.source
        self.add_at(source.name, source.locate(node.span.start)[0], what, reason)

    def add_at(self, file: str, line: int, what: str, reason: str) -> None:
        """Skip the item at that line."""
        item = SkippedItem(file, line, what, reason)
        if item not in self.items:
            self.items.append(item)


def load_tree(path: Path) -> Node:
    """The tree of a YAML or JSON file; SpecError with all its problems."""
    report = ProblemReport()
    source = read_source(path, WHAT)
    root = parse_yaml(source, report, WHAT + "s")
    if report.problems:
        error = report.error()
        error.hint = "Anchors, aliases and tags are not supported: repeat the values."
        raise error
    if root is None:
        raise SpecError(f"{path}: the file contains only comments")
    return root


def to_value(node: Node) -> Json:
    """The node as plain values."""
    match node:
        case ScalarNode():
            return node.value
        case SequenceNode():
            return [to_value(item) for item in node.items]
        case MappingNode():
            return {name: to_value(value) for name, (_, value) in node.entries.items()}
        case InvalidNode():
            return None


def to_text(node: Node | None) -> str | None:
    """The text of a scalar, with numbers as written; None for other nodes."""
    return node.text if isinstance(node, ScalarNode) else None


def get_entries(node: Node | None) -> Mapping[str, Node]:
    """The values of a mapping; empty for other nodes."""
    if not isinstance(node, MappingNode):
        return {}
    return {name: value for name, (_, value) in node.entries.items()}


def iterate(node: Node | None) -> Iterator[Node]:
    """The items of a list; a single value is a list of one."""
    if isinstance(node, SequenceNode):
        yield from node.items
    elif node is not None and not (isinstance(node, ScalarNode) and to_value(node) is None):
        yield node


def skip_unknown_keys(
    entries: Mapping[str, Node], known: frozenset[str], where: str, skipped: SkippedItems
) -> None:
    """Skip every key that is not in `known`."""
    for name, node in entries.items():
        if name not in known:
            skipped.add(node, f"{where}{quoted(name)}", "ftops has no counterpart")


_RAW = re.compile(r"\{%-?\s*raw\s*-?%\}(.*?)\{%-?\s*endraw\s*-?%\}", re.DOTALL)
_VARIABLE = re.compile(r"\{\{-?\s*([A-Za-z_][\w.]*)\s*-?\}\}")
_COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)
_OPENING = re.compile(r"\{\{|\{%|\{#")
_SPECIAL = re.compile(r"\{\{|\{%|\{#|\}\}|%\}|#\}")
_REFERENCES = ("file://", "package:")  # a value with such a prefix names a file
_DEPTH = 5  # maximum nesting: values may contain variables


def render_template(template: str, values: Mapping[str, str], depth: int = _DEPTH) -> str:
    """The text of a template; ValueError for unsupported syntax."""
    rendered, position = [], 0
    for block in _RAW.finditer(template):
        rendered.append(_fill(template[position : block.start()], values, depth))
        rendered.append(block[1])
        position = block.end()
    rendered.append(_fill(template[position:], values, depth))
    return "".join(rendered)


def escape_template(text: str) -> str:
    """A template that renders as `text`; ValueError if there is none."""
    if not _SPECIAL.search(text) and not text.startswith(_REFERENCES) and not text.endswith("\n"):
        return text
    if "endraw" in text:
        raise ValueError("it contains 'endraw', which ends a raw block")
    return f"{{% raw %}}{text}{{% endraw %}}"


def uses_variable(text: str, variable: str) -> bool:
    """Whether promptfoo would fill in the variable, even in a raw block."""
    return re.search(r"\{\{\s*" + re.escape(variable) + r"\s*\}\}", text) is not None


def _fill(text: str, values: Mapping[str, str], depth: int) -> str:
    text = _COMMENT.sub("", text)
    parts = _VARIABLE.split(text)  # text, name, text, name, …
    for place in range(0, len(parts), 2):
        if opening := _OPENING.search(parts[place]):
            shown = parts[place][opening.start() :][:30]
            raise ValueError(f"{shown!r} is not a variable in double braces")
    for place in range(1, len(parts), 2):
        name = parts[place]
        if name not in values:
            raise ValueError(f"no test has the variable {name!r}")
        value = values[name]
        parts[place] = render_template(value, values, depth - 1) if depth else value
    return "".join(parts)
