"""What a metric is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ftops.metrics.prediction import Prediction, Problem
from ftops.metrics.samples import Sample


class Metric(Protocol):
    """Whatever measures answers. Scores made elsewhere, as by a judge, come in by this door, too:
    `measure` may look its scores up and give `Sample.of_scores`."""

    @property
    def name(self) -> str:
        """What its figure is called, in tables and in requirements."""
        ...

    def measure(self, answers: Sequence[Prediction]) -> Sample:
        """The figure over these rows, in their order; `Sample.none` where they have none."""
        ...


@dataclass(frozen=True, slots=True)
class RowMetric:
    """The mean of a score of each answer; one that failed is scored `worst`."""

    name: str
    score: Callable[[Prediction], float]
    worst: float = 0.0
    higher_is_better: bool = True

    def measure(self, answers: Sequence[Prediction]) -> Sample:
        """The mean over all rows."""
        scores = [
            self.worst if one.problem is Problem.FAILED else float(self.score(one))
            for one in answers
        ]
        return Sample.of_scores(scores, higher_is_better=self.higher_is_better)
