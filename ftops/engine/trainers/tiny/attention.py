"""Causal attention inside each document of a batch, forward and backward.

Outside this module a batch is flat: rows of tokens, one document after the other, no padding.
Only here are queries, keys and values scattered into [documents, longest], because only here do
rows meet each other. Padding stands behind the last token of its document, so the causal mask,
which no query may look past, hides it too; padded queries compute something that nobody gathers.
"""

import functools
from dataclasses import dataclass

import numpy as np

from ftops.engine.trainers.tiny.parameters import Array, Indices
from ftops.engine.trainers.tiny.sizes import HEAD_DIM

HIDDEN = -1e9  # added to the score of a key that a query may not see


@dataclass(frozen=True, slots=True)
class Grid:
    """Where flat rows stand in a padded [documents, longest] rectangle."""

    n_documents: int
    longest: int
    slots: Indices | None  # [rows] into documents * longest; None: no padding, a plain reshape

    def scatter(self, rows: Array) -> Array:
        """[rows, floats] -> [documents, longest, floats], zeros between."""
        floats = rows.shape[-1]
        if self.slots is None:
            return np.ascontiguousarray(rows).reshape(self.n_documents, self.longest, floats)
        padded = np.zeros((self.n_documents * self.longest, floats), dtype=rows.dtype)
        padded[self.slots] = rows
        return padded.reshape(self.n_documents, self.longest, floats)

    def gather(self, padded: Array) -> Array:
        """[documents, longest, …] -> [rows, floats]."""
        flat = padded.reshape(self.n_documents * self.longest, -1)
        return flat if self.slots is None else flat[self.slots]


def split_heads(padded: Array) -> Array:
    """[documents, longest, heads * HEAD_DIM] -> a view [documents, heads, longest, HEAD_DIM]."""
    documents, longest, _ = padded.shape
    return padded.reshape(documents, longest, -1, HEAD_DIM).transpose(0, 2, 1, 3)


@functools.lru_cache(maxsize=64)
def causal_bias(length: int) -> Array:
    """[length, length]: 0 where the key stands no later than the query, HIDDEN elsewhere."""
    return np.triu(np.full((length, length), HIDDEN, dtype=np.float32), 1)


def softmax(scores: Array) -> Array:
    """Shares along the last axis, computed in place."""
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=-1, keepdims=True)
    return scores


@dataclass(frozen=True, slots=True)
class Attended:
    """What the backward pass needs to see again; all by head."""

    q: Array  # [documents, heads, longest query, HEAD_DIM], turned and scaled
    k: Array  # [documents, heads, longest, HEAD_DIM], turned
    v: Array
    shares: Array  # [documents, heads, longest query, longest]: how much each query looks where
    out: Array  # [query rows, width]


def attend(q: Array, kv: Array, queries: Grid, keys: Grid, bias: Array) -> Attended:
    """Each row of q [query rows, width] reads kv [rows, 2 * width] of its own document.

    `bias` [longest query, longest], or with [documents, 1, …] in front, hides what comes later.
    """
    width = q.shape[1]
    padded = keys.scatter(kv)
    q_heads = split_heads(queries.scatter(q))
    k_heads, v_heads = split_heads(padded[..., :width]), split_heads(padded[..., width:])
    shares = q_heads @ k_heads.swapaxes(-1, -2)
    shares += bias
    softmax(shares)
    mixed = np.empty((queries.n_documents, queries.longest, width), dtype=q.dtype)
    np.matmul(shares, v_heads, out=split_heads(mixed))
    return Attended(q_heads, k_heads, v_heads, shares, queries.gather(mixed))


def attend_back(d_out: Array, seen: Attended, queries: Grid, keys: Grid) -> tuple[Array, Array]:
    """The gradients of q [query rows, width] and kv [rows, 2 * width] from that of the output."""
    n_rows, width = d_out.shape
    by_head = d_out.reshape(n_rows, -1, HEAD_DIM)
    # The softmax's own correction, sum(share * d_share), equals sum(out * d_out): shorter.
    correction = np.einsum("rhi,rhi->rh", by_head, seen.out.reshape(by_head.shape))
    d_heads = split_heads(queries.scatter(d_out))
    d_scores = d_heads @ seen.v.swapaxes(-1, -2)
    d_scores -= queries.scatter(correction).transpose(0, 2, 1)[..., None]
    d_scores *= seen.shares
    d_q = np.empty((queries.n_documents, queries.longest, width), dtype=d_out.dtype)
    d_kv = np.empty((keys.n_documents, keys.longest, 2 * width), dtype=d_out.dtype)
    np.matmul(d_scores, seen.k, out=split_heads(d_q))
    np.matmul(d_scores.swapaxes(-1, -2), seen.q, out=split_heads(d_kv[..., :width]))
    np.matmul(seen.shares.swapaxes(-1, -2), d_heads, out=split_heads(d_kv[..., width:]))
    return queries.gather(d_q), keys.gather(d_kv)
