"""Trainings made for the tests: losses by a formula, with the scatter that small batches have."""

import math
import random
from collections.abc import Callable

from ftops.reports.results import ResultRow
from ftops.reports.training import Training, TrainingFacts, create_training

Loss = Callable[[float], float]  # of the share of the training that is done, 0 to 1


def decay(start: float, end: float, pace: float) -> Loss:
    """A loss that falls quickly, then ever more slowly; with `pace` 5 it is all but level."""
    return lambda share: end + (start - end) * math.exp(-pace * share)


def make(
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
    """A training of so many steps; `scatter` is a share of the loss."""
    drawn = random.Random(seed)
    if valid_scatter is None:
        valid_scatter = 0.0 if is_full else 2 * scatter
    rows = []
    for step in range(1, steps + 1):
        share = step / steps
        figures: dict[str, float] = {"train_loss": _draw(drawn, train(share), scatter)}
        if valid and step % valid_every == 0:
            name = "full_valid_loss" if is_full else "valid_loss"
            figures[name] = _draw(drawn, valid(share), valid_scatter)
        row = ResultRow(step, epoch=math.ceil(epochs * share - 1e-9))
        rows.append(row._replace(**figures))  # type: ignore[arg-type]
    return create_training(rows, facts)


def _draw(drawn: random.Random, loss: float, scatter: float) -> float:
    """A loss is never negative, and its scatter is skewed: a log-normal one."""
    return loss * math.exp(drawn.gauss(-scatter * scatter / 2, scatter))
