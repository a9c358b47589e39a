"""Checks of well-formed tool calls that a model should not learn."""

import re
from collections.abc import Iterator, Mapping
from typing import Self, cast

from ftops.data.batch_parser import RowBatch
from ftops.data.checks.check import Check, CheckContext
from ftops.data.findings import Finding, Occurrences, Rule, Severity, create_finding, format_rows
from ftops.data.profile import DatasetProfile
from ftops.records import Json, RowFormat
from ftops.rows.messages import JsonObject, quote
from ftops.rows.tools import CALL_KEYS, find_tool_use, list_calls, list_offered, read_arguments

_W, _A = Severity.WARNING, Severity.ADVICE
RULES = (
    Rule("no-tool-use", Severity.ERROR, "tool use is not supported", "The rows define or call"
         " tools, and the provider named with `--for` does not train tool use.",
         "Choose a provider that does, such as openai, or remove these rows."),
    Rule("invalid-arguments", _W, "invalid tool arguments", "The arguments of a call do not match"
         " the parameters of the tool: a required one is missing, one is not defined, or a value"
         " has the wrong type or is not in the enum. The call would be rejected, and the model"
         " would learn to make such calls.",
         "Correct the call or the tool definition."),
    Rule("parallel-calls", _W, "parallel calls where they are disabled",
         "A message calls several tools, and `parallel_tool_calls` of its row is false.",
         "Remove `parallel_tool_calls` from these rows, or make one call per message."),
    Rule("tool-name", _W, "tool name that OpenAI rejects", "Tool names have up to 64 ASCII letters,"
         " digits, dashes and underscores.",
         "Rename the tool in `tools`, in the calls and at inference."),
    Rule("calls-without-tools", _A, "tool calls without tool definitions",
         "The assistant calls tools, and the row has no `tools`. A model trained on such rows calls"
         " tools that a request does not define, and has not seen definitions in training.",
         "Give each row the `tools` that you pass at inference."),
)  # fmt: skip
_UNTRAINED, *_OTHERS = RULES
_INVALID, _PARALLEL, _NAME, _WITHOUT = (rule.code for rule in _OTHERS)
_VALID_NAME = re.compile("[a-zA-Z0-9_-]{1,64}")
_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,),
    "object": (dict,), "array": (list,), "null": (type(None),),
}  # fmt: skip


class ToolCalls(Check):
    """Checks the tool calls of assistant messages that are trained on."""

    RULES = RULES

    def __init__(self, profile: DatasetProfile) -> None:
        self._seen: dict[str, Occurrences] = {}
        self._used = Occurrences()

    def add(self, batch: RowBatch) -> None:
        if batch.format is RowFormat.COMPLETION:
            return
        for place, raw in zip(batch.places, batch.raws, strict=True):
            if not find_tool_use(raw):
                continue
            self._used.add(place)
            found: dict[str, str] = {}
            for code, reason in _list_broken_rules(raw) if batch.format is RowFormat.CHAT else ():
                found.setdefault(code, reason)
            for code, reason in found.items():
                seen = self._seen.setdefault(code, Occurrences())
                seen.add(place)
                if reason:
                    seen.add_reason(reason)

    def merge(self, later: Self, shift: int) -> None:
        self._used.merge(later._used, shift)
        for code, seen in later._seen.items():
            self._seen.setdefault(code, Occurrences()).merge(seen, shift)

    def findings(self, context: CheckContext) -> Iterator[Finding]:
        if self._used.count and not context.target.tools:
            rows, provider = format_rows(self._used.count), context.target.provider
            text = f"{rows} with tool use, and {provider} does not train tool use"
            yield create_finding(_UNTRAINED, text, self._used)
        for rule in _OTHERS:
            seen = self._seen.get(rule.code)
            if seen is not None:
                reasons = "; ".join(seen.reasons)
                text = format_rows(seen.count) + (f": {reasons}" if reasons else "")
                yield create_finding(rule, text, seen)


def _list_broken_rules(raw: JsonObject) -> Iterator[tuple[str, str]]:
    """Codes of the rules that a valid chat breaks, each with the reason."""
    offered = list_offered(raw)
    for name in offered:
        if not _VALID_NAME.fullmatch(name):
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
            reason = _explain_arguments(read_arguments(call["arguments"]) or {}, offered[name])
            if reason:
                yield _INVALID, f"{name}: {reason}"


def _explain_arguments(arguments: JsonObject, function: JsonObject) -> str:
    """Why the arguments break the top level of the schema; "" if they do not."""
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    assert isinstance(schema, dict)  # a valid row has an object here
    properties, required = schema.get("properties"), schema.get("required")
    known = properties if isinstance(properties, dict) else {}
    for name in required if isinstance(required, list) else ():
        if isinstance(name, str) and name not in arguments:
            return f"{quote(name)} is missing"
    for name, value in arguments.items():
        if name in known:
            if wrong := _explain_value(value, known[name]):
                return f"{quote(name)} {wrong}"
        elif not _is_open(schema):
            return f"{quote(name)} is not one of its parameters"
    return ""


def _is_open(schema: JsonObject) -> bool:
    """Whether the schema allows other properties, or defines them in another way."""
    if schema.get("additionalProperties") not in (None, False):
        return True
    ways = ("patternProperties", "$ref", "allOf", "anyOf", "oneOf")
    return any(way in schema for way in ways)


def _explain_value(value: Json, schema: Json) -> str:
    if not isinstance(schema, dict):
        return ""
    wanted = schema.get("type")
    names = wanted if isinstance(wanted, list) else [wanted]
    types = [_TYPES.get(name) if isinstance(name, str) else None for name in names]
    if None not in types and not any(_is_one_of(value, one) for one in types if one):
        return f"is not of type {' or '.join(map(str, names))}"
    allowed = schema.get("enum")
    if isinstance(allowed, list) and value not in allowed:
        return "is not one of the allowed values"
    return ""


def _is_one_of(value: Json, types: tuple[type, ...]) -> bool:
    """Whether the value has one of the types; a boolean is not a number, and 1.0 is an integer."""
    if isinstance(value, bool):
        return bool in types
    whole = int in types and isinstance(value, float) and value.is_integer()
    return whole or isinstance(value, types)
