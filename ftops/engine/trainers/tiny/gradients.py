"""From a batch of examples to gradients, or (nothing learned) to a tally."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np

from ftops.engine.trainers.tiny.batches import Example, Pack, split_packs
from ftops.engine.trainers.tiny.loss import Tally, score
from ftops.engine.trainers.tiny.model import backward, forward
from ftops.engine.trainers.tiny.parameters import Array, Parameters

_HEAP_BYTES = 31 << 20


def keep_heap() -> None:
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
    batch: Sequence[Example],
    dropout: Dropout | None = None,
) -> Tally:
    """Overwrite `gradients` with those of the batch's mean loss; also its tally."""
    total_weight = float(sum(example.weights.sum(dtype=np.float64) for example in batch)) or 1.0
    judge = partial(score, total_weight=total_weight)
    return add_gradients(
        parameters, gradients, ((pack, judge) for pack in split_packs(batch)), dropout
    )


Judge: TypeAlias = Callable[[Array, Pack], tuple[Tally, Array]]
"""From the logits of a pack, which it may reuse, to a tally and the gradient by the logits."""


def add_gradients(
    parameters: Parameters,
    gradients: Parameters,
    packs: Iterable[tuple[Pack, Judge]],
    dropout: Dropout | None = None,
) -> Tally:
    """Overwrite `gradients` with the sum over the packs, of what each one's judge says."""
    tally, target = Tally(), gradients
    n_done = 0
    for n_done, (pack, judge) in enumerate(packs, start=1):
        if n_done == 2:  # a batch too large for one pack: add the gradients up
            target = Parameters(gradients.shape, np.empty_like(gradients.flat))
        logits, tape = forward(parameters, pack, dropout.draw(pack) if dropout else None)
        part, d_logits = judge(logits, pack)
        backward(parameters, target, pack, tape, d_logits)
        tally += part
        if target is not gradients:
            gradients.flat += target.flat
    if not n_done:
        gradients.flat[:] = 0  # nothing to learn here
    return tally


def measure(parameters: Parameters, examples: Sequence[Example]) -> Tally:
    """The tally of the examples."""
    tally = Tally()
    for pack in split_packs(examples):
        logits, _ = forward(parameters, pack)
        tally += score(logits, pack, total_weight=1.0)[0]
    return tally
