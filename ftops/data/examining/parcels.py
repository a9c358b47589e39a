"""What processes that examine parts of one file send each other: JSON, never code.

Only values of the kinds named here can be sent. Each travels as an object of one key, its kind.
"""

from array import array
from base64 import b64decode, b64encode
from dataclasses import fields, is_dataclass
from typing import Any

import orjson

from ftops.data.checks.affixes import Capitals, CommonEnding, CommonPrefix, MarkerFinder
from ftops.data.checks.duplicates import RowPlaces
from ftops.data.checks.registry import CHECKS
from ftops.data.examining.examination import Examination
from ftops.data.examining.gauge import Gauge
from ftops.data.examining.survey import Survey
from ftops.data.findings import Occurrences
from ftops.data.screening.word_list import WordList
from ftops.records import RowFormat

_KINDS: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        *CHECKS,
        Examination,
        Survey,
        Gauge,
        WordList,
        RowPlaces,
        Occurrences,
        CommonEnding,
        CommonPrefix,
        Capitals,
        MarkerFinder,
    )
}


def write_parcel(value: object) -> bytes:
    """`value` as JSON; TypeError when something in it is of no kind that can be sent."""
    return orjson.dumps(_pack(value))


def read_parcel(data: bytes) -> Any:
    """What `write_parcel` was given; KeyError when it names a kind that cannot be sent."""
    return _unpack(orjson.loads(data))


def _pack(value: object) -> object:
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) is RowFormat:
        return {"format": value.value}
    if type(value) is array:
        return {"array": [value.typecode, b64encode(value.tobytes()).decode("ascii")]}
    if type(value) is dict:
        return {"dict": [[_pack(key), _pack(one)] for key, one in value.items()]}
    for name, kind in (("list", list), ("tuple", tuple), ("set", set)):
        if type(value) is kind:
            return {name: [_pack(one) for one in value]}
    kind_name = type(value).__name__
    if _KINDS.get(kind_name) is not type(value):
        raise TypeError(f"{kind_name} cannot be sent to another process")
    names = [one.name for one in fields(value)] if is_dataclass(value) else list(vars(value))
    return {kind_name: {name: _pack(getattr(value, name)) for name in names}}


def _unpack(packed: Any) -> Any:
    if not isinstance(packed, dict):
        return packed
    ((name, content),) = packed.items()
    if name == "format":
        return RowFormat(content)
    if name == "array":
        values: array[int] = array(content[0])
        values.frombytes(b64decode(content[1]))
        return values
    if name == "dict":
        return {_unpack(key): _unpack(one) for key, one in content}
    if name in ("list", "tuple", "set"):
        make = {"list": list, "tuple": tuple, "set": set}[name]
        return make(map(_unpack, content))
    value: Any = object.__new__(_KINDS[name])
    for field, one in content.items():
        object.__setattr__(value, field, _unpack(one))
    return value
