"""Causal attention inside each document of a batch, forward and backward.

Outside this module a batch is flat: rows of tokens, one document after the other, no padding.
Only here are queries, keys and values scattered into [documents, longest], because only here do
rows meet each other. Padding stands behind the last token of its document, so the causal mask,
which no query may look past, hides it too; padded queries compute something that nobody gathers.
"""

import functools
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from ftops.engine.tiny.config import CONTEXT_LENGTH, HEAD_DIM
from ftops.engine.tiny.parameters import Array, Indices

Rotations: TypeAlias = NDArray[np.complex64]  # [rows, 1, HEAD_DIM / 2], the same for every head

_SLOWEST_TURN = 10_000.0  # in tokens, divided by 2 pi: far longer than any context here


@functools.cache
def _rotation_table() -> Rotations:
    """Unit complex numbers, a row for each position: also for the start token's."""
    speeds = _SLOWEST_TURN ** (-np.arange(0, HEAD_DIM, 2) / HEAD_DIM)
    angles = np.outer(np.arange(CONTEXT_LENGTH + 1), speeds)
    table: Rotations = np.exp(1j * angles).astype(np.complex64)[:, None, :]
    return table


def get_rotations(positions: Indices) -> Rotations:
    """The turns of rows that stand at these positions."""
    return _rotation_table().take(positions, axis=0)


def rotate(x: Array, rotations: Rotations) -> None:
    """Turn the rows of x [rows, heads * HEAD_DIM] in place; turned back by `turns.conj()`."""
    # Splitting the last axis of a view gives a view again, so this changes x itself.
    pairs = x.view(np.complex64 if x.dtype == np.float32 else np.complex128)
    by_head = pairs.reshape(len(x), -1, HEAD_DIM // 2)
    np.multiply(by_head, rotations, out=by_head)


Number = TypeVar("Number", bound=np.number[Any])

_VANISHING = 1e-20  # a sum of exponentials below this has lost digits
MASKED = -1e9  # added to the score of a key that a query may not see


@dataclass(frozen=True, slots=True)
class PaddedGrid:
    """Where flat rows stand in a padded [documents, longest] rectangle.

    `slots` and `sources` are None when nothing is padded: a plain reshape then.
    """

    n_documents: int
    longest: int
    slots: Indices | None  # [rows] -> place in documents * longest
    sources: Indices | None  # [documents * longest] -> row, any row where padded
    padding: Indices  # places without a row

    def pad(self, rows: NDArray[Number], *, clean: bool = False) -> NDArray[Number]:
        """[rows, floats] -> [documents, longest, floats].

        Padding repeats some row, or is zero if `clean`: gradients of padding must not count.
        """
        shape = (self.n_documents, self.longest, rows.shape[-1])
        if self.sources is None:
            return np.ascontiguousarray(rows).reshape(shape)
        padded = rows.take(self.sources, axis=0)  # faster than writing rows into zeros
        if clean:
            padded[self.padding] = 0
        return padded.reshape(shape)

    def unpad(self, padded: Array) -> Array:
        """[documents, longest, …] -> [rows, floats]."""
        flat = padded.reshape(self.n_documents * self.longest, -1)
        return flat if self.slots is None else flat.take(self.slots, axis=0)


def make_grid(lengths: Indices, places: Indices) -> PaddedGrid:
    """A grid for documents of these lengths, all above 0; `places` of the rows within each."""
    n_documents, longest = len(lengths), int(lengths.max())
    if (lengths == longest).all():
        return PaddedGrid(n_documents, longest, None, None, np.empty(0, dtype=np.intp))
    slots = np.repeat(np.arange(n_documents) * longest, lengths) + places
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
    """[length, length]: 0 where the key stands no later than the query, HIDDEN elsewhere."""
    return np.triu(np.full((length, length), MASKED, dtype=np.float32), 1)


def softmax(scores: Array) -> Array:
    """Shares along the last axis, computed in place."""
    rows = scores.reshape(-1, scores.shape[-1])
    # One largest score for all rows instead of one for each is several times as fast, and exact
    # unless a row lies so far below the others that all of its shares would vanish.
    largest = rows.max()
    shares = np.exp(rows - largest)
    sums = shares @ np.ones(rows.shape[1], dtype=rows.dtype)
    if sums.min() < _VANISHING:
        shares = np.exp(rows - rows.max(axis=1, keepdims=True))
        sums = shares.sum(axis=1)
    np.divide(shares, sums[:, None], out=rows)
    return rows.reshape(scores.shape)


@dataclass(frozen=True, slots=True)
class AttentionOutput:
    """What the backward pass needs to see again; all by head."""

    q: Array  # [documents, heads, longest query, HEAD_DIM], turned and scaled
    k: Array  # [documents, heads, longest, HEAD_DIM], turned
    v: Array
    shares: Array  # [documents, heads, longest query, longest]: how much each query looks where
    out: Array  # [query rows, width]


def attend(
    q: Array, kv: Array, queries: PaddedGrid, keys: PaddedGrid, bias: Array
) -> AttentionOutput:
    """Each row of q [query rows, width] reads kv [rows, 2 * width] of its own document.

    `bias` [longest query, longest], or with [documents, 1, …] in front, hides what comes later.
    """
    width = q.shape[1]
    padded = keys.pad(kv)
    q_heads = split_heads(queries.pad(q))
    k_heads, v_heads = split_heads(padded[..., :width]), split_heads(padded[..., width:])
    shares = q_heads @ k_heads.swapaxes(-1, -2)
    shares += bias
    softmax(shares)
    mixed = np.empty((queries.n_documents, queries.longest, width), dtype=q.dtype)
    np.matmul(shares, v_heads, out=split_heads(mixed))
    return AttentionOutput(q_heads, k_heads, v_heads, shares, queries.unpad(mixed))


def attend_backward(
    d_out: Array, seen: AttentionOutput, queries: PaddedGrid, keys: PaddedGrid
) -> tuple[Array, Array]:
    """The gradients of q [query rows, width] and kv [rows, 2 * width] from that of the output."""
    n_rows, width = d_out.shape
    by_head = d_out.reshape(n_rows, -1, HEAD_DIM)
    # The softmax's own correction, sum(share * d_share), equals sum(out * d_out): shorter.
    correction = np.einsum("rhi,rhi->rh", by_head, seen.out.reshape(by_head.shape))
    d_heads = split_heads(queries.pad(d_out, clean=True))
    d_scores = d_heads @ seen.v.swapaxes(-1, -2)
    d_scores -= queries.pad(correction, clean=True).transpose(0, 2, 1)[..., None]
    d_scores *= seen.shares
    d_q = np.empty((queries.n_documents, queries.longest, width), dtype=d_out.dtype)
    d_kv = np.empty((keys.n_documents, keys.longest, 2 * width), dtype=d_out.dtype)
    np.matmul(d_scores, seen.k, out=split_heads(d_q))
    np.matmul(d_scores.swapaxes(-1, -2), seen.q, out=split_heads(d_kv[..., :width]))
    np.matmul(seen.shares.swapaxes(-1, -2), d_heads, out=split_heads(d_kv[..., width:]))
    return queries.unpad(d_q), keys.unpad(d_kv)
