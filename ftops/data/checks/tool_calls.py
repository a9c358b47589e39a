"""Calls of tools that are well formed, and still not what a model should learn to say."""

import re
from collections.abc import Iterator, Mapping
from typing import Self, cast

from ftops.data.batch_parser import RowBatch
from ftops.data.checks.check import Check, CheckContext
from ftops.data.findings import (
    Finding,
    Occurrences,
    Rule,
    Severity,
    create_finding,
    format_rows,
)
from ftops.data.profile import DatasetProfile
from ftops.records import Json, RowFormat
from ftops.rows.messages import JsonObject, quote
from ftops.rows.tools import CALL_KEYS, find_tool_use, list_calls, list_offered, read_arguments

_W, _A = Severity.WARNING, Severity.ADVICE
RULES = (
    Rule("no-tool-use", Severity.ERROR, "tools where none are trained", "The rows offer or call"
         " tools, and the provider named with `--for` trains none.",
         "Name a provider that does, such as openai, or take these rows out."),
    Rule("invalid-arguments", _W, "arguments that the tool does not take", "The arguments of a call"
         " do not fit the parameters that the row's tool has: one that is required is missing, one"
         " is not among them, or its value is of another type or none of those that are allowed."
         " Whoever runs the call would refuse it, and the model would learn to make such calls.",
         "Mend the call or the tool, whichever is wrong."),
    Rule("parallel-calls", _W, "several calls where one at a time is wanted",
         "A message calls several tools, and `parallel_tool_calls` of its row is false.",
         "Leave `parallel_tool_calls` out of these rows, or make one call a message."),
    Rule("tool-name", _W, "name of a tool that OpenAI refuses", "Names of tools have up to 64"
         " letters of English, digits, dashes and underscores.", "Rename the tool in `tools`, in"
         " the calls and where you ask."),
    Rule("calls-without-tools", _A, "calls of tools that the row does not offer",
         "The assistant calls tools, and the row has no `tools`. A model that learns of such rows"
         " calls them without being told of them; one that is told later reads what it never"
         " learned with.",
         "Give each row the `tools` that you will ask with."),
)  # fmt: skip
_UNTRAINED, *_OTHERS = RULES
_MISFIT, _PARALLEL, _NAME, _WITHOUT = (rule.code for rule in _OTHERS)
_TAKEN = re.compile("[a-zA-Z0-9_-]{1,64}")
_SHOWN_REASONS = 3
_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,),
    "object": (dict,), "array": (list,), "null": (type(None),),
}  # fmt: skip


class ToolCalls(Check):
    """Looks at what the assistant calls in chats, where it is learned."""

    RULES = RULES

    def __init__(self, profile: DatasetProfile) -> None:
        self._seen: dict[str, Occurrences] = {}
        self._reasons: dict[str, list[str]] = {}
        self._used = Occurrences()

    def add(self, batch: RowBatch) -> None:
        if batch.format is RowFormat.COMPLETION:
            return
        for place, raw in zip(batch.places, batch.raws, strict=True):
            if not find_tool_use(raw):
                continue
            self._used.add(place)
            found: dict[str, str] = {}
            for code, reason in _look(raw) if batch.format is RowFormat.CHAT else ():
                found.setdefault(code, reason)
            for code, reason in found.items():
                self._seen.setdefault(code, Occurrences()).add(place)
                self._note(code, reason)

    def _note(self, code: str, reason: str) -> None:
        reasons = self._reasons.setdefault(code, [])
        if reason and len(reasons) < _SHOWN_REASONS and reason not in reasons:
            reasons.append(reason)

    def merge(self, later: Self, shift: int) -> None:
        self._used.merge(later._used, shift)
        for code, seen in later._seen.items():
            self._seen.setdefault(code, Occurrences()).merge(seen, shift)
            for reason in later._reasons.get(code, []):
                self._note(code, reason)

    def findings(self, context: CheckContext) -> Iterator[Finding]:
        if self._used.count and not context.target.tools:
            rows, provider = format_rows(self._used.count), context.target.provider
            text = f"{rows} with tool use, and {provider} does not train tool use"
            yield create_finding(_UNTRAINED, text, self._used)
        for rule in _OTHERS:
            seen = self._seen.get(rule.code)
            if seen is not None:
                reasons = "; ".join(self._reasons.get(rule.code, []))
                text = format_rows(seen.count) + (f": {reasons}" if reasons else "")
                yield create_finding(rule, text, seen)


def _look(raw: JsonObject) -> Iterator[tuple[str, str]]:
    """Codes of rules that a good chat breaks, each with the reason."""
    offered = list_offered(raw)
    for name in offered:
        if not _TAKEN.fullmatch(name):
            yield _NAME, quote(name)
    for message in cast("list[JsonObject]", raw["messages"]):
        if message.get("weight") == 0 or not any(message.get(key) for key in CALL_KEYS):
            continue
        calls = cast("list[JsonObject]", list(list_calls(message)))
        if len(calls) > 1 and raw.get("parallel_tool_calls") is False:
            yield _PARALLEL, ""
        for call in calls:
            if not offered:
                yield _WITHOUT, ""
                continue
            name = cast(str, call["name"])
            reason = _find_misfit(read_arguments(call["arguments"]) or {}, offered[name])
            if reason:
                yield _MISFIT, f"{name}: {reason}"


def _find_misfit(arguments: JsonObject, function: JsonObject) -> str:
    """How the arguments break the schema at its top; "" when they do not, or it is no object's."""
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    assert isinstance(schema, dict)  # in a good row
    properties, required = schema.get("properties"), schema.get("required")
    known = properties if isinstance(properties, dict) else {}
    for name in required if isinstance(required, list) else ():
        if isinstance(name, str) and name not in arguments:
            return f"{quote(name)} is missing"
    for name, value in arguments.items():
        if name in known:
            if wrong := _find_wrong_value(value, known[name]):
                return f"{quote(name)} {wrong}"
        elif not _is_open(schema):
            return f"{quote(name)} is not among its parameters"
    return ""


def _is_open(schema: JsonObject) -> bool:
    """Whether it takes what is not among its properties, or describes them in another way."""
    if schema.get("additionalProperties") not in (None, False):
        return True
    ways = ("patternProperties", "$ref", "allOf", "anyOf", "oneOf")
    return any(way in schema for way in ways)


def _find_wrong_value(value: Json, schema: Json) -> str:
    if not isinstance(schema, dict):
        return ""
    wanted = schema.get("type")
    names = wanted if isinstance(wanted, list) else [wanted]
    types = [_TYPES.get(name) if isinstance(name, str) else None for name in names]
    if None not in types and not any(_is_one_of(value, one) for one in types if one):
        return f"is not of the type {' or '.join(map(str, names))}"
    allowed = schema.get("enum")
    if isinstance(allowed, list) and value not in allowed:
        return "is none of the values that it may have"
    return ""


def _is_one_of(value: Json, types: tuple[type, ...]) -> bool:
    """Whether it is of these types; true and false are no numbers, and 1.0 is a whole one."""
    if isinstance(value, bool):
        return bool in types
    whole = int in types and isinstance(value, float) and value.is_integer()
    return whole or isinstance(value, types)
