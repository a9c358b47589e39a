"""Reads the files of a promptfoo configuration, and remembers what could not be carried over."""

import json
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
    resolve_plain,
)

WHAT = "promptfoo configuration"


@dataclass(frozen=True, slots=True)
class SkippedItem:
    """Something that was not carried over: where it stands, what it is, why."""

    file: str
    line: int
    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}: {self.why}"


@dataclass(slots=True)
class SkippedItems:
    """All that was not carried over, each once, in the order in which it was met."""

    items: list[SkippedItem] = field(default_factory=list)
    allow_outside: bool = False

    def refuses_path(self, node: Node, what: str, path: Path, folder: Path) -> bool:
        """Note, and say, that a file may not be read since it is not in the folder or below."""
        if self.allow_outside or find_outside(path, folder) is None:
            return False
        self.add(node, what, f"it is outside the configuration's folder ({ALLOW_OUTSIDE} reads it)")
        return True

    def add(self, node: Node, what: str, why: str) -> None:
        """Note what stands at that node."""
        source = node.span.source
        self.add_at(source.name, source.locate(node.span.start)[0], what, why)

    def add_at(self, file: str, line: int, what: str, why: str) -> None:
        """Note what stands at that line."""
        item = SkippedItem(file, line, what, why)
        if item not in self.items:
            self.items.append(item)


def load_tree(path: Path) -> Node:
    """The tree of a YAML or JSON file; SpecError with all that is wrong with it as YAML."""
    report = ProblemReport()
    source = read_source(path, WHAT)
    root = parse_yaml(source, report, WHAT + "s")
    if report.problems:
        error = report.error()
        error.hint = "Anchors, aliases and tags are not read: repeat the values."
        raise error
    if root is None:
        raise SpecError(f"{path}: the file contains only comments")
    return root


def to_value(node: Node) -> Json:
    """The node as plain values."""
    match node:
        case ScalarNode():
            return resolve_plain(node.text) if node.plain else node.text
        case SequenceNode():
            return [to_value(item) for item in node.items]
        case MappingNode():
            return {name: to_value(value) for name, (_, value) in node.entries.items()}
        case InvalidNode():
            return None


def to_text(node: Node | None) -> str | None:
    """The text of a scalar, numbers as they are written; None for anything else."""
    return node.text if isinstance(node, ScalarNode) else None


def get_entries(node: Node | None) -> Mapping[str, Node]:
    """The values of a mapping; none for anything else."""
    if not isinstance(node, MappingNode):
        return {}
    return {name: value for name, (_, value) in node.entries.items()}


def iterate(node: Node | None) -> Iterator[Node]:
    """The items of a list; a single value is a list of one."""
    if isinstance(node, SequenceNode):
        yield from node.items
    elif node is not None and not (isinstance(node, ScalarNode) and to_value(node) is None):
        yield node


def note_unknown(
    entries: Mapping[str, Node], known: frozenset[str], where: str, skipped: SkippedItems
) -> None:
    """Note every key that is not one of `known`."""
    for name, node in entries.items():
        if name not in known:
            skipped.add(node, f"{where}{quoted(name)}", "ftops has nothing like it")


_RAW = re.compile(r"\{%-?\s*raw\s*-?%\}(.*?)\{%-?\s*endraw\s*-?%\}", re.DOTALL)
_VARIABLE = re.compile(r"\{\{-?\s*([A-Za-z_][\w.]*)\s*-?\}\}")
_COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)
_OPENING = re.compile(r"\{\{|\{%|\{#")
_SPECIAL = re.compile(r"\{\{|\{%|\{#|\}\}|%\}|#\}")
_LOADING = ("file://", "package:")  # a value that begins so is taken for the place of one
_DEPTH = 5  # values may themselves hold variables


def render_template(template: str, values: Mapping[str, str], depth: int = _DEPTH) -> str:
    """The text of a template; ValueError says what of it is not understood here."""
    rendered, at = [], 0
    for block in _RAW.finditer(template):
        rendered.append(_fill(template[at : block.start()], values, depth))
        rendered.append(block[1])
        at = block.end()
    rendered.append(_fill(template[at:], values, depth))
    return "".join(rendered)


def shield(text: str) -> str:
    """A template that gives `text` and nothing else; ValueError where there is none."""
    if not _SPECIAL.search(text) and not text.startswith(_LOADING) and not text.endswith("\n"):
        return text
    if "endraw" in text:
        raise ValueError("it holds the word 'endraw', which ends a text that is no template")
    return f"{{% raw %}}{text}{{% endraw %}}"


def names(text: str, variable: str) -> bool:
    """Whether promptfoo would put the value of that variable into the text, raw or not."""
    return re.search(r"\{\{\s*" + re.escape(variable) + r"\s*\}\}", text) is not None


def _fill(text: str, values: Mapping[str, str], depth: int) -> str:
    text = _COMMENT.sub("", text)
    parts = _VARIABLE.split(text)  # text, name, text, name, …
    for place in range(0, len(parts), 2):
        if opened := _OPENING.search(parts[place]):
            shown = parts[place][opened.start() :][:30]
            raise ValueError(f"{shown!r} is more than a variable in double braces")
    for place in range(1, len(parts), 2):
        name = parts[place]
        if name not in values:
            raise ValueError(f"no test gives the variable {name!r}")
        value = values[name]
        parts[place] = render_template(value, values, depth - 1) if depth else value
    return "".join(parts)


def render_value(value: Json) -> str:
    """The value in one line."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(one if one.isprintable() else _escape(one) for one in text)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
