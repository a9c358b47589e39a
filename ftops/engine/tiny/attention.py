"""Causal multi-head attention within each document of a pack, forward and backward.

Outside this module a pack is flat: rows of tokens, one document after the other, without padding.
Queries, keys and values are padded to [documents, longest] only here, because rows depend on each
other only here. Padding follows the last token of its document, so the causal mask hides it, too;
the output of padded queries is dropped.

Positions are rotary (Su et al. 2021, arXiv 2104.09864): each pair of floats of a query or key is
rotated by an angle that grows with its position, so their product depends on their distance. A pair
of neighbouring float32 is one complex64, so a rotation is one complex multiplication, and its
inverse (for the gradient) one by the conjugate.
"""

import functools
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from ftops.engine.tiny.config import CONTEXT_LENGTH, HEAD_DIM
from ftops.engine.tiny.parameters import Array, Indices

Rotations: TypeAlias = NDArray[np.complex64]  # [rows, 1, HEAD_DIM / 2], for every head alike

_MAX_PERIOD = 10_000.0  # of the slowest rotation, in tokens / 2 pi


@functools.cache
def _rotation_table() -> Rotations:
    """Unit complex numbers, a row for each position, that of the start token included."""
    frequencies = _MAX_PERIOD ** (-np.arange(0, HEAD_DIM, 2) / HEAD_DIM)
    angles = np.outer(np.arange(CONTEXT_LENGTH + 1), frequencies)
    table: Rotations = np.exp(1j * angles).astype(np.complex64)[:, None, :]
    return table


def get_rotations(positions: Indices) -> Rotations:
    """The rotations of rows at these positions."""
    return _rotation_table().take(positions, axis=0)


