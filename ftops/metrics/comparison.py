"""Two candidates on the same rows: which is better, and is that more than chance?

Each comparison is paired, row by row: shares of right rows by McNemar's exact test, everything
else by a bootstrap that draws the same rows for both.

Of several comparisons one is more easily below 5 % by chance alone. One evaluation asks one
question of all its comparisons together ("is the tuned model better than what there was?"), so
their p-values are corrected after Holm before a verdict is given. `p_value` of a comparison is the
plain one, `p_corrected` the one that decides. Intervals are not corrected: each holds 95 % alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ftops.metrics.metric import Metric
from ftops.metrics.prediction import Prediction
from ftops.metrics.resampling import interval, resample
from ftops.metrics.result import Comparison, Verdict
from ftops.metrics.samples import Bools, Floats, Sample
from ftops.metrics.significance import (
    ALPHA,
    bootstrap_p,
    holm,
    least_p,
    mcnemar,
    rows_for_margin,
    rows_for_means,
    rows_for_shares,
    unseen,
    widen,
)

MARGIN = 0.02  # of the span of a metric: differences inside it, with their interval, are none
MCNEMAR = "McNemar's exact test"
BOOTSTRAP = "paired bootstrap"


@dataclass(frozen=True, slots=True)
class Side:
    """One candidate in a comparison: its figure, and the figure of each resample."""

    name: str
    sample: Sample
    draws: Floats


def compare(
    first: tuple[str, Sequence[Prediction]],
    second: tuple[str, Sequence[Prediction]],
    metric: Metric,
    *,
    seed: int,
) -> Comparison | None:
    """Compare two candidates (name and answers) alone; None where one of them has no figure."""
    check_rows([first, second])
    samples = [metric.measure(answers) for _, answers in (first, second)]
    draws = resample(samples, seed=seed)
    sides = [
        Side(name, sample, drawn)
        for (name, _), sample, drawn in zip((first, second), samples, draws, strict=True)
    ]
    made = compare_sides(sides[0], sides[1], metric.name)
    return None if made is None else judge([made])[0]


def check_rows(candidates: Sequence[tuple[str, Sequence[Prediction]]]) -> None:
    """ValueError when they did not answer the same rows in the same order."""
    name, answers = candidates[0]
    lines = [(one.line, one.expected) for one in answers]
    for other, theirs in candidates[1:]:
        if lines != [(one.line, one.expected) for one in theirs]:
            raise ValueError(f"{other!r} and {name!r} did not answer the same rows")


@dataclass(frozen=True, slots=True)
class Unjudged:
    """A comparison before its verdict, which hangs on how many there are."""

    comparison: Comparison
    better: bool  # the first one's figure is, as it stands
    rows: int  # that both have measured
    margin: float
    slack: float  # how much wider than its interval the difference may be, see `unseen`


def compare_sides(first: Side, second: Side, metric: str) -> Unjudged | None:
    """The difference with its interval and p-value; None where there is none."""
    one, other = first.sample, second.sample
    difference = one.value - other.value
    length = min(len(first.draws), len(second.draws))
    drawn = first.draws[:length] - second.draws[:length]
    rows, span = min(one.rows, other.rows), max(one.span, other.span)
    if one.right is None or other.right is None:
        drawn = widen(drawn, rows)
    bounds = interval(drawn)
    if not math.isfinite(difference) or bounds is None:
        return None
    variance = rows * float(np.nanvar(drawn))
    if one.right is not None and other.right is not None:
        test, p_value, needed = _test_shares(one.right, other.right)
    else:
        p_value = max(least_p(rows), bootstrap_p(drawn))
        test = BOOTSTRAP
        needed = rows_for_means(difference, variance)
    if not difference:
        needed = rows_for_margin(variance / span**2, MARGIN) if span else None
    made = Comparison(
        first.name, second.name, metric, difference, *bounds, p_value, test,
        Verdict.TOO_FEW_ROWS, needed, p_value, one.higher_is_better, span,
    )  # fmt: skip
    better = (difference > 0) == one.higher_is_better
    return Unjudged(made, better, rows, MARGIN * span, unseen(rows) * span)


def _test_shares(one: Bools, other: Bools) -> tuple[str, float, int | None]:
    alone, rows = (int((one & ~other).sum()), int((other & ~one).sum())), len(one)
    needed = rows_for_shares((alone[0] - alone[1]) / rows, sum(alone) / rows)
    return MCNEMAR, mcnemar(*alone), needed


def judge(made: Sequence[Unjudged]) -> tuple[Comparison, ...]:
    """Give each its verdict, with p-values corrected for how many there are.

    There is no difference where the interval, widened by what so many rows may not have shown,
    lies inside the margin.
    """
    corrected = holm([one.comparison.p_value for one in made])
    return tuple(_judge(one, p_value) for one, p_value in zip(made, corrected, strict=True))


def _judge(made: Unjudged, p_value: float) -> Comparison:
    one = replace(made.comparison, p_corrected=p_value)
    if p_value < ALPHA and one.difference:
        verdict = Verdict.BETTER if made.better else Verdict.WORSE
        return replace(one, verdict=verdict, rows_needed=None)
    if max(-one.low, one.high) + made.slack <= made.margin:
        return replace(one, verdict=Verdict.NO_DIFFERENCE, rows_needed=None)
    needed = None if one.rows_needed is None else max(one.rows_needed, made.rows + 1)
    return replace(one, verdict=Verdict.TOO_FEW_ROWS, rows_needed=needed)
