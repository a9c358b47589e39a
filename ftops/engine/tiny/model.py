"""The model: a decoder-only transformer, forward and backward written out by hand.

- rows are flat, [tokens of all documents, width]; only attention.py pads them
- RMSNorm without gains before attention, before the MLP, after the embedding and before the head
- rotary positions, no biases, ReLU² in the MLP, an output head that is not tied to the embedding
- the last layer computes queries, output and MLP, and the head its logits, only for rows that
  count in the loss: with short answers to long prompts that saves nearly all of both

`forward` returns a tape: the intermediate results that `backward` needs.
"""

from dataclasses import dataclass

import numpy as np

from ftops.engine.tiny.attention import (
    AttentionOutput,
    PaddedGrid,
    Rotations,
    attend,
    attend_backward,
    rotate,
)
from ftops.engine.tiny.batch import Pack
from ftops.engine.tiny.config import HEAD_DIM
from ftops.engine.tiny.parameters import Array, Indices, Parameters

_EPSILON = 1e-6


@dataclass(frozen=True, slots=True)
class NormOutput:
    """RMSNorm's output, and the factor of each row."""

    rows: Array
    factors: Array  # [rows, 1]


def norm(x: Array) -> NormOutput:
    """RMSNorm: scale every row to a root mean square of 1."""
    mean_square = np.einsum("ri,ri->r", x, x)[:, None] / x.shape[1]
    factors = 1 / np.sqrt(mean_square + x.dtype.type(_EPSILON))
    return NormOutput(x * factors, factors)


def norm_backward(d_rows: Array, output: NormOutput) -> Array:
    """The gradient of the input of `norm`; overwrites `d_rows`."""
    along = np.einsum("ri,ri->r", d_rows, output.rows)[:, None] / d_rows.shape[1]
    d_rows -= output.rows * along
    d_rows *= output.factors
    return d_rows


@dataclass(frozen=True, slots=True)
class QueryView:
    """The rows with queries in one layer, and their grid."""

    queries: Indices | None  # None: all rows
    rotations: Rotations  # of the queries, scaled by 1 / sqrt(HEAD_DIM)
    grid: PaddedGrid
    bias: Array


@dataclass(frozen=True, slots=True)
class LayerTape:
    """The intermediate results of one layer."""

    pack: Pack
    view: QueryView
    before: NormOutput  # all rows, before attention
    query_rows: Array  # the rows of `before` with queries
    attended: AttentionOutput
    between: NormOutput  # before the MLP
    positive: Array  # max(0, hidden)


@dataclass(frozen=True, slots=True)
class Tape:
    """The intermediate results of a forward pass."""

    embedded: NormOutput
    layers: list[LayerTape]
    final: NormOutput
    kept: Array | None  # [rows, 1] factors on the embeddings (dropout)


def forward(parameters: Parameters, pack: Pack, kept: Array | None = None) -> tuple[Array, Tape]:
    """Logits [counted rows, vocabulary] and the tape."""
    embedded = norm(parameters["embedding"].take(pack.tokens, axis=0))
    x = embedded.rows if kept is None else embedded.rows * kept
    tapes: list[LayerTape] = []
    rotations = pack.rotations * np.float32(HEAD_DIM**-0.5)
    all_rows = QueryView(None, rotations, pack.grid, pack.bias)
    counted = QueryView(pack.counted, rotations[pack.counted], pack.counted_grid, pack.counted_bias)
    for layer in range(parameters.shape.n_layers):
        view = counted if layer == parameters.shape.n_layers - 1 else all_rows
        x, tape = _layer(parameters, layer, x, pack, view)
        tapes.append(tape)
    final = norm(x)
    return final.rows @ parameters["head"], Tape(embedded, tapes, final, kept)


