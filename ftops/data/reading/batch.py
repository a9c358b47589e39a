"""Batches of parsed records, each with its line or row in the source."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class RowError:
    """A record that cannot be used: its line or row, the code of the check, and the reason.

    `count` is the number of consecutive records, from `place` on, with this error. `record` is what
    a fix may repair: the text where it is not JSON, otherwise the parsed value.
    """

    place: int
    code: str
    reason: str
    count: int = 1
    record: object = None


@dataclass(slots=True)
class Batch:
    """Records in the order of the source.

    `values` are parsed JSON values, and `places` their line or row numbers, from 1. `lines` is the
    text of each value if the source is JSON, to detect duplicate keys. `row_errors` are the records
    that cannot be parsed.
    """

    values: list[object]
    places: Sequence[int]
    lines: list[bytes] | None = None
    row_errors: list[RowError] = field(default_factory=list)


Batches: TypeAlias = Iterator[Batch]
