"""The training curves of a run for charts: loss, accuracy, epochs, best step, downsampling.

Neighbouring points become one bucket with their minimum, mean and maximum, so that a single spike
in 10,000 steps stays visible.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter

from ftops.records import Json
from ftops.reports.diagnostic_checks import Diagnostic
from ftops.reports.diagnostics import diagnose
from ftops.reports.results import ResultRow
from ftops.reports.run_facts import RunFacts

Point = tuple[float, float]
BUCKETS = 160
MOST_MARKS = 400
_MOST_EPOCHS = 24  # lines in a chart; with more epochs, every second, third, … is marked


@dataclass(frozen=True, slots=True)
class Curve:
    """A measure by step, on training and validation rows."""

    measure: str  # loss or accuracy
    training: Sequence[Point]
    validation: Sequence[Point]

    @property
    def empty(self) -> bool:
        """Whether nothing was measured."""
        return not self.training and not self.validation


@dataclass(frozen=True, slots=True)
class TrainingCurves:
    """The curves of a run; `epochs` are the last steps of epochs.

    `best` is the step and value of the lowest validation loss; None without validation.
    `preferred` is the step of the checkpoint that a diagnostic recommends.
    """

    loss: Curve
    accuracy: Curve
    epochs: Sequence[float]
    last_step: int | None
    best: Point | None
    findings: Sequence[Diagnostic] = ()

    @property
    def preferred(self) -> int | None:
        """The step of the recommended checkpoint, if there is one."""
        kept = (one.checkpoint for one in self.findings if one.checkpoint)
        return next((one.step for one in kept), None)

    def to_json(self) -> dict[str, Json]:
        """The last values, the best step, the epochs and the findings."""
        return {
            "steps": self.last_step,
            "train_loss": _last(self.loss.training),
            "valid_loss": _last(self.loss.validation),
            "train_accuracy": _last(self.accuracy.training),
            "valid_mean_token_accuracy": _last(self.accuracy.validation),
            "lowest_valid_loss": self.best[1] if self.best else None,
            "lowest_valid_loss_step": self.best[0] if self.best else None,
            "epoch_ends": list(self.epochs),
            "findings": [one.to_json() for one in self.findings],
        }


def read_training_curves(facts: RunFacts) -> TrainingCurves:
    """The curves of a run with their diagnostics; empty without results.

    Validation is measured on all validation rows if the provider does so more than once.
    """
    rows = facts.training.rows
    loss = Curve(
        "loss",
        _points(rows, "train_loss"),
        _choose(
            _points(rows, "full_valid_loss"),
            _points(rows, "valid_loss"),
        ),
    )
    accuracy = Curve(
        "accuracy",
        _points(rows, "train_accuracy"),
        _choose(
            _points(rows, "full_valid_accuracy"),
            _points(rows, "valid_accuracy"),
        ),
    )
    first = facts.evaluation.candidates[:1] if facts.evaluation else ()
    classes = first[0].classes if first else ()
    return TrainingCurves(
        loss=loss,
        accuracy=accuracy,
        epochs=_thin_epochs([float(step) for step in facts.training.epoch_ends]),
        last_step=rows[-1].step if rows else None,
        best=min(loss.validation, key=lambda point: point[1], default=None),
        findings=diagnose(facts.training, classes) if rows else (),
    )


def _points(rows: Sequence[ResultRow], name: str) -> list[Point]:
    """The step and value of all rows with a finite value."""
    place = ResultRow._fields.index(name)
    values: Iterable[float | None] = map(itemgetter(place), rows)
    steps = [float(row.step) for row in rows]
    found = [(x, y) for x, y in zip(steps, values, strict=True) if y is not None]
    return keep_finite(found)


def _choose(full: list[Point], partial: list[Point]) -> list[Point]:
    """The curve on all validation rows if it has two points or more, else that on some rows."""
    return full if len(full) > 1 or not partial else partial


def _thin_epochs(steps: list[float]) -> list[float]:
    every = max(1, math.ceil(len(steps) / _MOST_EPOCHS))
    return steps[every - 1 :: every]


def _last(points: Sequence[Point]) -> float | None:
    return points[-1][1] if points else None


@dataclass(frozen=True, slots=True)
class Bucket:
    """Neighbouring points: their middle step, minimum, mean and maximum."""

    x: float
    low: float
    mean: float
    high: float


def keep_finite(points: Sequence[Point]) -> list[Point]:
    """The points with finite coordinates."""
    finite = math.isfinite
    return [point for point in points if finite(point[0]) and finite(point[1])]


def fill_buckets(points: Sequence[Point], most: int = BUCKETS) -> list[Bucket]:
    """At most `most` buckets of equal size; one per point if there are few points."""
    if len(points) <= 2 * most:
        return [Bucket(x, y, y, y) for x, y in points]
    buckets = []
    for number in range(most):
        part = points[number * len(points) // most : (number + 1) * len(points) // most]
        values = [y for _, y in part]
        mean = math.fsum(values) / len(values)
        buckets.append(Bucket((part[0][0] + part[-1][0]) / 2, min(values), mean, max(values)))
    return buckets


def downsample(points: Sequence[Point], most: int = MOST_MARKS) -> list[Point]:
    """At most `most` of the points: the first, the last, and each section's minimum and maximum."""
    if len(points) <= most:
        return list(points)
    parts = max(1, (most - 2) // 2)
    kept = {0, len(points) - 1}
    for number in range(parts):
        part = range(number * len(points) // parts, (number + 1) * len(points) // parts)
        kept.add(min(part, key=lambda index: points[index][1]))
        kept.add(max(part, key=lambda index: points[index][1]))
    return [points[index] for index in sorted(kept)]
