"""Rotary positions: turn each pair of floats of a query or key, the further the later it stands.

The product of a turned query and a turned key then depends on how far apart they are. A pair of
neighbouring float32 is one complex64, so the whole turn is a single complex multiplication;
turning back (for the gradient) multiplies by the conjugate.
"""

import functools
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ftops.engine.trainers.tiny.parameters import Array, Indices
from ftops.engine.trainers.tiny.sizes import CONTEXT_LENGTH, HEAD_DIM

Turns: TypeAlias = NDArray[np.complex64]  # [rows, 1, HEAD_DIM / 2], the same for every head

_SLOWEST_TURN = 10_000.0  # in tokens, divided by 2 pi: far longer than any context here


@functools.cache
def _turn_table() -> Turns:
    """Unit complex numbers, a row for each position: also for the start token's."""
    speeds = _SLOWEST_TURN ** (-np.arange(0, HEAD_DIM, 2) / HEAD_DIM)
    angles = np.outer(np.arange(CONTEXT_LENGTH + 1), speeds)
    table: Turns = np.exp(1j * angles).astype(np.complex64)[:, None, :]
    return table


def find_turns(positions: Indices) -> Turns:
    """The turns of rows that stand at these positions."""
    return _turn_table().take(positions, axis=0)


def rotate(x: Array, turns: Turns) -> None:
    """Turn the rows of x [rows, heads * HEAD_DIM] in place; turned back by `turns.conj()`."""
    # Splitting the last axis of a view gives a view again, so this changes x itself.
    pairs = x.view(np.complex64 if x.dtype == np.float32 else np.complex128)
    by_head = pairs.reshape(len(x), -1, HEAD_DIM // 2)
    np.multiply(by_head, turns, out=by_head)
