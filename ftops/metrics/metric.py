"""A metric, and its sample of the predictions of one candidate.

Rows that are equal to a metric belong to one category, and the metric is a function of the count of
each category. So a resample of rows is a vector of counts, for every metric.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ftops.metrics.prediction import Prediction, Problem
from ftops.metrics.registry import METRICS, MetricChoice
from ftops.metrics.result import Unit

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Statistic = Callable[[Floats], Floats]


@dataclass(frozen=True, slots=True, eq=False)
class MetricSample:
    """A metric of one candidate over the rows of a file, ready for resampling.

    `categories` holds the category of each row, from 0 to `size` - 1. `statistic` takes counts of
    categories, one resample per row of the array, and returns the metric of each. `rows` is the
    number of rows that could be measured; `value` is NaN if there are none. `correct` has a flag
    per row, for metrics that are a share of correct rows. `span` is the distance between the lowest
    and highest possible value, if known. `unit` replaces that of the metric. `cost` is the work of
    `statistic`, in passes over the counts.
    """

    categories: Ids
    size: int
    statistic: Statistic
    value: float
    rows: int
    correct: Bools | None = None
    higher_is_better: bool = True
    span: float = 1.0
    unit: Unit | None = None
    cost: int = 1
    notes: tuple[str, ...] = ()

    @classmethod
    def of_categories(
        cls, categories: Ids, size: int, statistic: Statistic, *, higher_is_better: bool = True
    ) -> "MetricSample":
        """A function of the count of each category, such as F1 of a confusion matrix."""
        counts = np.bincount(categories, minlength=size).astype(np.float64)[None, :]
        value = float(statistic(counts)[0]) if len(categories) else float("nan")
        rows = len(categories)
        return cls(categories, size, statistic, value, rows, higher_is_better=higher_is_better)

    @classmethod
    def of_scores(
        cls,
        scores: Sequence[float | None],
        *,
        higher_is_better: bool = True,
        notes: tuple[str, ...] = (),
    ) -> "MetricSample":
        """The mean of the scores of rows; None for a row that could not be scored."""
        values = np.array([np.nan if score is None else score for score in scores], np.float64)
        levels, categories = np.unique(values, return_inverse=True)  # NaN is one level, the last
        if 2 * len(levels) > len(values):
            levels, categories = values, np.arange(len(values))
        known = ~np.isnan(levels)
        weights = np.where(known, levels, 0.0)
        counted = known.astype(np.float64)

        def mean(counts: Floats) -> Floats:
            with np.errstate(invalid="ignore"):
                return (counts @ weights) / (counts @ counted)

        measured = values[~np.isnan(values)]
        whole = len(measured) == len(values)
        binary = whole and bool(np.isin(levels, (0.0, 1.0)).all())
        inside = bool(((measured >= 0) & (measured <= 1)).all())
        return cls(
            categories.astype(np.int64),
            len(levels),
            mean,
            float(measured.mean()) if len(measured) else float("nan"),
            len(measured),
            correct=values == 1.0 if binary else None,
            higher_is_better=higher_is_better,
            span=1.0 if inside else float(np.ptp(measured)),
            notes=notes,
        )

    @classmethod
    def none(cls, reason: str) -> "MetricSample":
        """A metric without a value for these predictions, with the reason."""
        return cls(
            np.zeros(0, np.int64),
            0,
            lambda counts: np.full(len(counts), np.nan),
            float("nan"),
            0,
            notes=(reason,),
        )


class Metric(Protocol):
    """Measures predictions. `unit` is that of its values, unless the sample has another."""

    @property
    def name(self) -> str:
        """The name in results, tables and requirements."""
        ...

    @property
    def unit(self) -> Unit:
        """The unit of the values."""
        ...

    def measure(self, predictions: Sequence[Prediction]) -> MetricSample:
        """The metric over these rows, in order; `MetricSample.none` if it has no value."""
        ...


@dataclass(frozen=True, slots=True)
class RowMetric:
    """The mean of a score of each prediction; a failed one has the score `worst`.

    A row whose score is None is left out.
    """

    name: str
    score: Callable[[Prediction], float | None]
    worst: float = 0.0
    unit: Unit = Unit.SHARE
    higher_is_better: bool = True

    def measure(self, predictions: Sequence[Prediction]) -> MetricSample:
        """The mean over all rows with a score; no value if there are none."""
        scores = [
            self.worst if row.problem is Problem.FAILED else self.score(row) for row in predictions
        ]
        if all(score is None for score in scores):
            return MetricSample.none("it applies to no row")
        return MetricSample.of_scores(scores, higher_is_better=self.higher_is_better)


Derived = TypeVar("Derived")


@dataclass(slots=True)
class MetricContext:
    """What the metrics of one evaluation share.

    Paths in settings are relative to `folder`. `labels` are classes, if more are known than the
    rows expect.
    """

    folder: Path = Path()
    labels: tuple[str, ...] = ()
    _cache: dict[str, tuple[Sequence[Prediction], Any]] = field(default_factory=dict)

    def derive(
        self,
        key: str,
        predictions: Sequence[Prediction],
        compute: Callable[[Sequence[Prediction]], Derived],
    ) -> Derived:
        """The result of `compute`, cached for further metrics of the same predictions."""
        cached = self._cache.get(key)
        if cached is None or cached[0] is not predictions:
            cached = self._cache[key] = (predictions, compute(predictions))
        derived: Derived = cached[1]
        return derived


def create_metrics(
    choices: Sequence[MetricChoice], *, folder: Path = Path(), labels: Sequence[str] = ()
) -> list[Metric]:
    """Create the metrics, in order; the code of a Python function is parsed, not run.

    ValueError for an unknown name, a wrong setting or two metrics with the same name; ScoringError
    for a missing library or file.
    """
    names = [choice.name for choice in choices]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"two metrics are called `{name}`; give one of them another `name` in its settings"
            )
    context = MetricContext(folder, tuple(labels))
    return [_create(choice, context) for choice in choices]


def _create(choice: MetricChoice, context: MetricContext) -> Metric:
    if choice.type not in METRICS:
        raise ValueError(f"there is no metric `{choice.type}`; there are {', '.join(METRICS)}")
    metric = METRICS[choice.type]
    settings = {name: value for name, value in choice.settings.items() if name != "name"}
    known = {setting.name: setting for setting in metric.settings}
    for name in settings:
        if name not in known:
            raise ValueError(
                f"`{metric.name}` takes no `{name}`; it takes {', '.join(sorted([*known, 'name']))}"
            )
    for setting in metric.settings:
        value = settings.get(setting.name)
        is_typed = isinstance(value, setting.type) and not isinstance(value, bool)
        if value is None and setting.required:
            raise ValueError(f"`{metric.name}` needs `{setting.name}`: `{metric.name}: …`")
        if value is not None and not is_typed:
            raise ValueError(
                f"`{setting.name}` of `{metric.name}` must be {setting.expected}, not {value!r}"
            )
    create = resolve_name(f"ftops.metrics.{metric.factory}")
    created: Metric = create(choice.name, context, **metric.arguments, **settings)
    return created
