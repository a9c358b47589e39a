"""The file of a plan that prepares data: YAML that is parsed as strictly as a job file.

The caller passes the fixes that a plan may name, with the values of each.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from ftops.errors import SpecError
from ftops.records import DataPlan, Json, PlanStep
from ftops.spec.problem import ProblemReport, Span, quoted
from ftops.spec.yaml_reader import (
    InvalidNode,
    MappingNode,
    Node,
    ScalarNode,
    SequenceNode,
    parse_yaml,
    read_source,
    render_value,
)
from ftops.text import suggest_name

VERSION = 1
READ_OPTIONS = (
    "format", "sheet", "encoding", "delimiter", "prompt", "completion", "layout", "drop",
)  # fmt: skip
_SHORT_LIST = 3  # items; such a list is written on one line
_FIELDS = ("version", "read", "steps")
_HEAD = """\
# The fixes that prepared a file. To apply them to other data:
#   ftops data prepare FILE -o OUT --plan THIS_FILE
# In a job file: `prepare: {plan: THIS_FILE}`.
"""
_HINT = "Correct the plan, or write a new one with `ftops data prepare`."
_KIND_TEXTS = {
    "text": "text of 1 character or more",
    "texts": "a list of texts",
    "labels": "a mapping of text to text",
    "number": "a whole number above 0",
}


class ValueRule(Protocol):
    """The rule for a value of a step."""

    @property
    def kind(self) -> str:
        """One of text, texts, labels and number."""

    @property
    def required(self) -> bool:
        """Whether the step needs the value."""

    @property
    def of(self) -> Sequence[str]:
        """The allowed texts of a list; empty if all are allowed."""


Known = Mapping[str, Mapping[str, ValueRule]]


def read_plan(path: Path, known: Known) -> DataPlan:
    """The plan at `path`; SpecError with all its problems, each with line and column.

    `known` holds the values of each fix.
    """
    report = ProblemReport()
    try:
        source = read_source(path, "plan")
        root = parse_yaml(source, report)
        plan = _PlanReader(report, known).read(root, str(path)) if root is not None else None
        if plan is None or report.problems:
            if not report.problems:
                report.add(Span(source, 0, 0), "the file contains only comments")
            raise report.error()
    except SpecError as error:
        error.hint = _HINT
        raise
    return plan


class _PlanReader:
    def __init__(self, report: ProblemReport, known: Known) -> None:
        self._report = report
        self._known = known

    def read(self, root: Node, name: str) -> DataPlan | None:
        if not isinstance(root, MappingNode):
            self._refuse(root, "a plan is a mapping of version, read and steps")
            return None
        fields = self._take(root, _FIELDS, "the plan")
        version = fields.get("version")
        if version is None or _plain(version) != VERSION:
            where = version.span if version is not None else root.span
            self._report.add(where, f"version must be {VERSION}", f"add `version: {VERSION}`")
        read = self._read_options(fields.get("read"))
        steps = tuple(self._read_steps(fields.get("steps")))
        return DataPlan(steps, read, name)

    def _take(self, node: MappingNode, names: Sequence[str], where: str) -> dict[str, Node]:
        """The entries of a mapping; reports keys that are not in `names`."""
        for key, (span, _) in node.entries.items():
            if key not in names:
                known = f"known here: {', '.join(names)}" if names else "it has no values"
                suggestion = suggest_name(key, names, known)
                self._report.add(span, f"unknown key {quoted(key)} in {where}", suggestion)
        return {key: value for key, (_, value) in node.entries.items() if key in names}

    def _read_options(self, node: Node | None) -> dict[str, str]:
        if node is None or _is_null(node):
            return {}
        if not isinstance(node, MappingNode):
            self._refuse(node, "read must be a mapping of options")
            return {}
        options = {}
        for key, value in self._take(node, READ_OPTIONS, "read").items():
            text = _text(value)
            if text:
                options[key] = text
            else:
                self._refuse(value, f"{key} must be {_KIND_TEXTS['text']}")
        return options

    def _read_steps(self, node: Node | None) -> Iterator[PlanStep]:
        if node is None or _is_null(node):
            return
        if not isinstance(node, SequenceNode):
            self._refuse(node, "steps must be a list")
            return
        seen: set[str] = set()
        for item in node.items:
            code, span, values = self._split(item)
            if code is None:
                continue
            if code not in self._known:
                suggestion = suggest_name(code, self._known)
                self._report.add(span, f"unknown fix {quoted(code)}", suggestion)
            elif code in seen:
                self._report.add(span, f"the step {code} is already in the plan")
            else:
                seen.add(code)
                yield PlanStep(code, self._read_values(code, span, values))

    def _split(self, item: Node) -> tuple[str | None, Span, Node | None]:
        """The code of a step, its location, and its values."""
        if isinstance(item, ScalarNode) and isinstance(_plain(item), str) and item.text:
            return item.text, item.span, None
        if isinstance(item, MappingNode) and len(item.entries) == 1:
            ((code, (span, values)),) = item.entries.items()
            return code, span, values
        self._refuse(item, "a step is the code of a fix, or that code with a mapping of values")
        return None, item.span, None

    def _read_values(self, code: str, span: Span, node: Node | None) -> dict[str, Json]:
        rules = self._known[code]
        nodes: dict[str, Node] = {}
        if isinstance(node, MappingNode):
            nodes = self._take(node, list(rules), code)
        elif node is not None and not _is_null(node):
            self._refuse(node, f"the values of {code} must be a mapping")
            return {}
        values: dict[str, Json] = {}
        for name, rule in rules.items():
            if name not in nodes:
                if rule.required:
                    self._report.add(span, f"{code} lacks {name}", f"add `{name}: …`")
                continue
            value = _READERS[rule.kind](nodes[name])
            if value is None:
                self._refuse(nodes[name], f"{name} of {code} must be {_KIND_TEXTS[rule.kind]}")
            else:
                self._check_allowed(code, name, rule, nodes[name])
                values[name] = value
        return values

    def _check_allowed(self, code: str, name: str, rule: ValueRule, node: Node) -> None:
        """Report each text of a list that is not allowed."""
        for item in node.items if isinstance(node, SequenceNode) and rule.of else ():
            text = _text(item)
            if text is not None and text not in rule.of:
                suggestion = suggest_name(text, rule.of, f"known: {', '.join(rule.of)}")
                self._report.add(
                    item.span, f"{name} of {code} cannot be {quoted(text)}", suggestion
                )

    def _refuse(self, node: Node, message: str) -> None:
        if not isinstance(node, InvalidNode):
            end = max(node.span.start + 1, node.span.end if isinstance(node, ScalarNode) else 0)
            self._report.add(Span(node.span.source, node.span.start, end), message)


def _plain(node: Node) -> Json:
    return node.value if isinstance(node, ScalarNode) else None


def _is_null(node: Node) -> bool:
    return isinstance(node, ScalarNode) and _plain(node) is None


def _text(node: Node) -> str | None:
    value = _plain(node)
    return value if isinstance(value, str) and value else None


def _texts(node: Node) -> Json:
    texts = [_text(item) for item in node.items] if isinstance(node, SequenceNode) else [None]
    return None if None in texts else [*texts]


def _labels(node: Node) -> Json:
    if not isinstance(node, MappingNode) or not node.entries:
        return None
    labels = {key: _text(value) for key, (_, value) in node.entries.items()}
    return None if None in labels.values() else {**labels}


def _number(node: Node) -> Json:
    value = _plain(node)
    return value if type(value) is int and value > 0 else None


_READERS = {"text": _text, "texts": _texts, "labels": _labels, "number": _number}


def render_plan(plan: DataPlan) -> str:
    """The plan as YAML; the same plan gives the same text."""
    lines = [f"version: {VERSION}"]
    if plan.read:
        lines.append("read:")
        lines += [f"  {name}: {render_value(text)}" for name, text in plan.read.items()]
    lines.append("steps:" if plan.steps else "steps: []")
    for step in plan.steps:
        if not step.values:
            lines.append(f"  - {step.code}")
            continue
        lines.append(f"  - {step.code}:")
        for name, value in step.values.items():
            lines += _render_value(name, value)
    return _HEAD + "\n".join(lines) + "\n"


def _render_value(name: str, value: Json) -> Iterator[str]:
    indent = " " * 6
    if isinstance(value, dict):
        yield f"{indent}{name}:"
        for key, text in value.items():
            yield f"{indent}  {render_value(key)}: {render_value(str(text))}"
    elif isinstance(value, list) and len(value) > _SHORT_LIST:
        yield f"{indent}{name}:"
        for item in value:
            yield f"{indent}  - {render_value(str(item))}"
    elif isinstance(value, list):
        yield f"{indent}{name}: [{', '.join(render_value(str(item)) for item in value)}]"
    else:
        yield f"{indent}{name}: {render_value(value)}"
