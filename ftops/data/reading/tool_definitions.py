"""Definitions of tools in the spellings of other tools, as the chat API writes them."""

import re
from typing import cast

import orjson

from ftops.records import Json
from ftops.rows.messages import (
    SCHEMA_NULLS,
    InvalidRow,
    JsonObject,
    describe_type,
    drop_nulls,
    quote,
)

# The types of Python signatures, which some tool definitions name, and those of JSON Schema.
_SCHEMA_TYPES = {
    "str": "string", "string": "string", "int": "integer", "integer": "integer",
    "float": "number", "number": "number", "bool": "boolean", "boolean": "boolean",
    "list": "array", "array": "array", "dict": "object", "object": "object",
}  # fmt: skip


def read_json(text: Json) -> Json:
    """The value that JSON text stands for; other values as they are. ValueError for no JSON."""
    return cast(Json, orjson.loads(text)) if isinstance(text, str) else text


def read_tools(value: Json) -> list[JsonObject]:
    """Tools as the API writes them, of a list or of JSON text; InvalidRow when they are neither."""
    try:
        tools = read_json(value or [])
    except ValueError:
        raise InvalidRow("tools is text, and not JSON", "bad-tools") from None
    if not isinstance(tools, list):
        raise InvalidRow(f"tools is {describe_type(tools)}, not a list", "bad-tools")
    if tools is value:  # of a table, whose rows have each other's keys
        tools = cast("list[Json]", drop_nulls(tools, SCHEMA_NULLS))
    return [_read_tool(tool, f"tools[{index}]") for index, tool in enumerate(tools)]


def _read_tool(tool: Json, where: str) -> JsonObject:
    if isinstance(tool, str):
        try:
            tool = read_json(tool)
        except ValueError:
            raise InvalidRow(f"{where} is text, and not JSON", "bad-tools") from None
    if not isinstance(tool, dict):
        raise InvalidRow(f"{where} is {describe_type(tool)}, not an object", "bad-tools")
    if "function" in tool:
        return {"type": "function", **tool}
    function = {name: one for name, one in tool.items() if name != "type"}
    parameters = function.get("parameters")
    if isinstance(parameters, dict) and _is_signature(parameters):
        function["parameters"] = _make_schema(parameters, f"{where}.parameters")
    return {"type": "function", "function": function}


def _is_signature(parameters: JsonObject) -> bool:
    """Whether each key is a parameter, not a word of JSON Schema."""
    described = all(isinstance(one, dict) for one in parameters.values())
    return described and not {"properties", "$ref"} & set(parameters)


def _make_schema(parameters: JsonObject, where: str) -> JsonObject:
    """A schema of parameters whose types are Python's, such as "str, optional"."""
    properties: JsonObject = {}
    required: list[Json] = []
    for name, described in parameters.items():
        about = dict(cast(JsonObject, described))
        kind = about.get("type")
        if isinstance(kind, str):
            written, _, rest = kind.rpartition("]") if "]" in kind else ("", "", kind)
            written, rest = (f"{written}]", rest) if written else kind.partition(",")[::2]
            schema = _find_schema(written)
            if schema is None:
                raise InvalidRow(
                    f"{where}.{name}.type is {quote(kind)}, no type of JSON Schema", "bad-tools"
                )
            about |= schema
            if "optional" not in rest and "default" not in about:
                required.append(name)
        properties[name] = about
    made: JsonObject = {"type": "object", "properties": properties}
    return {**made, "required": required} if required else made


def _find_schema(written: str) -> JsonObject | None:
    """The schema of a type as Python writes it, such as List[int]; None when there is none."""
    found = re.fullmatch(r"(\w+)(?:\[(.*)\])?", written.strip())
    kind = _SCHEMA_TYPES.get(found[1].lower()) if found else None
    if found is None or kind is None or not found[2]:
        return None if kind is None else {"type": kind}
    if kind == "object":  # Dict[str, int]
        inner = _find_schema(found[2].partition(",")[2])
        return inner and {"type": kind, "additionalProperties": inner}
    inner = _find_schema(found[2])
    return inner and {"type": kind, "items": inner} if kind == "array" else None
