"""Drawing the next token of every answer from its logits."""

from collections.abc import Mapping

import numpy as np

from ftops.engine.trainers.protocol import SamplingParams
from ftops.engine.trainers.tiny.parameters import Array, Indices


class Sampler:
    """Adjusts logits as `params` ask and draws from them; one random stream for each answer.

    An answer's stream depends on the seed and the answer's number alone, not on what is answered
    beside it.
    """

    def __init__(
        self, params: SamplingParams, numbers: list[int], allowed: Array, entropy: int
    ) -> None:
        self._params = params
        self._bias = allowed.copy()  # [vocabulary]: 0, or minus infinity for what must not occur
        for token, bias in params.logit_bias.items():
            self._bias[token] += np.float32(bias)
        self._streams = [np.random.default_rng([entropy, number]) for number in numbers]
        self._penalised = bool(params.presence_penalty or params.frequency_penalty)
        self._counts = np.zeros((len(numbers), len(allowed)), dtype=np.float32)

    def keep(self, rows: Indices) -> None:
        """Forget all answers but these."""
        self._streams = [self._streams[row] for row in rows]
        self._counts = self._counts[rows]

    def draw(self, logits: Array) -> tuple[Indices, Array]:
        """The drawn tokens [answers] and the adjusted logits [answers, vocabulary]."""
        logits = logits + self._bias
        if self._penalised:
            logits -= self._params.frequency_penalty * self._counts
            logits -= self._params.presence_penalty * (self._counts > 0)
        tokens = logits.argmax(axis=1) if self._params.temperature == 0 else self._pick(logits)
        if self._penalised:
            self._counts[np.arange(len(tokens)), tokens] += 1
        return tokens, logits

    def _pick(self, logits: Array) -> Indices:
        likeliest = logits.max(axis=1, keepdims=True)
        shares = np.exp((logits - likeliest).astype(np.float64) / self._params.temperature)
        order = np.argsort(-shares, axis=1, kind="stable")
        cumulative = np.cumsum(np.take_along_axis(shares, order, axis=1), axis=1)
        cumulative /= cumulative[:, -1:]
        # The nucleus: the likeliest tokens until their shares reach top_p, at least one.
        reach = np.array([np.searchsorted(row, self._params.top_p) for row in cumulative])
        last = np.minimum(reach, cumulative.shape[1] - 1)
        rows = np.arange(len(logits))
        points = np.array([stream.random() for stream in self._streams]) * cumulative[rows, last]
        picks = [
            np.searchsorted(row, point, "right")
            for row, point in zip(cumulative, points, strict=True)
        ]
        picked: Indices = order[rows, np.minimum(picks, last)]
        return picked


def log_shares(logits: Array) -> Array:
    """Natural logarithms of the softmax along the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    logs: Array = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return logs


def list_likeliest(row: Array, n: int) -> Mapping[int, float]:
    """The n likeliest tokens of one row of log shares, likeliest first."""
    best = np.argsort(-row, kind="stable")[:n]
    return {int(token): float(row[token]) for token in best if np.isfinite(row[token])}
