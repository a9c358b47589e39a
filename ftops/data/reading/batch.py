"""What readers hand on: parsed records in batches, each with its place in the source."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Fault:
    """A record that cannot be used: where, which check of the catalogue says so, and why.

    `count` is the number of records in a row, from `place` on, that the same is wrong with.
    `record` is what may be mended: the text of what is no JSON, else the parsed value.
    """

    place: int
    code: str
    reason: str
    count: int = 1
    record: object = None


@dataclass(slots=True)
class Batch:
    """Records in the order of the source.

    `values` are parsed JSON values and `places` their lines or rows, from 1. `lines` is their text
    where it was JSON (so that keys that stand there twice can be found). `faults` are the records
    that could not be parsed; their places lie among the others.
    """

    values: list[object]
    places: Sequence[int]
    lines: list[bytes] | None = None
    faults: list[Fault] = field(default_factory=list)


Batches: TypeAlias = Iterator[Batch]
