"""The two losses over the rows that count, with their gradients, and how often the model was right.

Supervised: cross entropy. Preferences: direct preference optimization (Rafailov et al. 2023,
arXiv 2305.18290), whose gradient is that of cross entropy with a weight for each answer, negative
for the one that was not preferred.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ftops.engine.tiny.attention import softmax
from ftops.engine.tiny.batch import Pack, TrainingExample, make_packs
from ftops.engine.tiny.model import backward, forward
from ftops.engine.tiny.parameters import Array, Parameters

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class StepTotals:
    """Sums over trained tokens, so that packs and steps can be added up.

    `loss` is weighted and in nats; the counts look at the tokens of weight 1 alone (completions),
    so that they mean the same with and without a prompt loss weight. Of pairs, `weight` counts the
    pairs, and the tokens are those of the preferred answers.
    """

    loss: float = 0.0
    weight: float = 0.0
    tokens: int = 0
    right_tokens: int = 0
    sequences: int = 0
    right_sequences: int = 0
    pairs: int = 0
    won_pairs: int = 0  # the preferred answer has gained more than the other
    margin: float = 0.0  # by so much, times beta

    def __add__(self, other: Self) -> Self:
        return type(self)(
            self.loss + other.loss,
            self.weight + other.weight,
            self.tokens + other.tokens,
            self.right_tokens + other.right_tokens,
            self.sequences + other.sequences,
            self.right_sequences + other.right_sequences,
            self.pairs + other.pairs,
            self.won_pairs + other.won_pairs,
            self.margin + other.margin,
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

    @property
    def reward_accuracy(self) -> float | None:
        return self.won_pairs / self.pairs if self.pairs else None

    @property
    def reward_margin(self) -> float | None:
        return self.margin / self.pairs if self.pairs else None


@dataclass(frozen=True, slots=True)
class _RowLosses:
    """What the model made of each counted row."""

    losses: Array  # [R] nats
    right: Mask  # [R]
    gradient: Array  # [R, vocabulary] of each row's loss by its logits


def _cross_entropy(logits: Array, pack: Pack) -> _RowLosses:
    """Reuses `logits`."""
    rows = np.arange(len(logits))
    right = logits.argmax(axis=1) == pack.targets
    shares = softmax(logits)
    picked = shares[rows, pack.targets]
    losses = -np.log(np.maximum(picked, np.finfo(picked.dtype).tiny))
    shares[rows, pack.targets] -= 1
    return _RowLosses(losses, right, shares)


def cross_entropy_loss(
    logits: Array, pack: Pack, *, total_weight: float
) -> tuple[StepTotals, Array]:
    """The tally, and the gradient of (sum of weighted losses) / total_weight; reuses `logits`.

    `total_weight` is that of the whole step, which may hold several packs.
    """
    row_losses = _cross_entropy(logits, pack)
    gradient = row_losses.gradient
    gradient *= (pack.weights.astype(gradient.dtype) / total_weight)[:, None]
    tokens, sequences = _count_right(row_losses.right, pack.weights == 1, pack)
    loss = float((row_losses.losses * pack.weights).sum(dtype=np.float64))
    weight = float(pack.weights.sum(dtype=np.float64))
    return StepTotals(loss, weight, *tokens, *sequences), gradient


def dpo_loss(
    logits: Array, pack: Pack, references: NDArray[np.float64], *, beta: float, n_pairs: int
) -> tuple[StepTotals, Array]:
    """The tally, and the gradient of the mean over the step's `n_pairs` of

        -log sigmoid(beta * (log p(preferred) - log p(other) - reference))

    Documents 2i and 2i + 1 of the pack are the preferred and the other answer of pair i;
    `references` [pairs] is log p(preferred) - log p(other) by the reference model. Reuses `logits`.
    """
    row_losses = _cross_entropy(logits, pack)
    margins = beta * (_sum_margins(row_losses.losses, pack) - references)
    # How hard each pair still pulls at its answers: beta * sigmoid(-margin).
    pull = beta * np.exp(-np.logaddexp(0, margins)) / n_pairs
    by_document = np.stack([pull, -pull], axis=1).reshape(-1)
    gradient = row_losses.gradient
    gradient *= (by_document[pack.owners] * pack.weights).astype(gradient.dtype)[:, None]
    tokens, sequences = _count_right(row_losses.right, pack.owners % 2 == 0, pack)
    totals = StepTotals(
        float(np.logaddexp(0, -margins).sum()),
        len(margins),
        *tokens,
        *sequences,
        pairs=len(margins),
        won_pairs=int((margins > 0).sum()),
        margin=float(margins.sum()),
    )
    return totals, gradient


def compute_margins(logits: Array, pack: Pack) -> NDArray[np.float64]:
    """[pairs] log p(preferred) - log p(other) of a pack as `prefer` takes it; reuses `logits`."""
    return _sum_margins(_cross_entropy(logits, pack).losses, pack)


def _sum_margins(losses: Array, pack: Pack) -> NDArray[np.float64]:
    answers: NDArray[np.float64] = np.zeros(pack.n_documents)
    answers += np.bincount(pack.owners, losses * pack.weights, minlength=pack.n_documents)
    return answers[1::2] - answers[0::2]


def _count_right(right: Mask, looked_at: Mask, pack: Pack) -> tuple[tuple[int, int], ...]:
    """(tokens, right ones) and (documents, those all right) among the rows looked at."""
    owners = pack.owners[looked_at]
    answered = np.bincount(owners, minlength=pack.n_documents)
    wrong = np.bincount(owners[~right[looked_at]], minlength=pack.n_documents)
    whole = (answered > 0) & (wrong == 0)
    return (len(owners), int(right[looked_at].sum())), (int((answered > 0).sum()), int(whole.sum()))


_HEAP_BYTES = 31 << 20


def tune_malloc() -> None:
    """Make glibc's malloc keep what NumPy frees; without effect on other systems.

    A step frees its tape, tens of megabytes, and the next step wants them again. By default they
    go back to the kernel in between, and getting them costs a fifth of the time in page faults.
    Freeing one block of just under 32 MiB, never touched, raises malloc's threshold for that.
    """
    np.empty(_HEAP_BYTES, dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Dropout:
    """Hides some of the tokens that are only read, so that no single word decides alone."""

    share: float
    rng: np.random.Generator

    def draw(self, pack: Pack) -> Array | None:
        """A factor of 0 or 1 for each row's embedding [rows, 1]; None when nothing is hidden."""
        if not self.share:
            return None
        kept = self.rng.random(len(pack.tokens), dtype=np.float32) >= self.share
        kept[pack.counted] = True
        return kept.astype(np.float32)[:, None]


