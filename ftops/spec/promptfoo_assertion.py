"""Converts promptfoo's assertions to `evaluate.metrics`.

In promptfoo, each test has its own assertions; a metric applies to every row. So an expected output
(`equals`) becomes the row's completion, and other assertions become metrics only if all tests have
them.
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
    """One assertion; `kind` is equals, regex (the whole output must match), json or judge.

    `model` is the judge model, `name` the type in the configuration.
    """

    kind: str
    value: str = ""
    model: str = ""
    node: Node | None = field(default=None, compare=False, repr=False)
    name: str = field(default="", compare=False)


def read_asserts(
    node: Node | None, values: Mapping[str, str], grader: str, skipped: SkippedItems
) -> Iterator[Assertion]:
    """The assertions of a list, with variables filled in; skips unsupported ones.

    `grader` is the judge's provider for assertions that name none.
    """
    for item in iterate(node):
        entries = get_entries(item)
        kind = to_text(entries.get("type"))
        if kind is None:
            skipped.add(item, "an assertion", "it has no type")
            continue
        for name in entries.keys() - _KNOWN:
            skipped.add(
                entries[name],
                f"{name} of an assertion {quoted(kind)}",
                "no metric has this setting",
            )
        assertion = _read_assertion(item, kind, entries, values, grader, skipped)
        if assertion is not None:
            yield replace(assertion, name=kind)


def list_common(expected: Sequence[Sequence[Assertion]]) -> list[Assertion]:
    """The assertions that all tests have, except `equals`."""
    first = dict.fromkeys(expected[0] if expected else ())
    return [
        assertion
        for assertion in first
        if assertion.kind != "equals" and all(assertion in assertions for assertions in expected)
    ]


def has_answer(assertions: Sequence[Assertion]) -> bool:
    """Whether a test has an expected output."""
    return any(assertion.kind == "equals" for assertion in assertions)


def make_metrics(expected: Sequence[Sequence[Assertion]], skipped: SkippedItems) -> list[Json]:
    """The metrics for the assertions that all tests have; skips other assertions."""
    common = list_common(expected)
    answered = all(has_answer(assertions) for assertions in expected)
    for assertions in expected:
        for assertion in assertions:
            is_measured = answered if assertion.kind == "equals" else assertion in common
            if not is_measured and assertion.node is not None:
                reason = "not every test has it, and a metric applies to every row"
                skipped.add(assertion.node, f"an assertion {quoted(assertion.name)}", reason)
    metrics: list[Json] = ["accuracy"] if expected and answered else []
    if any(assertion.kind == "json" for assertion in common):
        metrics.append("json_valid")
    patterns = [assertion.value for assertion in common if assertion.kind == "regex"]
    if patterns:
        metrics.append({"regex": "".join(patterns) + _ANY})
    for assertion in common:
        if assertion.kind == "judge":
            judge: dict[str, Json] = {
                "model": assertion.model,
                "question": assertion.value,
                "mode": "grade",
            }
            metrics.append({"judge": judge})
    return metrics


def _read_assertion(
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
                reason = "only whether the output is JSON is measured; add json_schema by hand"
                skipped.add(entries["value"], "the schema of an assertion 'is-json'", reason)
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
    skipped.add(node, f"an assertion {quoted(kind)}", "no metric corresponds to it")
    return None


def _read_rubric(
    node: Node,
    entries: Mapping[str, Node],
    values: Mapping[str, str],
    grader: str,
    skipped: SkippedItems,
) -> Assertion | None:
    provider = to_text(entries.get("provider")) or grader
    model = _CHAT.fullmatch(provider)
    if model is None:
        reason = (
            f"ftops does not support {quoted(provider)}" if provider else "it names no provider"
        )
        hint = "; write `judge: {model: …, question: …}` by hand"
        skipped.add(node, "an assertion 'llm-rubric'", reason + hint)
        return None
    return Assertion("judge", _render(entries.get("value"), values), model[1], node)


def _render(node: Node | None, values: Mapping[str, str]) -> str:
    text = to_text(node)
    if text is None:
        raise ValueError("its value is not text")
    if text.startswith(("file://", "package:")):
        raise ValueError("its value is in a file")
    return render_template(text, values)


def _render_all(node: Node | None, values: Mapping[str, str]) -> list[str]:
    """The values of an assertion that accepts one text or several."""
    value = to_value(node) if node is not None else None
    if isinstance(value, list):
        return [_render(item, values) for item in iterate(node)]
    return [_render(node, values)]


def _split_commas(texts: Sequence[str]) -> list[str]:
    """The texts; a single text may contain several, separated by commas."""
    return [part.strip() for text in texts for part in text.split(",")] if len(texts) == 1 else [
        *texts
    ]  # fmt: skip


def _has(text: str, flags: str = "s") -> str:
    return f"(?s:.*)(?{flags}:{re.escape(text)})"


def _has_any(texts: Sequence[str], flags: str = "s") -> str:
    return "(?:" + "|".join(_has(text, flags) for text in _split_commas(texts)) + ")"


def _has_all(texts: Sequence[str], flags: str = "s") -> str:
    return "".join(f"(?={_has(text, flags)})" for text in _split_commas(texts))


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
