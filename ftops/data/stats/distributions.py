"""How numbers are distributed: a few marks of them, and bins for a histogram."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_MOST_BINS = 12
_WIDTHS = (1, 2, 5)


@dataclass(frozen=True, slots=True)
class Marks:
    """Where numbers lie; all 0 when there are none. `high` is what 95 of 100 do not exceed."""

    least: int = 0
    median: int = 0
    mean: float = 0.0
    high: int = 0
    most: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Bin:
    """How many numbers lie from `first` to `last`, both included."""

    first: int
    last: int
    count: int


def find_marks(numbers: Sequence[int]) -> Marks:
    """The marks of `numbers`, which come in any order."""
    if not numbers:
        return Marks()
    ordered = sorted(numbers)
    total = sum(ordered)
    return Marks(
        least=ordered[0],
        median=ordered[(len(ordered) - 1) // 2],
        mean=total / len(ordered),
        high=ordered[(len(ordered) * 95 + 99) // 100 - 1],
        most=ordered[-1],
        total=total,
    )


def make_bins(numbers: Sequence[int]) -> list[Bin]:
    """At most a dozen bins of round bounds, equally wide where a few do not lie far from the rest.

    Else each bin is twice as wide as the one before it.
    """
    if not numbers:
        return []
    least, most = min(numbers), max(numbers)
    bounds = _bounds(least, most, find_marks(numbers).high)
    counts = [0] * (len(bounds) - 1)
    for number in numbers:
        counts[bisect_right(bounds, number) - 1] += 1
    return [
        Bin(first, behind - 1, count)
        for (first, behind), count in zip(pairwise(bounds), counts, strict=True)
    ]


def _bounds(least: int, most: int, high: int) -> list[int]:
    """The first number of each bin, and the one behind the last."""
    if most > 4 * max(high, 1):
        return _doubling(least, most)
    width, power = 1, 0
    while (most // width) - (least // width) >= _MOST_BINS:
        power += 1
        width = _WIDTHS[power % 3] * 10 ** (power // 3)
    first = least - least % width
    return list(range(first, most + width + 1, width))[: (most - first) // width + 2]


def _doubling(least: int, most: int) -> list[int]:
    bounds = [0, 1]
    while bounds[-1] <= most:
        bounds.append(bounds[-1] * 2)
    while len(bounds) > 2 and bounds[1] <= least:
        del bounds[0]
    while len(bounds) > _MOST_BINS + 1:
        del bounds[1]
    return bounds
