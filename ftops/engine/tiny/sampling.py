"""Samples the next token of every answer from its logits, by the parameters of its request."""

from collections.abc import Mapping, Sequence

import numpy as np

from ftops.engine.tiny.parameters import Array, Indices
from ftops.engine.trainer import SamplingParams


class Sampler:
    """The sampling parameters and the random generator of one answer.

    The generator depends on the seed and the answer's number alone, not on the rest of the batch.
    """

    def __init__(self, params: SamplingParams, n_tokens: int, *, entropy: int, number: int) -> None:
        self.params = params
        self.rng = np.random.default_rng([entropy, number])
        self._bias: Array | None = None
        if params.logit_bias:
            self._bias = np.zeros(n_tokens, dtype=np.float32)
            for token, bias in params.logit_bias.items():
                self._bias[token] += np.float32(bias)
        penalised = params.presence_penalty or params.frequency_penalty
        self._counts = np.zeros(n_tokens, dtype=np.float32) if penalised else None
        self.is_plain = self._bias is None and self._counts is None  # does not change logits

    def adjust(self, logits: Array) -> None:
        """Apply bias and penalties to one row of logits."""
        if self._bias is not None:
            logits += self._bias
        if self._counts is not None:
            logits -= self.params.frequency_penalty * self._counts
            logits -= self.params.presence_penalty * (self._counts > 0)

    def count(self, token: int) -> None:
        if self._counts is not None:
            self._counts[token] += 1


def sample_tokens(logits: Array, samplers: Sequence[Sampler]) -> Indices:
    """The next token of each answer; adjusts `logits` [answers, vocabulary] in place."""
    special = [place for place, draw in enumerate(samplers) if not draw.is_plain]
    for place in special:
        samplers[place].adjust(logits[place])
    tokens: Indices = logits.argmax(axis=1)
    warm = [place for place, draw in enumerate(samplers) if draw.params.temperature > 0]
    if len(warm) == len(samplers):
        tokens = _pick(logits, samplers)
    elif warm:
        tokens[warm] = _pick(logits[warm], [samplers[place] for place in warm])
    for place in special:
        samplers[place].count(int(tokens[place]))
    return tokens


def _pick(logits: Array, samplers: Sequence[Sampler]) -> Indices:
    temperatures = np.array([draw.params.temperature for draw in samplers])
    probabilities = logits - logits.max(axis=1, keepdims=True).astype(np.float64)
    probabilities /= temperatures[:, None]
    np.exp(probabilities, out=probabilities)
    for row, draw in zip(probabilities, samplers, strict=True):
        if draw.params.top_p < 1:
            _keep_nucleus(row, draw.params.top_p)
    cumulative = np.cumsum(probabilities, axis=1)
    totals = cumulative[:, -1]
    points = np.array([draw.rng.random() for draw in samplers]) * totals
    points = np.minimum(points, np.nextafter(totals, 0))  # a product may be rounded up
    picked: Indices = (cumulative <= points[:, None]).sum(axis=1)
    return picked


def _keep_nucleus(probabilities: Array, top_p: float) -> None:
    """Keep the most likely tokens until their probabilities reach `top_p`, at least one."""
    order = np.argsort(-probabilities, kind="stable")
    cumulative = np.cumsum(probabilities[order])
    reach = int(np.searchsorted(cumulative, top_p * cumulative[-1]))
    probabilities[order[reach + 1 :]] = 0


def log_softmax(logits: Array) -> Array:
    """Natural logarithm of the softmax along the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    logs: Array = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return logs


def list_top_tokens(row: Array, n: int) -> Mapping[int, float]:
    """The n most likely tokens of one row of log probabilities, most likely first."""
    best = np.argsort(-row, kind="stable")[:n]
    return {int(token): float(row[token]) for token in best if np.isfinite(row[token])}
