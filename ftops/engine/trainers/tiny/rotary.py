"""Rotary positions: turn each pair of floats of a query or key, the further the later it stands.

The product of a turned query and a turned key then depends on how far apart they are. A pair of
neighbouring float32 is one complex64, so the whole turn is a single complex multiplication;
turning back (for the gradient) multiplies by the conjugate.
"""

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ftops.engine.trainers.tiny.parameters import Array, Indices
from ftops.engine.trainers.tiny.sizes import HEAD_DIM

_SLOWEST_TURN = 10_000.0  # in tokens, divided by 2 pi: far longer than any context here


@functools.cache
def rotation_table(length: int, single: bool) -> NDArray[np.complexfloating[Any, Any]]:
    """Unit complex numbers [length, HEAD_DIM / 2]: one row a position, one column a pair."""
    speeds = _SLOWEST_TURN ** (-np.arange(0, HEAD_DIM, 2) / HEAD_DIM)
    angles = np.outer(np.arange(length), speeds)
    turns: NDArray[np.complexfloating[Any, Any]] = np.exp(1j * angles)
    return turns.astype(np.complex64) if single else turns


def rotate(x: Array, positions: Indices, *, back: bool = False) -> None:
    """Turn the rows of x [rows, heads * HEAD_DIM] in place by their positions."""
    single = x.dtype == np.float32
    # Power-of-two tables, so that a few of them serve all lengths.
    length = 1 << int(positions.max(initial=1)).bit_length()
    turns = rotation_table(length, single)[positions][:, None, :]
    if back:
        turns = turns.conj()
    # Splitting the last axis of a view gives a view again, so this changes x itself.
    pairs = x.view(turns.dtype).reshape(len(x), -1, HEAD_DIM // 2)
    pairs *= turns
