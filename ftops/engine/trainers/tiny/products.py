"""Products of a few rows with a model's matrices: what answers that grow side by side consist of.

OpenBLAS copies a matrix into an order of its own before it multiplies. For the hundreds of rows of
a training step that is nothing; for a few dozen it takes as long as the product itself. Products of
fewer than a million multiplications it does in place. So each matrix is cut once, when it is first
wanted, into blocks that small, which lie one after the other in memory: a step of 32 answers then
takes three quarters of the time, one of 4 answers half. The price is a second copy of the matrices
of a model that several ask at once.
"""

from typing import TypeAlias

import numpy as np

from ftops.engine.trainers.tiny.parameters import Array, Parameters

Blocks: TypeAlias = Array  # [slices of the depth, blocks of columns, depth, columns]

_ROWS = 32  # multiplied at a time
_FEW = 128  # more share the price of copying among them
_IN_PLACE = 1_000_000  # multiplications, that OpenBLAS does without copying
_COLUMNS = 96  # of a block, at most: wider ones are read more slowly
_LANE = 8  # floats that are multiplied at once: blocks are whole multiples


class Products:
    """Multiplies rows with the matrices of a model that does not change any more."""

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self._blocks: dict[str, Blocks] = {}

    def multiply(self, rows: Array, name: str) -> Array:
        """rows @ the matrix of that name."""
        if not 1 < len(rows) <= _FEW:  # one is never copied, of many it is a small part
            return rows @ self.parameters[name]
        blocks = self._blocks.get(name)
        if blocks is None:
            blocks = cut(self.parameters[name], self.parameters.shape.width)
            self._blocks[name] = blocks
        padded = np.empty((len(rows), blocks.shape[1] * blocks.shape[3]), dtype=rows.dtype)
        for start in range(0, len(rows), _ROWS):
            _multiply(rows[start : start + _ROWS], blocks, padded[start : start + _ROWS])
        return padded[:, : self.parameters[name].shape[1]]


def cut(matrix: Array, depth: int) -> Blocks:
    """The matrix in blocks of `depth` rows, which must divide its own; zeros fill the last ones."""
    n_columns = matrix.shape[1]
    most = min(_COLUMNS, _IN_PLACE // (_ROWS * depth)) // _LANE * _LANE
    n_blocks = -(-n_columns // most)
    columns = -(-n_columns // (n_blocks * _LANE)) * _LANE
    padded = np.pad(matrix, [(0, 0), (0, n_blocks * columns - n_columns)])
    parts = padded.reshape(-1, depth, n_blocks, columns)
    return np.ascontiguousarray(parts.transpose(0, 2, 1, 3))


def _multiply(rows: Array, blocks: Blocks, result: Array) -> None:
    n_slices, n_blocks, depth, columns = blocks.shape
    sliced = rows.reshape(len(rows), n_slices, 1, depth).transpose(1, 2, 0, 3)
    shape = (n_slices, len(rows), n_blocks, columns)
    sums = result.reshape(shape) if n_slices == 1 else np.empty(shape, dtype=rows.dtype)
    np.matmul(sliced, blocks, out=sums.transpose(0, 2, 1, 3))
    if n_slices > 1:
        np.add.reduce(sums.reshape(n_slices, *result.shape), axis=0, out=result)