def _layer(
    parameters: Parameters, layer: int, x: Array, pack: Pack, view: QueryView
) -> tuple[Array, LayerTape]:
    width = x.shape[1]
    before = norm(x)
    qkv = parameters[f"{layer}.qkv"]
    if view.queries is None:
        query_rows = before.rows
        qkv_rows = before.rows @ qkv
        q, kv = qkv_rows[:, :width], qkv_rows[:, width:]
    else:
        query_rows = before.rows.take(view.queries, axis=0)
        q, kv = query_rows @ qkv[:, :width], before.rows @ qkv[:, width:]
        x = x.take(view.queries, axis=0)
    rotate(q, view.rotations)
    rotate(kv[:, :width], pack.rotations)
    attended = attend(q, kv, view.grid, pack.grid, view.bias)
    x = x + attended.out @ parameters[f"{layer}.out"]
    between = norm(x)
    positive = between.rows @ parameters[f"{layer}.up"]
    # A row of zeros: NumPy's maximum is twice as slow with a scalar.
    np.maximum(positive, np.zeros_like(positive[:1]), out=positive)
    x += (positive * positive) @ parameters[f"{layer}.down"]
    return x, LayerTape(pack, view, before, query_rows, attended, between, positive)


def backward(
    parameters: Parameters, gradients: Parameters, pack: Pack, tape: Tape, d_logits: Array
) -> None:
    """Overwrite `gradients` by those of a loss, from its gradient by the logits."""
    np.matmul(tape.final.rows.T, d_logits, out=gradients["head"])
    d_x = norm_backward(d_logits @ parameters["head"].T, tape.final)
    for layer in reversed(range(parameters.shape.n_layers)):
        d_x = _layer_backward(parameters, gradients, layer, d_x, tape.layers[layer])
    if tape.kept is not None:
        d_x *= tape.kept
    _embedding_backward(gradients["embedding"], pack.tokens, norm_backward(d_x, tape.embedded))


def _layer_backward(
    parameters: Parameters,
    gradients: Parameters,
    layer: int,
    d_x: Array,
    tape: LayerTape,
) -> Array:
    width, pack = d_x.shape[1], tape.pack
    # MLP: x += (max(0, between @ up))² @ down
    squares = tape.positive * tape.positive
    np.matmul(squares.T, d_x, out=gradients[f"{layer}.down"])
    d_hidden = np.matmul(2 * d_x, parameters[f"{layer}.down"].T, out=squares)
    d_hidden *= tape.positive
    np.matmul(tape.between.rows.T, d_hidden, out=gradients[f"{layer}.up"])
    d_x += norm_backward(d_hidden @ parameters[f"{layer}.up"].T, tape.between)
    # Attention: x += attend(q, kv) @ out
    np.matmul(tape.attended.out.T, d_x, out=gradients[f"{layer}.out"])
    d_attended = d_x @ parameters[f"{layer}.out"].T
    d_q, d_kv = attend_backward(d_attended, tape.attended, tape.view.grid, pack.grid)
    queries = tape.view.queries
    rotate(d_q, tape.view.rotations.conj())
    rotate(d_kv[:, :width], pack.rotations.conj())
    qkv, d_qkv = parameters[f"{layer}.qkv"], gradients[f"{layer}.qkv"]
    d_qkv[:, :width] = tape.query_rows.T @ d_q
    d_qkv[:, width:] = tape.before.rows.T @ d_kv
    d_before = d_kv @ qkv[:, width:].T
    if queries is None:
        d_before += d_q @ qkv[:, :width].T
        d_x += norm_backward(d_before, tape.before)
        return d_x
    d_before[queries] += d_q @ qkv[:, :width].T
    d_all = norm_backward(d_before, tape.before)
    d_all[queries] += d_x
    return d_all


def _embedding_backward(gradient: Array, tokens: Indices, d_rows: Array) -> None:
    """Sum the rows of equal tokens: sort, then sum each run (np.add.at is far slower)."""
    order = np.argsort(tokens, kind="stable")
    ordered = tokens[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    gradient[...] = 0
    gradient[ordered[starts]] = np.add.reduceat(d_rows.take(order, axis=0), starts, axis=0)
