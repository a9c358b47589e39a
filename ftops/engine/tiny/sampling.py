"""Drawing the next token of every answer from its logits; each answer has parameters of its own."""

from collections.abc import Mapping, Sequence

import numpy as np

from ftops.engine.tiny.parameters import Array, Indices
from ftops.engine.trainer import SamplingParams


class Sampler:
    """How one answer's tokens are drawn, and its own stream of chance.

    The stream depends on the seed and the answer's number alone, not on what is answered beside
    it.
    """

    def __init__(self, params: SamplingParams, n_tokens: int, *, entropy: int, number: int) -> None:
        self.params = params
        self.stream = np.random.default_rng([entropy, number])
        self._bias: Array | None = None
        if params.logit_bias:
            self._bias = np.zeros(n_tokens, dtype=np.float32)
            for token, bias in params.logit_bias.items():
                self._bias[token] += np.float32(bias)
        penalised = params.presence_penalty or params.frequency_penalty
        self._counts = np.zeros(n_tokens, dtype=np.float32) if penalised else None
        self.is_plain = self._bias is None and self._counts is None  # leaves logits as they are

    def adjust(self, logits: Array) -> None:
        """Change one row of logits as the parameters ask."""
        if self._bias is not None:
            logits += self._bias
        if self._counts is not None:
            logits -= self.params.frequency_penalty * self._counts
            logits -= self.params.presence_penalty * (self._counts > 0)

    def remember(self, token: int) -> None:
        if self._counts is not None:
            self._counts[token] += 1


def sample_tokens(logits: Array, samplers: Sequence[Sampler]) -> Indices:
    """The next token of each answer; `logits` [answers, vocabulary] are adjusted in place."""
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
        samplers[place].remember(int(tokens[place]))
    return tokens


def _pick(logits: Array, samplers: Sequence[Sampler]) -> Indices:
    temperatures = np.array([draw.params.temperature for draw in samplers])
    shares = logits - logits.max(axis=1, keepdims=True).astype(np.float64)
    shares /= temperatures[:, None]
    np.exp(shares, out=shares)
    for row, draw in zip(shares, samplers, strict=True):
        if draw.params.top_p < 1:
            _keep_nucleus(row, draw.params.top_p)
    cumulative = np.cumsum(shares, axis=1)
    whole = cumulative[:, -1]
    points = np.array([draw.stream.random() for draw in samplers]) * whole
    points = np.minimum(points, np.nextafter(whole, 0))  # a product may be rounded up
    picked: Indices = (cumulative <= points[:, None]).sum(axis=1)
    return picked


def _keep_nucleus(shares: Array, top_p: float) -> None:
    """Leave the likeliest tokens until their shares reach `top_p`, at least one."""
    order = np.argsort(-shares, kind="stable")
    cumulative = np.cumsum(shares[order])
    reach = int(np.searchsorted(cumulative, top_p * cumulative[-1]))
    shares[order[reach + 1 :]] = 0


def log_softmax(logits: Array) -> Array:
    """Natural logarithms of the softmax along the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    logs: Array = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return logs


def list_top_tokens(row: Array, n: int) -> Mapping[int, float]:
    """The n likeliest tokens of one row of log shares, likeliest first."""
    best = np.argsort(-row, kind="stable")[:n]
    return {int(token): float(row[token]) for token in best if np.isfinite(row[token])}
