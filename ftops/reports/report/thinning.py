"""Long series made short enough to draw, without losing what stands out.

A training of 10,000 steps has more points than a chart has pixels. Neighbouring points become one
bucket that keeps its lowest and highest value beside the mean, so a single spike is still seen.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

Point = tuple[float, float]
BUCKETS = 160
MOST_MARKS = 400


@dataclass(frozen=True, slots=True)
class Bucket:
    """Points in a row: where they lie in the middle, and their lowest, mean and highest value."""

    x: float
    low: float
    mean: float
    high: float


def keep_finite(points: Sequence[Point]) -> list[Point]:
    """The points whose figures are numbers."""
    finite = math.isfinite
    return [point for point in points if finite(point[0]) and finite(point[1])]


def fill_buckets(points: Sequence[Point], most: int = BUCKETS) -> list[Bucket]:
    """At most `most` buckets, each of as many points as the others; one a point where few are."""
    if len(points) <= 2 * most:
        return [Bucket(x, y, y, y) for x, y in points]
    buckets = []
    for number in range(most):
        part = points[number * len(points) // most : (number + 1) * len(points) // most]
        values = [y for _, y in part]
        mean = math.fsum(values) / len(values)
        buckets.append(Bucket((part[0][0] + part[-1][0]) / 2, min(values), mean, max(values)))
    return buckets


def thin(points: Sequence[Point], most: int = MOST_MARKS) -> list[Point]:
    """At most `most` of the points: the lowest and the highest of each stretch, first and last."""
    if len(points) <= most:
        return list(points)
    parts = max(1, (most - 2) // 2)
    kept = {0, len(points) - 1}
    for number in range(parts):
        part = range(number * len(points) // parts, (number + 1) * len(points) // parts)
        kept.add(min(part, key=lambda index: points[index][1]))
        kept.add(max(part, key=lambda index: points[index][1]))
    return [points[index] for index in sorted(kept)]
