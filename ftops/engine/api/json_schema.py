"""`response_format`: the part of JSON Schema that restricts answers to it.

A schema outside of this part is refused, as the back end would ignore it. It is that of OpenAI's
Structured Outputs, without `pattern` (https://platform.openai.com/docs/guides/structured-outputs).
"""

from typing import Any

from ftops.engine.api.errors import ApiError
from ftops.rows.messages import JsonObject

_TYPES = {"string", "number", "boolean", "integer", "object", "array", "null"}
_FORMATS = {
    "date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid",
}  # fmt: skip
_VALUES = {"const", "default", "examples"}
_TEXTS = {"title", "description", "$schema"}
_NUMBERS = {
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minItems",
    "maxItems", "minLength", "maxLength",
}  # fmt: skip
_MAX_DEPTH = 32


def read_response_format(response_format: Any) -> JsonObject | None:
    """The schema of the answer, None for text; ApiError 400 for another format or schema."""
    match response_format:
        case None | {"type": "text"}:
            return None
        case {"type": "json_object"}:
            return {"type": "object"}
        case {"type": "json_schema", "json_schema": {"schema": dict() as schema}}:
            _check(schema, schema, "schema", 0)
            return schema
    raise _refuse("", "has to be of the type text, json_object, or json_schema with a schema")


def is_supported(schema: JsonObject) -> bool:
    """Whether the schema restricts a part of an answer; references to definitions cannot."""
    try:
        _check(schema, None, "", 0)
    except ApiError:
        return False
    return True


def _check(schema: Any, root: Any, where: str, depth: int) -> None:
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        raise _refuse(where, "is not a JSON schema, or too deep")
    for key, value in schema.items():
        path = f"{where}.{key}"
        match key:
            case "type":
                types = value if isinstance(value, list) else [value]
                if not types or any(kind not in _TYPES for kind in types):
                    raise _refuse(path, "has an unknown type")
            case "properties" | "$defs" | "definitions":
                for name, part in _mapping(value, path).items():
                    _check(part, root, f"{path}.{name}", depth + 1)
            case "items" | "additionalProperties":
                _check(value, root, path, depth + 1)
            case "anyOf":
                if not isinstance(value, list) or not value:
                    raise _refuse(path, "has to be a list of schemas")
                for number, part in enumerate(value):
                    _check(part, root, f"{path}[{number}]", depth + 1)
            case "$ref":
                if _find_definition(root, value) is None:
                    raise _refuse(path, "refers to no definition of this schema")
            case "required":
                if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
                    raise _refuse(path, "has to be a list of names")
            case "enum":
                if not isinstance(value, list) or not value:
                    raise _refuse(path, "has to be a list of values")
            case "format":
                if value not in _FORMATS:
                    raise _refuse(path, f"has to be one of {', '.join(sorted(_FORMATS))}")
            case _ if key in _NUMBERS:
                if isinstance(value, bool) or not isinstance(value, int | float):
                    raise _refuse(path, "has to be a number")
            case _ if key not in _VALUES | _TEXTS:
                raise _refuse(path, "is not supported")


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _refuse(where, "has to be an object")
    return value


def _find_definition(root: Any, reference: Any) -> object | None:
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    value: object | None = root
    for name in reference.removeprefix("#").split("/")[1:]:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _refuse(where: str, problem: str) -> ApiError:
    message = f"response_format: {where + ' ' if where else ''}{problem}."
    return ApiError(400, message, param="response_format", code="invalid_value")
