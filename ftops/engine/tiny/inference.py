"""The forward pass of generation: a KV cache, and fast products of a few rows with the weights.

The KV cache has the keys and values of all tokens so far, so that a new token costs one row.

OpenBLAS packs a matrix into its own layout before it multiplies. For the hundreds of rows of a
training step that is negligible; for a few dozen it takes as long as the product. Products of fewer
than a million multiplications are not packed. Each matrix is therefore split once, on first use,
into contiguous blocks of that size: a step of 32 answers then takes three quarters of the time, one
of 4 answers half. The cost is a second copy of the matrices.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from ftops.engine.tiny.attention import MASKED, Rotations, attend, get_rotations, rotate, softmax
from ftops.engine.tiny.batch import Pack, TrainingExample, make_pack
from ftops.engine.tiny.config import HEAD_DIM
from ftops.engine.tiny.model import norm
from ftops.engine.tiny.parameters import Array, Indices, Parameters, Tokens

Blocks: TypeAlias = Array  # [slices of the depth, blocks of columns, depth, columns]

_ROWS = 32  # multiplied at a time
_MAX_ROWS = 128  # for more rows, packing is negligible
_MAX_UNPACKED = 1_000_000  # multiplications that OpenBLAS does without packing
_MAX_COLUMNS = 96  # of a block: wider ones are read more slowly
_LANE = 8  # floats of a SIMD register: blocks are multiples of it


class BlockedWeights:
    """Multiplies rows with the weights of a trained model."""

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self._blocks: dict[str, Blocks] = {}

    def multiply(self, rows: Array, name: str) -> Array:
        """`rows` @ the matrix `name`."""
        if not 1 < len(rows) <= _MAX_ROWS:  # one row is never packed
            return rows @ self.parameters[name]
        blocks = self._blocks.get(name)
        if blocks is None:
            blocks = split_blocks(self.parameters[name], self.parameters.shape.width)
            self._blocks[name] = blocks
        padded = np.empty((len(rows), blocks.shape[1] * blocks.shape[3]), dtype=rows.dtype)
        for start in range(0, len(rows), _ROWS):
            _multiply(rows[start : start + _ROWS], blocks, padded[start : start + _ROWS])
        return padded[:, : self.parameters[name].shape[1]]


def split_blocks(matrix: Array, depth: int) -> Blocks:
    """Split the matrix into blocks of `depth` rows; zeros pad the last columns.

    `depth` divides the number of rows.
    """
    n_columns = matrix.shape[1]
    most = min(_MAX_COLUMNS, _MAX_UNPACKED // (_ROWS * depth)) // _LANE * _LANE
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


_GROW_BY = 32  # tokens of capacity


@dataclass(slots=True)
class KVCache:
    """Keys and values [layers, 2, answers, heads, capacity, HEAD_DIM], and their lengths."""

    stored: Array
    lengths: Indices  # [answers]


def read_prompts(blocked: BlockedWeights, prompts: Sequence[Tokens]) -> tuple[Array, KVCache]:
    """Logits [prompts, vocabulary] of what follows each prompt, and the filled cache."""
    examples = []
    for tokens in prompts:
        weights = np.zeros(len(tokens), dtype=np.float32)
        weights[-1] = 1  # only the last row has logits
        examples.append(TrainingExample(tokens, tokens, weights))
    pack = make_pack(examples)
    shape = blocked.parameters.shape
    capacity = pack.grid.longest + _GROW_BY
    stored = np.zeros(
        (shape.n_layers, 2, len(prompts), shape.n_heads, capacity, HEAD_DIM), dtype=np.float32
    )
    x = _embed(blocked, pack.tokens)
    for layer in range(shape.n_layers):
        is_last = layer == shape.n_layers - 1
        qkv = _project(blocked, layer, x, pack.rotations)
        mixed = _attend_prompts(qkv, pack, stored[layer], is_last=is_last)
        x = _finish_layer(blocked, layer, x.take(pack.counted, axis=0) if is_last else x, mixed)
    cache = KVCache(stored, np.array([len(tokens) for tokens in prompts]))
    return blocked.multiply(norm(x).rows, "head"), cache


def read_token(blocked: BlockedWeights, cache: KVCache, tokens: Indices) -> Array:
    """Append one token to each answer; logits [answers, vocabulary] of what follows."""
    longest = int(cache.lengths.max()) + 1
    if longest > cache.stored.shape[4]:
        pad = [(0, 0)] * 4 + [(0, max(_GROW_BY, longest // 2)), (0, 0)]
        cache.stored = np.pad(cache.stored, pad)
    positions = cache.lengths
    cache.lengths = positions + 1
    bias = (np.arange(longest) > positions[:, None]) * np.float32(MASKED)
    rotations = get_rotations(positions)
    x = _embed(blocked, tokens)
    for layer in range(blocked.parameters.shape.n_layers):
        qkv = _project(blocked, layer, x, rotations)
        x = _finish_layer(
            blocked, layer, x, _attend_cached(qkv, cache.stored[layer], positions, bias)
        )
    return blocked.multiply(norm(x).rows, "head")


# As in model.py, but without a tape, and for few rows.


def _embed(blocked: BlockedWeights, tokens: Indices) -> Array:
    return norm(blocked.parameters["embedding"].take(tokens, axis=0)).rows


def _project(blocked: BlockedWeights, layer: int, x: Array, rotations: Rotations) -> Array:
    """Queries, keys and values [rows, 3 * width], rotated; queries are scaled."""
    width = x.shape[1]
    qkv = blocked.multiply(norm(x).rows, f"{layer}.qkv")
    qkv[:, :width] *= np.float32(HEAD_DIM**-0.5)
    rotate(qkv[:, : 2 * width], rotations)
    return qkv


def _attend_prompts(qkv: Array, pack: Pack, stored: Array, *, is_last: bool) -> Array:
    """Attention within each prompt; in the last layer only for the last row of each."""
    width = qkv.shape[1] // 3
    q, kv = qkv[:, :width], qkv[:, width:]
    grid, bias = pack.grid, pack.bias
    if is_last:
        q, grid, bias = q.take(pack.counted, axis=0), pack.counted_grid, pack.counted_bias
    attended = attend(q, kv, grid, pack.grid, bias)
    stored[0, :, :, : pack.grid.longest] = attended.k
    stored[1, :, :, : pack.grid.longest] = attended.v
    return attended.out


def _attend_cached(qkv: Array, stored: Array, positions: Indices, bias: Array) -> Array:
    """Attention of one new row of each answer over its cache, which it is added to."""
    n_rows, longest = bias.shape
    q, k, v = qkv.reshape(n_rows, 3, -1, HEAD_DIM).transpose(1, 0, 2, 3)
    keys, values = stored
    rows = np.arange(n_rows)
    keys[rows, :, positions] = k
    values[rows, :, positions] = v
    scores = q[:, :, None] @ keys[:, :, :longest].swapaxes(-1, -2)
    scores += bias[:, None, None]
    mixed: Array = softmax(scores) @ values[:, :, :longest]
    return mixed.reshape(n_rows, -1)


def _finish_layer(blocked: BlockedWeights, layer: int, x: Array, mixed: Array) -> Array:
    """The rest of a layer: the attention's output and the MLP, each added to x."""
    x = x + blocked.multiply(mixed, f"{layer}.out")
    hidden = blocked.multiply(norm(x).rows, f"{layer}.up")
    np.maximum(hidden, np.zeros_like(hidden[:1]), out=hidden)  # faster than against a number
    hidden *= hidden
    x += blocked.multiply(hidden, f"{layer}.down")
    return x
