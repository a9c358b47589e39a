"""AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) with gradient clipping, and the schedule.

The learning rate warms up linearly and then decays by half a cosine. Updates are in place on flat
vectors: NumPy makes a pass over memory for each operation, so they run in blocks that stay in the
CPU's cache, about three times as fast at a million parameters.
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from ftops.engine.tiny.parameters import Array

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.98, 1e-8
_BLOCK = 1 << 15  # floats; six of them are in use at once


@dataclass(slots=True)
class AdamMoments:
    """Adam's decaying sums of the gradient and of its square."""

    sum: Array
    square_sum: Array

    @classmethod
    def zeros(cls, like: Array) -> Self:
        return cls(np.zeros_like(like), np.zeros_like(like))


def gradient_scale(gradient: Array, max_norm: float) -> float:
    """The factor that clips the gradient to the norm `max_norm`."""
    norm = float(np.sqrt(np.dot(gradient, gradient)))
    return min(1.0, max_norm / norm) if norm > 0 else 1.0


@dataclass(frozen=True, slots=True)
class AdamStep:
    """The settings of one optimizer step (from 1)."""

    step: int
    learning_rate: float
    weight_decay: float  # a step decays weights by learning_rate * weight_decay
    gradient_factor: float = 1.0  # see gradient_scale


def update_weights(weights: Array, gradient: Array, moments: AdamMoments, update: AdamStep) -> None:
    """One AdamW step on all weights."""
    # With m' = m / (1 - beta 1) and v' = v / (1 - beta 2) in place of Adam's m and v, constants
    # leave the loop: fewer passes over memory.
    root_factor = ((1 - _BETA_2) / (1 - _BETA_2**update.step)) ** 0.5
    rate = update.learning_rate * (1 - _BETA_1) / (1 - _BETA_1**update.step) / root_factor
    epsilon = _EPSILON / root_factor
    decay = 1 - update.learning_rate * update.weight_decay
    scratch, root = np.empty((2, min(_BLOCK, len(weights))), dtype=weights.dtype)
    for start in range(0, len(weights), _BLOCK):
        piece = slice(start, start + _BLOCK)
        g, m, v, w = gradient[piece], moments.sum[piece], moments.square_sum[piece], weights[piece]
        a, b = scratch[: len(g)], root[: len(g)]
        np.multiply(g, update.gradient_factor, out=a)
        np.multiply(a, a, out=b)
        m *= _BETA_1
        v *= _BETA_2
        m += a
        v += b
        np.sqrt(v, out=b)
        b += epsilon
        np.divide(m, b, out=a)
        a *= rate
        w *= decay
        w -= a


_WARM_UP_SHARE = 0.05  # of all steps
_FINAL_SCALE = 0.02  # at the last step


def learning_rate_scale(step: int, n_steps: int) -> float:
    """The factor of the peak learning rate at a step (from 1)."""
    n_warm_up = max(1, round(_WARM_UP_SHARE * n_steps))
    if step <= n_warm_up:
        return step / n_warm_up
    progress = (step - n_warm_up) / max(1, n_steps - n_warm_up)
    return _FINAL_SCALE + (1 - _FINAL_SCALE) * 0.5 * (1 + math.cos(math.pi * progress))
