"""Preferences: pairs of answers, and what a step learns from them against a reference model.

The reference is the model that the job starts from. Only one figure of it is needed for each pair,
so it is asked once, before the first step, and then let go.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ftops.engine.trainers.protocol import TrainingStopped
from ftops.engine.trainers.tiny.batches import Example, Pack, cut_packs, make_pack
from ftops.engine.trainers.tiny.gradients import Dropout, add_gradients
from ftops.engine.trainers.tiny.loss import Tally, compare, prefer
from ftops.engine.trainers.tiny.model import forward
from ftops.engine.trainers.tiny.parameters import Parameters


@dataclass(frozen=True, slots=True)
class PairExample:
    """Two answers to one prompt, ready to train on."""

    preferred: Example
    other: Example
    reference: float = 0.0  # log p(preferred) - log p(other) by the reference model

    @property
    def n_tokens(self) -> int:
        return self.preferred.n_tokens + self.other.n_tokens


def compute_preference_gradients(
    parameters: Parameters,
    gradients: Parameters,
    batch: Sequence[PairExample],
    dropout: Dropout | None = None,
    *,
    beta: float,
) -> Tally:
    """Overwrite `gradients` with those of the batch's mean loss; also its tally."""
    packs = (
        (pack, partial(prefer, references=references, beta=beta, n_pairs=len(batch)))
        for _, references, pack in _split_pairs(batch)
    )
    return add_gradients(parameters, gradients, packs, dropout)


def measure_preferences(
    parameters: Parameters, pairs: Sequence[PairExample], *, beta: float
) -> Tally:
    """The tally of the pairs."""
    tally = Tally()
    for _, references, pack in _split_pairs(pairs):
        logits, _ = forward(parameters, pack)
        tally += prefer(logits, pack, references, beta=beta, n_pairs=1)[0]
    return tally


def ask_reference(
    parameters: Parameters,
    pairs: Sequence[PairExample],
    should_stop: Callable[[], bool] = lambda: False,
) -> NDArray[np.float64]:
    """[pairs] how much likelier each preferred answer is than the other, in nats.

    TrainingStopped when told to stop.
    """
    references = np.zeros(len(pairs))
    for rows, _, pack in _split_pairs(pairs):
        if should_stop():
            raise TrainingStopped
        logits, _ = forward(parameters, pack)
        references[rows] = compare(logits, pack)
    return references


def with_references(
    pairs: Sequence[PairExample], references: NDArray[np.float64]
) -> list[PairExample]:
    """The pairs, each knowing what the reference model thinks of it."""
    return [
        replace(pair, reference=float(reference))
        for pair, reference in zip(pairs, references, strict=True)
    ]


def _split_pairs(
    pairs: Sequence[PairExample],
) -> Iterator[tuple[list[int], NDArray[np.float64], Pack]]:
    """The numbers and references of the pairs in each pack, and the pack, in which document 2i is
    the preferred answer of its pair i, and 2i + 1 the other."""
    lengths = [(pair.preferred.n_tokens, pair.other.n_tokens) for pair in pairs]
    for rows in cut_packs(lengths):
        some = [pairs[row] for row in rows]
        references = np.array([pair.reference for pair in some])
        yield (
            rows,
            references,
            make_pack([one for pair in some for one in (pair.preferred, pair.other)]),
        )
