"""The KV cache: keys and values of all tokens so far, so that each new one costs one row."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ftops.engine.trainers.tiny.attention import HIDDEN, attend, softmax
from ftops.engine.trainers.tiny.batches import Example, Pack, make_pack
from ftops.engine.trainers.tiny.model import norm
from ftops.engine.trainers.tiny.parameters import Array, Indices, Tokens
from ftops.engine.trainers.tiny.products import Products
from ftops.engine.trainers.tiny.rotary import Turns, find_turns, rotate
from ftops.engine.trainers.tiny.sizes import HEAD_DIM

_GROW_BY = 32  # tokens of room


@dataclass(slots=True)
class Cache:
    """Keys and values [layers, 2, answers, heads, room, HEAD_DIM], and how far each is filled."""

    stored: Array
    lengths: Indices  # [answers]


def read_prompts(products: Products, prompts: Sequence[Tokens]) -> tuple[Array, Cache]:
    """Logits [prompts, vocabulary] of what follows each prompt, and the filled cache."""
    examples = []
    for tokens in prompts:
        weights = np.zeros(len(tokens), dtype=np.float32)
        weights[-1] = 1  # the last row alone is asked for its logits
        examples.append(Example(tokens, tokens, weights))
    pack = make_pack(examples)
    shape = products.parameters.shape
    room = pack.grid.longest + _GROW_BY
    stored = np.zeros(
        (shape.n_layers, 2, len(prompts), shape.n_heads, room, HEAD_DIM), dtype=np.float32
    )
    x = _embed(products, pack.tokens)
    for layer in range(shape.n_layers):
        is_last = layer == shape.n_layers - 1
        qkv = _ask(products, layer, x, pack.turns)
        mixed = _read_each(qkv, pack, stored[layer], is_last=is_last)
        x = _go_on(products, layer, x.take(pack.counted, axis=0) if is_last else x, mixed)
    cache = Cache(stored, np.array([len(tokens) for tokens in prompts]))
    return products.multiply(norm(x).rows, "head"), cache


def read_token(products: Products, cache: Cache, tokens: Indices) -> Array:
    """Append one token to each answer; logits [answers, vocabulary] of what follows."""
    longest = int(cache.lengths.max()) + 1
    if longest > cache.stored.shape[4]:
        pad = [(0, 0)] * 4 + [(0, max(_GROW_BY, longest // 2)), (0, 0)]
        cache.stored = np.pad(cache.stored, pad)
    positions = cache.lengths
    cache.lengths = positions + 1
    bias = (np.arange(longest) > positions[:, None]) * np.float32(HIDDEN)
    turns = find_turns(positions)
    x = _embed(products, tokens)
    for layer in range(products.parameters.shape.n_layers):
        qkv = _ask(products, layer, x, turns)
        x = _go_on(products, layer, x, _look_back(qkv, cache.stored[layer], positions, bias))
    return products.multiply(norm(x).rows, "head")


# As in model.py, but nothing is kept for a way back, and there are few rows at a time.


def _embed(products: Products, tokens: Indices) -> Array:
    return norm(products.parameters["embedding"].take(tokens, axis=0)).rows


def _ask(products: Products, layer: int, x: Array, turns: Turns) -> Array:
    """Queries, keys and values [rows, 3 * width], turned; queries are scaled."""
    width = x.shape[1]
    qkv = products.multiply(norm(x).rows, f"{layer}.qkv")
    qkv[:, :width] *= np.float32(HEAD_DIM**-0.5)
    rotate(qkv[:, : 2 * width], turns)
    return qkv


def _read_each(qkv: Array, pack: Pack, stored: Array, *, is_last: bool) -> Array:
    """What the rows of prompts find in their own; in the last layer only the last rows look."""
    width = qkv.shape[1] // 3
    q, kv = qkv[:, :width], qkv[:, width:]
    grid, bias = pack.grid, pack.bias
    if is_last:
        q, grid, bias = q.take(pack.counted, axis=0), pack.counted_grid, pack.counted_bias
    attended = attend(q, kv, grid, pack.grid, bias)
    stored[0, :, :, : pack.grid.longest] = attended.k
    stored[1, :, :, : pack.grid.longest] = attended.v
    return attended.out


def _look_back(qkv: Array, stored: Array, positions: Indices, bias: Array) -> Array:
    """What one new row of each answer finds in all before it; its key and value are stored."""
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


def _go_on(products: Products, layer: int, x: Array, mixed: Array) -> Array:
    """The rest of a layer: attention's output and the MLP, each added to x."""
    x = x + products.multiply(mixed, f"{layer}.out")
    hidden = products.multiply(norm(x).rows, f"{layer}.up")
    np.maximum(hidden, np.zeros_like(hidden[:1]), out=hidden)  # faster than against a number
    hidden *= hidden
    x += products.multiply(hidden, f"{layer}.down")
    return x
