"""Batches: the order of documents in an epoch, and the packs of a step.

A document is encoded once into a `TrainingExample`. An epoch is a permutation of the examples; a
step takes the next `batch_size` of them, sorted by length and split into packs of bounded size. A
pack is flat (without padding), with the positions of its rows, the rows that count in the loss, and
the grids of attention. All of this depends only on the seed and the step, so a checkpoint needs no
state of the data.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ftops.engine.tiny.attention import (
    MASKED,
    PaddedGrid,
    Rotations,
    causal_bias,
    get_rotations,
    make_grid,
)
from ftops.engine.tiny.config import CONTEXT_LENGTH
from ftops.engine.tiny.document import Document
from ftops.engine.tiny.parameters import Array, Indices, Tokens
from ftops.engine.tiny.tokenizer import Tokenizer

_PACK_TOKENS = 640  # approximate rows of one forward pass: they fit into the cache of a CPU
_PACK_SCORES = 1 << 19  # documents * longest²: the attention scores of one head


@dataclass(frozen=True, slots=True)
class TrainingExample:
    """One encoded document: row i has `tokens[i]` as input and `targets[i]` as target."""

    tokens: Tokens
    targets: Tokens
    weights: NDArray[np.float32]  # of each target in the loss

    @property
    def n_tokens(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True, slots=True)
class Pack:
    """Documents, flat, for one forward and backward pass; R rows count in the loss."""

    tokens: Indices  # [rows]
    positions: Indices  # [rows], from 0 in each document
    rotations: Rotations  # of `positions`
    grid: PaddedGrid  # of all rows
    bias: Array  # the causal mask for `grid`
    counted: Indices  # [R] rows that count
    counted_grid: PaddedGrid
    counted_bias: Array  # [documents, 1, most counted in a document, longest]
    targets: Indices  # [R]
    weights: NDArray[np.float32]  # [R]
    owners: Indices  # [R] the document of each counted row
    n_documents: int


def make_pack(examples: Sequence[TrainingExample]) -> Pack:
    """Concatenate the examples; each needs a row that counts in the loss."""
    lengths = np.array([example.n_tokens for example in examples])
    owners = np.repeat(np.arange(len(examples)), lengths)
    positions = _count_up(lengths)
    weights = np.concatenate([example.weights for example in examples])
    counted = np.flatnonzero(weights)
    n_counted = np.bincount(owners[counted], minlength=len(examples))
    grid = make_grid(lengths, positions)
    counted_grid = make_grid(n_counted, _count_up(n_counted))
    query_positions = counted_grid.pad(positions[counted][:, None])
    later = np.arange(grid.longest) > query_positions
    return Pack(
        tokens=_join([example.tokens for example in examples]),
        positions=positions,
        rotations=get_rotations(positions),
        grid=grid,
        bias=causal_bias(grid.longest),
        counted=counted,
        counted_grid=counted_grid,
        counted_bias=(later * np.float32(MASKED))[:, None],
        targets=_join([example.targets for example in examples])[counted],
        weights=weights[counted],
        owners=owners[counted],
        n_documents=len(examples),
    )


def _join(pieces: Sequence[Tokens]) -> Indices:
    return np.concatenate(pieces).astype(np.intp)


def _count_up(lengths: Indices) -> Indices:
    """0, 1, … for each length: [3, 2] -> 0 1 2 0 1."""
    ends = np.cumsum(lengths)
    return np.arange(int(ends[-1])) - np.repeat(ends - lengths, lengths)


@functools.lru_cache(maxsize=2)
def shuffle_epoch(n_examples: int, seed: int, epoch: int) -> Indices:
    """The order of the examples in an epoch (from 1)."""
    return np.random.default_rng([seed, 1, epoch]).permutation(n_examples)


def make_packs(examples: Sequence[TrainingExample]) -> Iterator[Pack]:
    """Packs of the examples that have a row in the loss."""
    examples = [example for example in examples if example.weights.any()]
    for rows in group_by_length([(example.n_tokens,) for example in examples]):
        yield make_pack([examples[row] for row in rows])


def group_by_length(rows: Sequence[tuple[int, ...]]) -> Iterator[list[int]]:
    """The indices of the rows in each pack, which are of similar lengths.

    A row is the lengths of its documents, which stay in one pack.
    """
    total = sum(map(sum, rows))
    enough = total / max(1, round(total / _PACK_TOKENS))  # packs of equal size
    waiting: list[int] = []
    n_tokens = n_documents = 0
    for row in sorted(range(len(rows)), key=lambda row: max(rows[row])):
        scores = (n_documents + len(rows[row])) * max(rows[row]) ** 2
        if waiting and (n_tokens >= enough or scores > _PACK_SCORES):
            yield waiting
            waiting, n_tokens, n_documents = [], 0, 0
        waiting.append(row)
        n_tokens += sum(rows[row])
        n_documents += len(rows[row])
    if waiting:
        yield waiting


def encode_examples(documents: Sequence[Document], tokenizer: Tokenizer) -> list[TrainingExample]:
    """One example for each document.

    A document of more than CONTEXT_LENGTH tokens loses its first ones: the beginning of the prompt,
    not the answer.
    """
    return [_encode_example(document, tokenizer) for document in documents]


def _encode_example(document: Document, tokenizer: Tokenizer) -> TrainingExample:
    ids, weights = tokenizer.encode_document(document)
    ids, weights = ids[-CONTEXT_LENGTH:], weights[-CONTEXT_LENGTH:]
    # Every document starts with an end token, so that its first token is predicted, too, and an
    # empty prompt can be continued.
    start = np.array([tokenizer.end_of_text], dtype=ids.dtype)
    if not len(ids):  # an empty document: one row of weight 0
        return TrainingExample(start, start, np.zeros(1, dtype=np.float32))
    return TrainingExample(np.concatenate([start, ids[:-1]]), ids, weights)
