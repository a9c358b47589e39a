"""The weights: one flat vector, and a named view into it for each tensor.

The optimizer, clipping and checkpoints use the vector; the model uses the views. Gradients have the
same layout.
"""

from collections.abc import Mapping
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ftops.engine.tiny.config import ModelShape

Array: TypeAlias = NDArray[np.floating[Any]]  # float32; float64 when gradients are checked
Indices: TypeAlias = NDArray[np.intp]
Tokens: TypeAlias = NDArray[np.uint16]  # vocabularies are far smaller than 65,536


def list_tensors(shape: ModelShape) -> dict[str, tuple[int, ...]]:
    """The name and shape of every weight tensor, in the order of the flat vector."""
    width = shape.width
    tensors: dict[str, tuple[int, ...]] = {"embedding": (shape.vocab_size, width)}
    for layer in range(shape.n_layers):
        tensors[f"{layer}.qkv"] = (width, 3 * width)
        tensors[f"{layer}.out"] = (width, width)
        tensors[f"{layer}.up"] = (width, shape.hidden)
        tensors[f"{layer}.down"] = (shape.hidden, width)
    tensors["head"] = (width, shape.vocab_size)
    return tensors


def count_parameters(shape: ModelShape) -> int:
    """The number of trained parameters."""
    return sum(int(np.prod(dims)) for dims in list_tensors(shape).values())


class Parameters:
    """A flat vector with `views` into it; also used for gradients and moments."""

    def __init__(self, shape: ModelShape, flat: Array) -> None:
        self.shape = shape
        self.flat = flat
        self.views: Mapping[str, Array] = _split(shape, flat)

    @classmethod
    def zeros(cls, shape: ModelShape, dtype: DTypeLike = np.float32) -> Self:
        return cls(shape, np.zeros(count_parameters(shape), dtype=dtype))

    def __getitem__(self, name: str) -> Array:
        return self.views[name]


def _split(shape: ModelShape, flat: Array) -> dict[str, Array]:
    views: dict[str, Array] = {}
    start = 0
    for name, dims in list_tensors(shape).items():
        length = int(np.prod(dims))
        views[name] = flat[start : start + length].reshape(dims)
        start += length
    return views


def init_parameters(shape: ModelShape, seed: int) -> Parameters:
    """Random weights that make the model an averaging bag of words.

    Queries start at zero, so every token attends equally to all tokens before it; the last matrix
    of each MLP starts at zero, so the MLPs have no effect on that average at first. Embeddings
    start small: Adam moves all weights at the same rate, so training soon dominates a small one,
    and words differ by their effect on the answer rather than by their random start. On 720 rows in
    three classes this last point alone raised the accuracy on unseen rows from 0.80 to 0.94.
    """
    rng = np.random.default_rng([seed, 0])
    parameters = Parameters.zeros(shape)
    width = shape.width
    for name, view in parameters.views.items():
        kind = name.split(".")[-1]
        if kind == "down":
            continue
        scale = {"embedding": 0.01, "head": 0.02}.get(kind, width**-0.5)
        view[...] = rng.standard_normal(view.shape, dtype=np.float32) * np.float32(scale)
        if kind == "qkv":
            view[:, :width] = 0
    return parameters
