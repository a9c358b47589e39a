"""`response_format`: which schemas are accepted, and what the others are refused for."""

from typing import Any

import pytest

from ftops.engine.api.errors import ApiError
from ftops.engine.api.json_schema import read_response_format


def as_format(schema: Any) -> Any:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}


@pytest.mark.parametrize("response_format", [None, {"type": "text"}])
def test_text_has_no_schema(response_format: Any) -> None:
    assert read_response_format(response_format) is None


def test_a_json_object_is_any_object() -> None:
    assert read_response_format({"type": "json_object"}) == {"type": "object"}


def test_a_schema_of_the_supported_part_is_passed_on() -> None:
    schema = {
        "type": "object",
        "properties": {
            "kind": {"enum": ["a", "b"], "description": "its kind"},
            "when": {"type": ["string", "null"], "format": "date"},
            "parts": {"type": "array", "items": {"$ref": "#/$defs/part"}, "maxItems": 3},
            "other": {"anyOf": [{"type": "integer", "minimum": 1}, {"const": None}]},
        },
        "required": ["kind"],
        "additionalProperties": False,
        "$defs": {"part": {"type": "number"}},
    }
    assert read_response_format(as_format(schema)) == schema


@pytest.mark.parametrize(
    ("response_format", "reason"),
    [
        ({"type": "xml"}, "has to be of the type"),
        ({"type": "json_schema"}, "has to be of the type"),
        ("json", "has to be of the type"),
        (as_format({"type": "text"}), "schema.type has an unknown type"),
        (as_format({"properties": {"a": {"not": {}}}}), "schema.properties.a.not is not supported"),
        (as_format({"pattern": "x"}), "schema.pattern is not supported"),
        (as_format({"$ref": "#/$defs/part"}), r"schema.\$ref refers to no definition"),
        (as_format({"$ref": "http://x/y"}), r"schema.\$ref refers to no definition"),
        (as_format({"items": [1]}), "schema.items is not a JSON schema"),
        (as_format({"properties": []}), "schema.properties has to be an object"),
        (as_format({"anyOf": []}), "schema.anyOf has to be a list"),
        (as_format({"required": "a"}), "schema.required has to be a list"),
        (as_format({"format": "phone"}), "schema.format has to be one of"),
        (as_format({"minimum": "1"}), "schema.minimum has to be a number"),
        (as_format({"enum": []}), "schema.enum has to be a list"),
    ],
)
def test_other_schemas_are_refused_with_their_place(response_format: Any, reason: str) -> None:
    with pytest.raises(ApiError, match=reason) as failure:
        read_response_format(response_format)
    assert failure.value.status_code == 400


def test_a_schema_may_not_be_deep() -> None:
    schema: Any = {}
    for _ in range(40):
        schema = {"items": schema}
    with pytest.raises(ApiError, match="too deep"):
        read_response_format(as_format(schema))
