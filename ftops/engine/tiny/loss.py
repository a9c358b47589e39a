"""The losses with their gradients, and the accuracies.

Supervised fine-tuning: cross entropy. Preferences: direct preference optimization (DPO; Rafailov
et al. 2023, arXiv 2305.18290). Its gradient is that of cross entropy with a weight for each answer,
negative for the one that is not preferred.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ftops.engine.step_totals import StepTotals
from ftops.engine.tiny.attention import softmax
from ftops.engine.tiny.batch import Pack, TrainingExample, make_packs
from ftops.engine.tiny.model import backward, forward
from ftops.engine.tiny.parameters import Array, Parameters

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _RowLosses:
    """The loss of each counted row."""

    losses: Array  # [R] nats
    is_correct: Mask  # [R]
    gradient: Array  # [R, vocabulary] of each loss by the logits


def _cross_entropy(logits: Array, pack: Pack) -> _RowLosses:
    """Overwrites `logits`."""
    rows = np.arange(len(logits))
    is_correct = logits.argmax(axis=1) == pack.targets
    probabilities = softmax(logits)
    picked = probabilities[rows, pack.targets]
    losses = -np.log(np.maximum(picked, np.finfo(picked.dtype).tiny))
    probabilities[rows, pack.targets] -= 1
    return _RowLosses(losses, is_correct, probabilities)


def cross_entropy_loss(
    logits: Array, pack: Pack, *, total_weight: float
) -> tuple[StepTotals, Array]:
    """The totals, and the gradient of (sum of weighted losses) / total_weight by the logits.

    `total_weight` is that of the whole step, which may have several packs. Overwrites `logits`.
    """
    row_losses = _cross_entropy(logits, pack)
    gradient = row_losses.gradient
    gradient *= (pack.weights.astype(gradient.dtype) / total_weight)[:, None]
    tokens, sequences = _count_correct(row_losses.is_correct, pack.weights == 1, pack)
    loss = float((row_losses.losses * pack.weights).sum(dtype=np.float64))
    weight = float(pack.weights.sum(dtype=np.float64))
    return StepTotals(loss, weight, *tokens, *sequences), gradient


def dpo_loss(
    logits: Array, pack: Pack, references: NDArray[np.float64], *, beta: float, n_pairs: int
) -> tuple[StepTotals, Array]:
    """The totals, and the gradient by the logits of the mean over the step's `n_pairs` of

        -log sigmoid(beta * (log p(preferred) - log p(other) - reference))

    Documents 2i and 2i + 1 of the pack are the preferred and the other answer of pair i;
    `references` [pairs] is log p(preferred) - log p(other) of the reference model. Overwrites
    `logits`.
    """
    row_losses = _cross_entropy(logits, pack)
    margins = beta * (_sum_margins(row_losses.losses, pack) - references)
    # The derivative of each loss by the log probabilities: beta * sigmoid(-margin).
    slopes = beta * np.exp(-np.logaddexp(0, margins)) / n_pairs
    by_document = np.stack([slopes, -slopes], axis=1).reshape(-1)
    gradient = row_losses.gradient
    gradient *= (by_document[pack.owners] * pack.weights).astype(gradient.dtype)[:, None]
    tokens, sequences = _count_correct(row_losses.is_correct, pack.owners % 2 == 0, pack)
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
    """[pairs] log p(preferred) - log p(other) for a pack as in `dpo_loss`; overwrites `logits`."""
    return _sum_margins(_cross_entropy(logits, pack).losses, pack)


def _sum_margins(losses: Array, pack: Pack) -> NDArray[np.float64]:
    answers: NDArray[np.float64] = np.zeros(pack.n_documents)
    answers += np.bincount(pack.owners, losses * pack.weights, minlength=pack.n_documents)
    return answers[1::2] - answers[0::2]


def _count_correct(is_correct: Mask, is_counted: Mask, pack: Pack) -> tuple[tuple[int, int], ...]:
    """(tokens, correct ones) and (documents, entirely correct ones) of the counted rows."""
    owners = pack.owners[is_counted]
    answered = np.bincount(owners, minlength=pack.n_documents)
    wrong = np.bincount(owners[~is_correct[is_counted]], minlength=pack.n_documents)
    whole = (answered > 0) & (wrong == 0)
    return (len(owners), int(is_correct[is_counted].sum())), (
        int((answered > 0).sum()),
        int(whole.sum()),
    )


_HEAP_BYTES = 31 << 20


def tune_malloc() -> None:
    """Make glibc's malloc keep what NumPy frees; without effect on other systems.

    A step frees its tape, tens of megabytes, and the next step allocates it again. By default the
    memory goes back to the kernel in between, and page faults take a fifth of the time. Freeing one
    untouched block of just under 32 MiB raises malloc's threshold for that.
    """
    np.empty(_HEAP_BYTES, dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Dropout:
    """Masks some of the prompt tokens, so that no single word decides alone."""

    share: float
    rng: np.random.Generator

    def sample(self, pack: Pack) -> Array | None:
        """A factor of 0 or 1 for each embedding [rows, 1]; None when nothing is masked."""
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
    """Overwrite `gradients` by those of the batch's mean loss; returns its totals."""
    total_weight = float(sum(example.weights.sum(dtype=np.float64) for example in batch)) or 1.0
    loss_function = partial(cross_entropy_loss, total_weight=total_weight)
    return add_gradients(
        parameters, gradients, ((pack, loss_function) for pack in make_packs(batch)), dropout
    )


LossFunction: TypeAlias = Callable[[Array, Pack], tuple[StepTotals, Array]]
"""From the logits of a pack, which it may overwrite, to its totals and the gradient by them."""


def add_gradients(
    parameters: Parameters,
    gradients: Parameters,
    packs: Iterable[tuple[Pack, LossFunction]],
    dropout: Dropout | None = None,
) -> StepTotals:
    """Overwrite `gradients` by the sum over packs, each with its loss function."""
    totals, target = StepTotals(), gradients
    n_done = 0
    for n_done, (pack, loss_function) in enumerate(packs, start=1):
        if n_done == 2:  # several packs: sum their gradients
            target = Parameters(gradients.shape, np.empty_like(gradients.flat))
        logits, tape = forward(parameters, pack, dropout.sample(pack) if dropout else None)
        part, d_logits = loss_function(logits, pack)
        backward(parameters, target, pack, tape, d_logits)
        totals += part
        if target is not gradients:
            gradients.flat += target.flat
    if not n_done:
        gradients.flat[:] = 0  # no row in the loss
    return totals


def measure(parameters: Parameters, examples: Sequence[TrainingExample]) -> StepTotals:
    """The totals of the examples."""
    totals = StepTotals()
    for pack in make_packs(examples):
        logits, _ = forward(parameters, pack)
        totals += cross_entropy_loss(logits, pack, total_weight=1.0)[0]
    return totals
