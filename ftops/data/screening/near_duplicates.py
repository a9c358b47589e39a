"""Finds similar sketches without comparing all pairs.

Sketches that agree in one of sixteen bands of four bins are compared, but only with their
neighbours in the order of the band. So the work depends on the number of texts, not on how many are
similar.
"""

from array import array
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ftops.data.screening.minhash import BINS, Sketches, read_sketches

LEAST_ALIKE = 0.75  # estimated share of the runs of letters of two texts that are equal
_BANDS = 16
_CHUNK = 1 << 14

Rows = NDArray[np.intp]


def group_near_duplicates(sketches: Sketches) -> Rows:
    """For each text, the first text of its group; itself if it is similar to no earlier text."""
    parents = np.arange(len(sketches))
    for left, right in _candidates(sketches):
        alike = estimate(sketches, left, right) >= LEAST_ALIKE
        for first, second in zip(left[alike].tolist(), right[alike].tolist(), strict=True):
            a, b = _get_root(parents, first), _get_root(parents, second)
            if a != b:
                parents[max(a, b)] = min(a, b)
    while (parents[parents] != parents).any():
        parents = parents[parents]
    return parents


def pair_near_duplicates(sketch_bytes: "array[int]", hashes: "array[int]") -> list[tuple[int, int]]:
    """The first and a later row of each group; rows with equal hashes count once."""
    if not hashes:
        return []
    rows = np.sort(np.unique(np.frombuffer(hashes, np.int64), return_index=True)[1])
    sketches = read_sketches(sketch_bytes)
    groups = group_near_duplicates(sketches if len(rows) == len(sketches) else sketches[rows])
    late = np.flatnonzero(groups != np.arange(len(groups)))
    return [(int(rows[groups[row]]), int(rows[row])) for row in late]


def match_rows(sketch_bytes: "array[int]", other_bytes: "array[int]") -> dict[int, int]:
    """`match_near_duplicates` of sketches of 64 bytes each."""
    return match_near_duplicates(read_sketches(sketch_bytes), read_sketches(other_bytes))


def match_near_duplicates(sketches: Sketches, others: Sketches) -> dict[int, int]:
    """For each of `others` that is similar to one of `sketches`, the index of that sketch."""
    both = np.concatenate([sketches, others])
    size = len(sketches)
    matches: dict[int, int] = {}
    for band, order in _orders(both):
        known = order < size
        at = np.arange(len(order))
        before = np.maximum.accumulate(np.where(known, at, -1))
        after = np.minimum.accumulate(np.where(known, at, len(order))[::-1])[::-1]
        for near in (before, after):
            wanted = ~known & (near >= 0) & (near < len(order))
            left, right = order[near[wanted]], order[at[wanted]]
            same = band[left] == band[right]
            left, right = left[same], right[same]
            alike = estimate(both, left, right) >= LEAST_ALIKE
            for first, second in zip(left[alike].tolist(), right[alike].tolist(), strict=True):
                matches[second - size] = min(first, matches.get(second - size, first))
    return matches


def estimate(sketches: Sketches, left: Rows, right: Rows) -> NDArray[np.float64]:
    """The estimated similarity of each pair, from 0 to 1."""
    shares = np.zeros(len(left))
    for start in range(0, len(left), _CHUNK):
        a, b = (sketches[rows[start : start + _CHUNK]] for rows in (left, right))
        same = np.count_nonzero((a == b) & (a != 0), axis=1)
        filled = np.count_nonzero(a | b, axis=1)
        shares[start : start + _CHUNK] = same / np.maximum(filled, 1)
    return shares


def _candidates(sketches: Sketches) -> Iterator[tuple[Rows, Rows]]:
    """Pairs that agree in a band: a sketch with the previous one, and with the first of its key."""
    for band, order in _orders(sketches):
        if len(order) < 2:
            continue
        keys = band[order]
        again = np.flatnonzero(keys[1:] == keys[:-1]) + 1
        if not len(again):
            continue
        at = np.arange(len(order))
        at[again] = 0
        heads = np.maximum.accumulate(at)
        yield order[again - 1], order[again]
        far = again[heads[again] < again - 1]
        yield order[heads[far]], order[far]


def _orders(sketches: Sketches) -> Iterator[tuple[NDArray[np.uint32], Rows]]:
    """The keys of each band, and the comparable sketches in the order of these keys.

    Equal keys are ordered by the next band, so that more similar texts are closer together.
    """
    bands = _fill(sketches).view(np.uint32)
    comparable = np.flatnonzero(sketches.any(axis=1))
    row_bits = np.uint64(max(len(comparable).bit_length(), 1))
    numbers = np.arange(len(comparable), dtype=np.uint64)
    for number in range(_BANDS):
        band = bands[:, number]
        following = bands[comparable, (number + 1) % _BANDS].astype(np.uint64)
        keys = (band[comparable].astype(np.uint64) << np.uint64(32)) | following
        keys = (keys >> row_bits << row_bits) | numbers  # unique, so any sort gives the same order
        keys.sort()
        yield band, comparable[(keys & ((np.uint64(1) << row_bits) - np.uint64(1))).astype(np.intp)]


def _fill(sketches: Sketches) -> Sketches:
    """The sketches with empty bins filled from the next full one (Shrivastava, Li 2014)."""
    filled = sketches.copy()
    for start in range(0, len(filled), _CHUNK):
        rows = filled[start : start + _CHUNK]
        lacking = np.flatnonzero((rows == 0).any(axis=1) & rows.any(axis=1))
        if not len(lacking):
            continue
        some = rows[lacking]
        source, step = some.copy(), 1
        while (empty := some == 0).any() and step < BINS:
            moved = np.roll(source, -step, axis=1)
            mixed = np.where(moved != 0, moved * np.uint8(167) + np.uint8(step * 2 + 1), 0)
            some[empty] = mixed[empty]
            step += 1
        rows[lacking] = some
    return filled


def _get_root(parents: Rows, row: int) -> int:
    while (parent := int(parents[row])) != row:
        parents[row] = parents[parent]
        row = parent
    return row
