"""The tests of a promptfoo configuration: in it, or in YAML, JSON, JSON-lines or CSV files."""

import csv
import io
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ftops.errors import SpecError
from ftops.spec.problems import Report, Source, Span, quoted
from ftops.spec.promptfoo.tree import (
    WHAT,
    Leftovers,
    get_entries,
    iterate,
    load_tree,
    note_unknown,
    to_text,
)
from ftops.spec.reader import Entries, Items, Node, Scalar, read_source, read_tree

_KNOWN = frozenset({"vars", "assert", "description"})
_EXPECTED = re.compile(r"__expected\d*")
_TYPED = re.compile(
    r"(?P<type>(?:not-)?(?:equals|i?contains(?:-any|-all)?|starts-with|regex|is-json|llm-rubric"
    r"|javascript|python|contains-json|similar|grade|fn))\s*(?:\([^)]*\))?\s*(?::|$)\s*",
)
_OLD_NAMES = {"grade": "llm-rubric", "fn": "javascript"}
_TRIMS = "output.trim()"  # which ftops does to every answer
_MOST_COMBINATIONS = 10_000


@dataclass(frozen=True, slots=True)
class FoundTest:
    """One test: its variables (one combination of them) and what it expects, both with places."""

    values: Mapping[str, str]
    asserts: tuple[Node, ...] = ()
    node: Node | None = field(default=None, repr=False)


def read_tests(
    node: Node | None, default: Node | None, folder: Path, left: Leftovers
) -> list[FoundTest]:
    """All tests, each with what `default` adds."""
    usual = get_entries(default)
    if default is not None and not isinstance(default, Entries):
        left.add(default, "defaultTest", "only one that is written in the file itself is read")
    note_unknown(usual, _KNOWN | {"options"}, "defaultTest ", left)
    for name, option in get_entries(usual.get("options")).items():
        trims = name == "transform" and to_text(option) == _TRIMS
        if name != "provider" and not trims:  # who judges is looked for elsewhere
            left.add(option, f"the option {quoted(name)}", "ftops has nothing like it")
    found: list[FoundTest] = []
    for item in iterate(node):
        for one in _expand(item, folder, left):
            found += _read_test(one, usual, left)
    return found


def _expand(node: Node, folder: Path, left: Leftovers) -> Iterator[Node]:
    """The tests that a node stands for: itself, or those of the file that it names."""
    text = to_text(node)
    if text is None:
        yield node
        return
    path = folder / text.removeprefix("file://")
    if left.refuses_path(node, f"tests {quoted(text)}", path, folder):
        return
    if not path.is_file():
        left.add(node, f"tests {quoted(text)}", "there is no such file next to the configuration")
    elif path.suffix in (".yaml", ".yml", ".json"):
        yield from iterate(load_tree(path))
    elif path.suffix == ".jsonl":
        yield from _read_lines(path)
    elif path.suffix == ".csv":
        yield from _read_table(path, left)
    else:
        left.add(node, f"tests {quoted(text)}", "only YAML, JSON, JSON lines and CSV are read")


def _read_lines(path: Path) -> Iterator[Node]:
    """Each line of a file as a test; JSON is YAML, too, so that places come out of the reader."""
    name, report = str(path), Report()
    for number, line in enumerate(read_source(path, WHAT).text.split("\n")):
        if not line.strip():
            continue
        # As many line ends in front as there are in the file keep the place right.
        node = read_tree(Source(name, "\n" * number + line), report, WHAT + "s")
        if report.problems:
            raise report.error()
        if node is not None:
            yield node


def _read_table(path: Path, left: Leftovers) -> Iterator[Node]:
    """Each row of a table as a test: columns are variables, `__expected` holds assertions."""
    source = read_source(path, WHAT)
    reader = csv.DictReader(io.StringIO(source.text, newline=""), strict=True)
    starts = [0, *itertools.accumulate(len(line) for line in source.text.splitlines(True))]
    try:
        for row in reader:
            start = starts[min(reader.line_num, len(starts) - 1) - 1]
            span = Span(source, start, start + 1)
            yield _read_row({name or "": value or "" for name, value in row.items()}, span, left)
    except csv.Error as error:
        raise SpecError(f"{path}:{reader.line_num}: not CSV: {error}") from error


def _read_row(row: Mapping[str, str], span: Span, left: Leftovers) -> Node:
    def scalar(text: str) -> Node:
        return Scalar(text, plain=False, span=span)

    values = Entries(span)
    asserts = Items(span)
    for name, value in row.items():
        if _EXPECTED.fullmatch(name):
            if value.strip():
                kind, text = _read_expected(value)
                entries = {"type": (span, scalar(kind)), "value": (span, scalar(text))}
                asserts.items.append(Entries(span, entries))
        elif name.startswith("__") and name != "__description":
            left.add_at(
                span.source.name, 1, f"the column {quoted(name)}", "ftops has nothing like it"
            )
        elif name != "__description":
            values.entries[name] = (span, scalar(value))
    return Entries(span, {"vars": (span, values), "assert": (span, asserts)})


def _read_expected(text: str) -> tuple[str, str]:
    found = _TYPED.match(text)
    if found is None:
        return "equals", text
    kind = found["type"]
    return _OLD_NAMES.get(kind, kind), text[found.end() :]


def _read_test(node: Node, usual: Mapping[str, Node], left: Leftovers) -> Iterator[FoundTest]:
    if not isinstance(node, Entries):
        left.add(node, "a test", "it is no mapping")
        return
    entries = get_entries(node)
    note_unknown(entries, _KNOWN, "a test's ", left)
    given = {**_read_choices(usual.get("vars"), left), **_read_choices(entries.get("vars"), left)}
    asserts = (*iterate(usual.get("assert")), *iterate(entries.get("assert")))
    for number, chosen in enumerate(itertools.product(*given.values())):
        if number == _MOST_COMBINATIONS:
            left.add(node, "combinations of variables", f"{number:,} of them are enough")
            return
        yield FoundTest(dict(zip(given, chosen, strict=True)), asserts, node)


def _read_choices(node: Node | None, left: Leftovers) -> dict[str, list[str]]:
    """The values of each variable: a list of them stands for one test each."""
    if node is not None and not isinstance(node, Entries):
        left.add(node, "vars", "only a mapping of variables is read")
    choices: dict[str, list[str]] = {}
    for name, value in get_entries(node).items():
        texts = []
        for item in value.items if isinstance(value, Items) else [value]:
            text = to_text(item)
            if text is None or text.startswith(("file://", "package:")):
                left.add(item, f"the variable {quoted(name)}", "its value is not plain text")
            else:
                texts.append(text)
        if texts:
            choices[name] = texts
    return choices


def read_json(text: str) -> object:
    """The value of a JSON text; None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
