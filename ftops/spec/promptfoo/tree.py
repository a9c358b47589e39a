"""Reads the files of a promptfoo configuration, and remembers what could not be carried over."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ftops.errors import SpecError
from ftops.records import Json
from ftops.spec.job_file import ALLOW_OUTSIDE, find_outside
from ftops.spec.problems import Report, quoted
from ftops.spec.reader import (
    Broken,
    Entries,
    Items,
    Node,
    Scalar,
    read_source,
    read_tree,
    resolve_plain,
)

WHAT = "promptfoo configuration"


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something that was not carried over: where it stands, what it is, why."""

    file: str
    line: int
    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}: {self.why}"


@dataclass(slots=True)
class Leftovers:
    """All that was not carried over, each once, in the order in which it was met."""

    found: list[Leftover] = field(default_factory=list)
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
        one = Leftover(file, line, what, why)
        if one not in self.found:
            self.found.append(one)


def load_tree(path: Path) -> Node:
    """The tree of a YAML or JSON file; SpecError with all that is wrong with it as YAML."""
    report = Report()
    source = read_source(path, WHAT)
    root = read_tree(source, report, WHAT + "s")
    if report.problems:
        error = report.error()
        error.hint = "Anchors, aliases and tags are not read: repeat the values."
        raise error
    if root is None:
        raise SpecError(f"{path}: the file holds comments only")
    return root


def to_value(node: Node) -> Json:
    """The node as plain values."""
    match node:
        case Scalar():
            return resolve_plain(node.text) if node.plain else node.text
        case Items():
            return [to_value(item) for item in node.items]
        case Entries():
            return {name: to_value(value) for name, (_, value) in node.entries.items()}
        case Broken():
            return None


def to_text(node: Node | None) -> str | None:
    """The text of a scalar, numbers as they are written; None for anything else."""
    return node.text if isinstance(node, Scalar) else None


def get_entries(node: Node | None) -> Mapping[str, Node]:
    """The values of a mapping; none for anything else."""
    if not isinstance(node, Entries):
        return {}
    return {name: value for name, (_, value) in node.entries.items()}


def iterate(node: Node | None) -> Iterator[Node]:
    """The items of a list; a single value is a list of one."""
    if isinstance(node, Items):
        yield from node.items
    elif node is not None and not (isinstance(node, Scalar) and to_value(node) is None):
        yield node


def note_unknown(
    entries: Mapping[str, Node], known: frozenset[str], where: str, left: Leftovers
) -> None:
    """Note every key that is not one of `known`."""
    for name, node in entries.items():
        if name not in known:
            left.add(node, f"{where}{quoted(name)}", "ftops has nothing like it")
