"""How a run learned: the curves of its results, where its epochs end, which step did best."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from ftops.records import Json, Stage
from ftops.reporting.report.facts import RunFacts, find_number, find_object
from ftops.reporting.report.thinning import Point, keep_finite
from ftops.reporting.results import ResultRow

_MOST_EPOCHS = 24  # lines in a chart; of more epochs every second, third, … is marked


@dataclass(frozen=True, slots=True)
class Curve:
    """One measure of a training: by step on the training rows, and on the validation rows."""

    measure: str  # loss or accuracy
    training: Sequence[Point]
    validation: Sequence[Point]

    @property
    def empty(self) -> bool:
        """Whether nothing was measured."""
        return not self.training and not self.validation


@dataclass(frozen=True, slots=True)
class Training:
    """What the results of one run tell. `epochs` are the steps at which an epoch ended.

    `best` is the step with the lowest validation loss, with that loss; None without validation.
    """

    loss: Curve
    accuracy: Curve
    epochs: Sequence[float]
    last_step: int | None
    best: Point | None

    @property
    def kept_step(self) -> int | None:
        """The step whose weights became the model: a job's model is that of its last step."""
        return self.last_step

    def to_json(self) -> dict[str, Json]:
        """The last figures, the best step and the epochs."""
        return {
            "steps": self.last_step,
            "train_loss": _last(self.loss.training),
            "valid_loss": _last(self.loss.validation),
            "train_accuracy": _last(self.accuracy.training),
            "valid_mean_token_accuracy": _last(self.accuracy.validation),
            "lowest_valid_loss": self.best[1] if self.best else None,
            "lowest_valid_loss_step": self.best[0] if self.best else None,
            "epoch_ends": list(self.epochs),
        }


def read_training(facts: RunFacts) -> Training:
    """The curves of the run's results; all empty when it has none."""
    rows = facts.results
    loss = Curve("loss", _points(rows, "train_loss"), _points(rows, "valid_loss"))
    accuracy = Curve("accuracy", _points(rows, "train_accuracy"), _points(rows, "valid_accuracy"))
    return Training(
        loss=loss,
        accuracy=accuracy,
        epochs=_thin_epochs(_find_epochs(facts)),
        last_step=rows[-1].step if rows else None,
        best=min(loss.validation, key=lambda point: point[1], default=None),
    )


def _points(rows: Sequence[ResultRow], name: str) -> list[Point]:
    found = [(float(row.step), getattr(row, name)) for row in rows]
    return keep_finite([(step, value) for step, value in found if value is not None])


def _find_epochs(facts: RunFacts) -> list[float]:
    """The last step of each epoch but the last one, as the results or the job tell them."""
    rows = facts.results
    told = [(row.step, getattr(row, "epoch", None) or row.extra.get("epoch")) for row in rows]
    known = [(step, math.ceil(epoch)) for step, epoch in told if epoch is not None]
    if known:
        pairs = itertools.pairwise(known)
        return [float(step) for (step, epoch), (_, after) in pairs if after > epoch]
    settings = find_object(facts.find_detail(Stage.FOLLOW), "hyperparameters")
    epochs = find_number(settings, "n_epochs")
    if not rows or epochs is None or not 1 <= epochs <= rows[-1].step:
        return []
    return [rows[-1].step * number / epochs for number in range(1, int(epochs))]


def _thin_epochs(steps: list[float]) -> list[float]:
    every = max(1, math.ceil(len(steps) / _MOST_EPOCHS))
    return steps[every - 1 :: every]


def _last(points: Sequence[Point]) -> float | None:
    return points[-1][1] if points else None
