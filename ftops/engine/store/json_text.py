"""JSON as the database holds it, in columns named `*_json`."""

import json
from collections.abc import Mapping

import orjson

from ftops.records import Json


def render_json(values: Mapping[str, Json]) -> str:
    """The text of an object; figures that JSON cannot hold become null."""
    return orjson.dumps(dict(values)).decode()


def read_json(text: str) -> dict[str, Json]:
    """The object in the text; databases of earlier versions may hold a NaN in it."""
    try:
        values: dict[str, Json] = orjson.loads(text)
    except orjson.JSONDecodeError:
        values = json.loads(text)
    return values