def rotate(x: Array, rotations: Rotations) -> None:
    """Rotate x [rows, heads * HEAD_DIM] in place; `rotations.conj()` reverts it."""
    # Splitting the last axis of a view gives a view, so this changes x itself.
    pairs = x.view(np.complex64 if x.dtype == np.float32 else np.complex128)
    by_head = pairs.reshape(len(x), -1, HEAD_DIM // 2)
    np.multiply(by_head, rotations, out=by_head)


Number = TypeVar("Number", bound=np.number[Any])

_UNDERFLOW = 1e-20  # a sum of exponentials below this has lost precision
MASKED = -1e9  # added to the score of a key that a query may not see


@dataclass(frozen=True, slots=True)
class PaddedGrid:
    """The mapping between flat rows and a padded [documents, longest] grid.

    `slots` and `sources` are None without padding: a reshape is enough then.
    """

    n_documents: int
    longest: int
    slots: Indices | None  # [rows] -> index in documents * longest
    sources: Indices | None  # [documents * longest] -> row; any row for padding
    padding: Indices  # indices without a row

    def pad(self, rows: NDArray[Number], *, zero_padding: bool = False) -> NDArray[Number]:
        """[rows, floats] -> [documents, longest, floats].

        Padding repeats some row. With `zero_padding` it is zero, as gradients require.
        """
        shape = (self.n_documents, self.longest, rows.shape[-1])
        if self.sources is None:
            return np.ascontiguousarray(rows).reshape(shape)
        padded = rows.take(self.sources, axis=0)  # faster than writing rows into zeros
        if zero_padding:
            padded[self.padding] = 0
        return padded.reshape(shape)

    def unpad(self, padded: Array) -> Array:
        """[documents, longest, …] -> [rows, floats]."""
        flat = padded.reshape(self.n_documents * self.longest, -1)
        return flat if self.slots is None else flat.take(self.slots, axis=0)


def make_grid(lengths: Indices, positions: Indices) -> PaddedGrid:
    """The grid of documents of these lengths, all above 0, and of rows at these positions."""
    n_documents, longest = len(lengths), int(lengths.max())
    if (lengths == longest).all():
        return PaddedGrid(n_documents, longest, None, None, np.empty(0, dtype=np.intp))
    slots = np.repeat(np.arange(n_documents) * longest, lengths) + positions
    sources = np.full(n_documents * longest, -1, dtype=np.intp)
    sources[slots] = np.arange(len(slots))
    padding = np.flatnonzero(sources < 0)
    sources[padding] = 0
    return PaddedGrid(n_documents, longest, slots, sources, padding)


def split_heads(padded: Array) -> Array:
    """[documents, longest, heads * HEAD_DIM] -> a view [documents, heads, longest, HEAD_DIM]."""
    documents, longest, _ = padded.shape
    return padded.reshape(documents, longest, -1, HEAD_DIM).transpose(0, 2, 1, 3)


@functools.lru_cache(maxsize=64)
def causal_bias(length: int) -> Array:
    """[length, length]: 0 where the key is not after the query, MASKED elsewhere."""
    return np.triu(np.full((length, length), MASKED, dtype=np.float32), 1)


def softmax(scores: Array) -> Array:
    """Softmax along the last axis, in place."""
    rows = scores.reshape(-1, scores.shape[-1])
    # One maximum for all rows instead of one for each is several times as fast, and exact
    # unless a row is so far below the others that all its exponentials underflow.
    largest = rows.max()
    probabilities = np.exp(rows - largest)
    sums = probabilities @ np.ones(rows.shape[1], dtype=rows.dtype)
    if sums.min() < _UNDERFLOW:
        probabilities = np.exp(rows - rows.max(axis=1, keepdims=True))
        sums = probabilities.sum(axis=1)
    np.divide(probabilities, sums[:, None], out=rows)
    return rows.reshape(scores.shape)


@dataclass(frozen=True, slots=True)
class AttentionOutput:
    """The output, and what the backward pass needs; by head."""

    q: Array  # [documents, heads, longest query, HEAD_DIM], rotated and scaled
    k: Array  # [documents, heads, longest, HEAD_DIM], rotated
    v: Array
    probabilities: Array  # [documents, heads, longest query, longest]
    out: Array  # [query rows, width]


def attend(
    q: Array, kv: Array, queries: PaddedGrid, keys: PaddedGrid, bias: Array
) -> AttentionOutput:
    """Attention of q [query rows, width] over kv [rows, 2 * width] of the same document.

    `bias` [longest query, longest], or [documents, 1, …], masks later keys.
    """
    width = q.shape[1]
    padded = keys.pad(kv)
    q_heads = split_heads(queries.pad(q))
    k_heads, v_heads = split_heads(padded[..., :width]), split_heads(padded[..., width:])
    probabilities = q_heads @ k_heads.swapaxes(-1, -2)
    probabilities += bias
    softmax(probabilities)
    mixed = np.empty((queries.n_documents, queries.longest, width), dtype=q.dtype)
    np.matmul(probabilities, v_heads, out=split_heads(mixed))
    return AttentionOutput(q_heads, k_heads, v_heads, probabilities, queries.unpad(mixed))


def attend_backward(
    d_out: Array, forward: AttentionOutput, queries: PaddedGrid, keys: PaddedGrid
) -> tuple[Array, Array]:
    """The gradients of q [query rows, width] and kv [rows, 2 * width], from the output's."""
    n_rows, width = d_out.shape
    by_head = d_out.reshape(n_rows, -1, HEAD_DIM)
    # The softmax's term sum(p * d_p) equals sum(out * d_out), which has fewer floats.
    correction = np.einsum("rhi,rhi->rh", by_head, forward.out.reshape(by_head.shape))
    d_heads = split_heads(queries.pad(d_out, zero_padding=True))
    d_scores = d_heads @ forward.v.swapaxes(-1, -2)
    d_scores -= queries.pad(correction, zero_padding=True).transpose(0, 2, 1)[..., None]
    d_scores *= forward.probabilities
    d_q = np.empty((queries.n_documents, queries.longest, width), dtype=d_out.dtype)
    d_kv = np.empty((keys.n_documents, keys.longest, 2 * width), dtype=d_out.dtype)
    np.matmul(d_scores, forward.k, out=split_heads(d_q))
    np.matmul(d_scores.swapaxes(-1, -2), forward.q, out=split_heads(d_kv[..., :width]))
    np.matmul(forward.probabilities.swapaxes(-1, -2), d_heads, out=split_heads(d_kv[..., width:]))
    return queries.unpad(d_q), keys.unpad(d_kv)
