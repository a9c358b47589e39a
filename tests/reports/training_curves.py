"""Training curves from a formula, with the noise of small batches."""

import math
import random
from collections.abc import Callable

from ftops.reports.results import ResultRow
from ftops.reports.training import Training, TrainingFacts, create_training

Loss = Callable[[float], float]  # the loss at a share of the training, from 0 to 1


def decay(start: float, end: float, pace: float) -> Loss:
    """A loss that decays exponentially; with `pace` 5 it ends almost constant."""
    return lambda share: end + (start - end) * math.exp(-pace * share)


def make_training(
    train: Loss,
    valid: Loss | None = None,
    *,
    steps: int = 300,
    epochs: int = 3,
    scatter: float = 0.05,
    valid_scatter: float | None = None,
    valid_every: int = 1,
    is_full: bool = False,
    seed: int = 0,
    facts: TrainingFacts | None = None,
) -> Training:
    """A training of `steps` steps; `scatter` is relative to the loss."""
    rng = random.Random(seed)
    if valid_scatter is None:
        valid_scatter = 0.0 if is_full else 2 * scatter
    rows = []
    for step in range(1, steps + 1):
        share = step / steps
        values: dict[str, float] = {"train_loss": _sample(rng, train(share), scatter)}
        if valid and step % valid_every == 0:
            name = "full_valid_loss" if is_full else "valid_loss"
            values[name] = _sample(rng, valid(share), valid_scatter)
        row = ResultRow(step, epoch=math.ceil(epochs * share - 1e-9))
        rows.append(row._replace(**values))  # type: ignore[arg-type]
    return create_training(rows, facts)


def _sample(rng: random.Random, loss: float, scatter: float) -> float:
    """Log-normal noise, as a loss is never negative."""
    return loss * math.exp(rng.gauss(-scatter * scatter / 2, scatter))
