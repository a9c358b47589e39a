"""Cross entropy over the rows that count, its gradient, and how often the model was right."""

from dataclasses import dataclass

import numpy as np

from ftops.engine.trainers.tiny.attention import softmax
from ftops.engine.trainers.tiny.batches import Pack
from ftops.engine.trainers.tiny.parameters import Array


@dataclass(frozen=True, slots=True)
class Tally:
    """Sums over trained tokens, so that packs and steps can be added up.

    `loss` is weighted and in nats; the counts look at the tokens of weight 1 alone (completions),
    so that they mean the same with and without a prompt loss weight.
    """

    loss: float = 0.0
    weight: float = 0.0
    tokens: int = 0
    right_tokens: int = 0
    sequences: int = 0
    right_sequences: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.loss + other.loss,
            self.weight + other.weight,
            self.tokens + other.tokens,
            self.right_tokens + other.right_tokens,
            self.sequences + other.sequences,
            self.right_sequences + other.right_sequences,
        )

    @property
    def mean_loss(self) -> float:
        return self.loss / self.weight if self.weight else 0.0

    @property
    def token_accuracy(self) -> float:
        return self.right_tokens / self.tokens if self.tokens else 0.0

    @property
    def sequence_accuracy(self) -> float:
        return self.right_sequences / self.sequences if self.sequences else 0.0


def score(logits: Array, pack: Pack, *, total_weight: float) -> tuple[Tally, Array]:
    """The tally, and the gradient of (sum of weighted losses) / total_weight; reuses `logits`.

    `total_weight` is that of the whole step, which may hold several packs.
    """
    rows = np.arange(len(logits))
    right = logits.argmax(axis=1) == pack.targets
    shares = softmax(logits)
    picked = shares[rows, pack.targets]
    losses = -np.log(np.maximum(picked, np.finfo(picked.dtype).tiny))
    gradient = shares
    gradient[rows, pack.targets] -= 1
    gradient *= (pack.weights.astype(gradient.dtype) / total_weight)[:, None]
    return _tally(losses, right, pack), gradient


def _tally(losses: Array, right: np.typing.NDArray[np.bool_], pack: Pack) -> Tally:
    whole = pack.weights == 1
    owners = pack.owners[whole]
    answered = np.bincount(owners, minlength=pack.n_documents)
    wrong = np.bincount(owners[~right[whole]], minlength=pack.n_documents)
    return Tally(
        loss=float((losses * pack.weights).sum(dtype=np.float64)),
        weight=float(pack.weights.sum(dtype=np.float64)),
        tokens=len(owners),
        right_tokens=int(right[whole].sum()),
        sequences=int((answered > 0).sum()),
        right_sequences=int(((answered > 0) & (wrong == 0)).sum()),
    )
