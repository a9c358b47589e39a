"""What promptfoo expects of outputs, in the words of `evaluate.metrics`.

A test may expect what no other does; a metric looks at every row alike. So an answer that is
expected word for word becomes the row's completion, and of everything else only what all tests
expect becomes a metric.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ftops.metrics.row_worker import compile_pattern
from ftops.records import Json
from ftops.spec.problem import quoted
from ftops.spec.promptfoo_file import (
    SkippedItems,
    get_entries,
    iterate,
    render_template,
    to_text,
    to_value,
)
from ftops.spec.yaml_reader import Node

_ANY = "(?s:.*)"
_KNOWN = frozenset({"type", "value", "provider"})
_CODE = frozenset({"javascript", "python", "webhook"})
_CHAT = re.compile(r"openai:(?:chat:)?(.+)")


@dataclass(frozen=True, slots=True)
class Assertion:
    """One assertion; `kind` is equals, regex (a pattern that the whole output must match), json or
    judge. `model` is who judges, `name` is its type as it was written."""

    kind: str
    value: str = ""
    model: str = ""
    node: Node | None = field(default=None, compare=False, repr=False)
    name: str = field(default="", compare=False)


def read_asserts(
    node: Node | None, values: Mapping[str, str], grader: str, skipped: SkippedItems
) -> Iterator[Assertion]:
    """What a list of assertions expects, with variables filled in; the rest is noted.

    `grader` is the provider that judges where an assertion names none.
    """
    for item in iterate(node):
        entries = get_entries(item)
        kind = to_text(entries.get("type"))
        if kind is None:
            skipped.add(item, "an assertion", "it has no type")
            continue
        for name in entries.keys() - _KNOWN:
            skipped.add(entries[name], f"{name} of an assertion {quoted(kind)}", "no metric has it")
        found = _read_one(item, kind, entries, values, grader, skipped)
        if found is not None:
            yield replace(found, name=kind)


def list_common(expected: Sequence[Sequence[Assertion]]) -> list[Assertion]:
    """What all tests expect, but for answers word for word."""
    first = dict.fromkeys(expected[0] if expected else ())
    return [
        one for one in first if one.kind != "equals" and all(one in found for found in expected)
    ]


def has_answer(found: Sequence[Assertion]) -> bool:
    """Whether a test expects an answer word for word."""
    return any(one.kind == "equals" for one in found)


def make_metrics(expected: Sequence[Sequence[Assertion]], skipped: SkippedItems) -> list[Json]:
    """The metrics that stand for what all tests expect; what only some expect is noted."""
    common = list_common(expected)
    answered = all(has_answer(found) for found in expected)
    for found in expected:
        for one in found:
            is_measured = answered if one.kind == "equals" else one in common
            if not is_measured and one.node is not None:
                why = "not every test expects it, and a metric looks at every row alike"
                skipped.add(one.node, f"an assertion {quoted(one.name)}", why)
    metrics: list[Json] = ["accuracy"] if expected and answered else []
    if any(one.kind == "json" for one in common):
        metrics.append("json_valid")
    patterns = [one.value for one in common if one.kind == "regex"]
    if patterns:
        metrics.append({"regex": "".join(patterns) + _ANY})
    for one in common:
        if one.kind == "judge":
            judge: dict[str, Json] = {"model": one.model, "question": one.value, "mode": "grade"}
            metrics.append({"judge": judge})
    return metrics


def _read_one(
    node: Node,
    kind: str,
    entries: Mapping[str, Node],
    values: Mapping[str, str],
    grader: str,
    skipped: SkippedItems,
) -> Assertion | None:
    plain = kind.removeprefix("not-")
    if plain in _CODE:
        reason = "foreign code is not run; `python:` names a function of yours"
        skipped.add(node, f"an assertion {quoted(kind)}", reason)
        return None
    try:
        if kind == "equals":
            return Assertion("equals", _render(entries.get("value"), values), node=node)
        if kind == "is-json":
            if "value" in entries:
                why = "only whether it is JSON is measured; add the metric for it by hand"
                skipped.add(entries["value"], "the schema of an assertion 'is-json'", why)
            return Assertion("json", node=node)
        if kind == "llm-rubric":
            return _read_rubric(node, entries, values, grader, skipped)
        if plain in _PATTERNS:
            pattern = _PATTERNS[plain](_render_all(entries.get("value"), values))
            compile_pattern(pattern)
            ahead = "(?!" if kind != plain else "(?="
            return Assertion("regex", f"{ahead}{pattern})", node=node)
    except ValueError as error:
        skipped.add(node, f"an assertion {quoted(kind)}", str(error))
        return None
    skipped.add(node, f"an assertion {quoted(kind)}", "no metric is like it")
    return None


def _read_rubric(
    node: Node,
    entries: Mapping[str, Node],
    values: Mapping[str, str],
    grader: str,
    skipped: SkippedItems,
) -> Assertion | None:
    named = to_text(entries.get("provider")) or grader
    model = _CHAT.fullmatch(named)
    if model is None:
        why = f"{quoted(named)} is not asked by ftops" if named else "it names no provider"
        hint = "; write `judge: {model: …, question: …}` by hand"
        skipped.add(node, "an assertion 'llm-rubric'", why + hint)
        return None
    return Assertion("judge", _render(entries.get("value"), values), model[1], node)


def _render(node: Node | None, values: Mapping[str, str]) -> str:
    text = to_text(node)
    if text is None:
        raise ValueError("its value is not text")
    if text.startswith(("file://", "package:")):
        raise ValueError("its value lies in a file")
    return render_template(text, values)


def _render_all(node: Node | None, values: Mapping[str, str]) -> list[str]:
    """The values of an assertion that takes one text or several, also as one with commas."""
    value = to_value(node) if node is not None else None
    if isinstance(value, list):
        return [_render(item, values) for item in iterate(node)]
    return [_render(node, values)]


def _with_commas(texts: Sequence[str]) -> list[str]:
    """Several texts that are written as one."""
    return [part.strip() for text in texts for part in text.split(",")] if len(texts) == 1 else [
        *texts
    ]  # fmt: skip


def _has(text: str, flags: str = "s") -> str:
    return f"(?s:.*)(?{flags}:{re.escape(text)})"


def _has_any(texts: Sequence[str], flags: str = "s") -> str:
    return "(?:" + "|".join(_has(text, flags) for text in _with_commas(texts)) + ")"


def _has_all(texts: Sequence[str], flags: str = "s") -> str:
    return "".join(f"(?={_has(text, flags)})" for text in _with_commas(texts))


_PATTERNS: Mapping[str, Callable[[Sequence[str]], str]] = {
    "contains": lambda texts: _has(texts[0]),
    "icontains": lambda texts: _has(texts[0], "i"),
    "contains-any": _has_any,
    "icontains-any": lambda texts: _has_any(texts, "i"),
    "contains-all": _has_all,
    "icontains-all": lambda texts: _has_all(texts, "i"),
    "starts-with": lambda texts: re.escape(texts[0]),
    "regex": lambda texts: f"(?s:.*)(?:{texts[0]})",
}
