"""What a metric makes of the answers of one candidate: a figure that can be resampled.

Rows that a metric cannot tell apart are of one kind, and the metric is a function of how often
each kind occurs. So a resample of rows is a vector of counts, for every metric alike.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Statistic = Callable[[Floats], Floats]


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A metric of one candidate over the rows of a file.

    `kinds` holds the kind of each row, from 0 to `size` - 1; `statistic` takes counts of kinds,
    one resample a line, and gives the metric of each. `rows` of the rows could be measured; `value`
    is NaN where none could. `right` says of each row whether it is right, for metrics that are the
    share of right rows. `span` is how far apart two values of the metric can be, as far as known.
    `cost` tells how much work `statistic` is, in passes over the counts.
    """

    kinds: Ids
    size: int
    statistic: Statistic
    value: float
    rows: int
    right: Bools | None = None
    higher_is_better: bool = True
    span: float = 1.0
    cost: int = 1
    notes: tuple[str, ...] = ()

    @classmethod
    def of_kinds(
        cls, kinds: Ids, size: int, statistic: Statistic, *, higher_is_better: bool = True
    ) -> "Sample":
        """A function of how often each kind of row occurs, such as F1 of a confusion matrix."""
        counts = np.bincount(kinds, minlength=size).astype(np.float64)[None, :]
        value = float(statistic(counts)[0]) if len(kinds) else float("nan")
        return cls(kinds, size, statistic, value, len(kinds), higher_is_better=higher_is_better)

    @classmethod
    def of_scores(
        cls,
        scores: Sequence[float | None],
        *,
        higher_is_better: bool = True,
        notes: tuple[str, ...] = (),
    ) -> "Sample":
        """The mean of a score of each row; None where a row could not be scored."""
        values = np.array([np.nan if one is None else one for one in scores], np.float64)
        levels, kinds = np.unique(values, return_inverse=True)  # NaN is one level, the last
        if 2 * len(levels) > len(values):
            levels, kinds = values, np.arange(len(values))
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
            kinds.astype(np.int64),
            len(levels),
            mean,
            float(measured.mean()) if len(measured) else float("nan"),
            len(measured),
            right=values == 1.0 if binary else None,
            higher_is_better=higher_is_better,
            span=1.0 if inside else float(np.ptp(measured)),
            notes=notes,
        )

    @classmethod
    def none(cls, reason: str) -> "Sample":
        """A metric that these answers do not have, and why."""
        return cls(
            np.zeros(0, np.int64),
            0,
            lambda counts: np.full(len(counts), np.nan),
            float("nan"),
            0,
            notes=(reason,),
        )