def compute_gradients(
    parameters: Parameters,
    gradients: Parameters,
    batch: Sequence[TrainingExample],
    dropout: Dropout | None = None,
) -> StepTotals:
    """Overwrite `gradients` with those of the batch's mean loss; also its tally."""
    total_weight = float(sum(example.weights.sum(dtype=np.float64) for example in batch)) or 1.0
    loss_function = partial(cross_entropy_loss, total_weight=total_weight)
    return add_gradients(
        parameters, gradients, ((pack, loss_function) for pack in make_packs(batch)), dropout
    )


LossFunction: TypeAlias = Callable[[Array, Pack], tuple[StepTotals, Array]]
"""From the logits of a pack, which it may reuse, to a tally and the gradient by the logits."""


def add_gradients(
    parameters: Parameters,
    gradients: Parameters,
    packs: Iterable[tuple[Pack, LossFunction]],
    dropout: Dropout | None = None,
) -> StepTotals:
    """Overwrite `gradients` with the sum over the packs, of what each one's judge says."""
    totals, target = StepTotals(), gradients
    n_done = 0
    for n_done, (pack, loss_function) in enumerate(packs, start=1):
        if n_done == 2:  # a batch too large for one pack: add the gradients up
            target = Parameters(gradients.shape, np.empty_like(gradients.flat))
        logits, tape = forward(parameters, pack, dropout.draw(pack) if dropout else None)
        part, d_logits = loss_function(logits, pack)
        backward(parameters, target, pack, tape, d_logits)
        totals += part
        if target is not gradients:
            gradients.flat += target.flat
    if not n_done:
        gradients.flat[:] = 0  # nothing to learn here
    return totals


def measure(parameters: Parameters, examples: Sequence[TrainingExample]) -> StepTotals:
    """The tally of the examples."""
    totals = StepTotals()
    for pack in make_packs(examples):
        logits, _ = forward(parameters, pack)
        totals += cross_entropy_loss(logits, pack, total_weight=1.0)[0]
    return totals
