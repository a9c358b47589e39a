"""The KV cache: keys and values of all tokens so far, so that each new one costs one row."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ftops.engine.trainers.tiny.attention import HIDDEN, softmax
from ftops.engine.trainers.tiny.batches import Example, make_pack
from ftops.engine.trainers.tiny.model import forward, norm
from ftops.engine.trainers.tiny.parameters import Array, Indices, Parameters, Tokens
from ftops.engine.trainers.tiny.products import Products
from ftops.engine.trainers.tiny.rotary import find_turns, rotate
from ftops.engine.trainers.tiny.sizes import HEAD_DIM

_GROW_BY = 32  # tokens of room


@dataclass(slots=True)
class Cache:
    """Keys and values [layers, 2, answers, heads, room, HEAD_DIM], and how far each is filled."""

    stored: Array
    lengths: Indices  # [answers]


def read_prompts(parameters: Parameters, prompts: Sequence[Tokens]) -> tuple[Array, Cache]:
    """Logits [prompts, vocabulary] of what follows each prompt, and the filled cache."""
    examples = []
    for tokens in prompts:
        weights = np.zeros(len(tokens), dtype=np.float32)
        weights[-1] = 1  # the last row alone is asked for its logits
        examples.append(Example(tokens, tokens, weights))
    pack = make_pack(examples)
    logits, tape = forward(parameters, pack)
    shape = parameters.shape
    room = pack.grid.longest + _GROW_BY
    stored = np.zeros(
        (shape.n_layers, 2, len(prompts), shape.n_heads, room, HEAD_DIM), dtype=np.float32
    )
    for layer, layer_tape in enumerate(tape.layers):
        stored[layer, 0, :, :, : pack.grid.longest] = layer_tape.attended.k
        stored[layer, 1, :, :, : pack.grid.longest] = layer_tape.attended.v
    return logits, Cache(stored, np.array([len(tokens) for tokens in prompts]))


def read_token(products: Products, cache: Cache, tokens: Indices) -> Array:
    """Append one token to each answer; logits [answers, vocabulary] of what follows."""
    longest = int(cache.lengths.max()) + 1
    if longest > cache.stored.shape[4]:
        pad = [(0, 0)] * 4 + [(0, max(_GROW_BY, longest // 2)), (0, 0)]
        cache.stored = np.pad(cache.stored, pad)
    positions = cache.lengths
    cache.lengths = positions + 1
    bias = (np.arange(longest) > positions[:, None]) * np.float32(HIDDEN)
    parameters = products.parameters
    x = norm(parameters["embedding"][tokens]).rows
    for layer in range(parameters.shape.n_layers):
        keys, values = cache.stored[layer]
        x = _read_layer(products, layer, x, (keys, values, positions, bias))
    return products.multiply(norm(x).rows, "head")


def _read_layer(
    products: Products, layer: int, x: Array, context: tuple[Array, Array, Indices, Array]
) -> Array:
    keys, values, positions, bias = context
    n_rows, width = x.shape
    qkv = products.multiply(norm(x).rows, f"{layer}.qkv")
    qkv[:, :width] *= np.float32(HEAD_DIM**-0.5)
    rotate(qkv[:, : 2 * width], find_turns(positions))
    q, k, v = qkv.reshape(n_rows, 3, -1, HEAD_DIM).transpose(1, 0, 2, 3)
    rows = np.arange(n_rows)
    keys[rows, :, positions] = k
    values[rows, :, positions] = v
    longest = bias.shape[1]
    scores = (q[:, :, None] @ keys[:, :, :longest].swapaxes(-1, -2)) + bias[:, None, None]
    mixed = softmax(scores) @ values[:, :, :longest]
    x = x + products.multiply(mixed.reshape(n_rows, width), f"{layer}.out")
    hidden = products.multiply(norm(x).rows, f"{layer}.up")
    np.maximum(hidden, np.zeros_like(hidden[:1]), out=hidden)  # faster than against a number
    hidden *= hidden
    return x + products.multiply(hidden, f"{layer}.down")
