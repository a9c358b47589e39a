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

from ftops.scoring.answers import Answer
from ftops.scoring.evaluation import Comparison, Verdict
from ftops.scoring.metrics.metric import Metric
from ftops.scoring.resampling import interval, resample
from ftops.scoring.samples import Floats, Sample
from ftops.scoring.significance import (
    ALPHA,
    bootstrap_p,
    holm,
    mcnemar,
    rows_for_means,
    rows_for_shares,
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
    first: tuple[str, Sequence[Answer]],
    second: tuple[str, Sequence[Answer]],
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


def check_rows(candidates: Sequence[tuple[str, Sequence[Answer]]]) -> None:
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
    margin: float


def compare_sides(first: Side, second: Side, metric: str) -> Unjudged | None:
    """The difference with its interval and p-value; None where there is none."""
    one, other = first.sample, second.sample
    difference = one.value - other.value
    length = min(len(first.draws), len(second.draws))
    drawn = first.draws[:length] - second.draws[:length]
    bounds = interval(drawn)
    if not math.isfinite(difference) or bounds is None:
        return None
    if one.right is not None and other.right is not None:
        test, p_value, needed = _test_shares(one, other)
    else:
        test, p_value = BOOTSTRAP, bootstrap_p(drawn)
        rows = min(one.rows, other.rows)
        needed = rows_for_means(difference, rows * float(np.nanvar(drawn)))
    made = Comparison(
        first.name, second.name, metric, difference, *bounds, p_value, test,
        Verdict.TOO_FEW_ROWS, needed, p_value,
    )  # fmt: skip
    span = max(one.span, other.span)
    return Unjudged(made, (difference > 0) == one.higher_is_better, MARGIN * span)


def _test_shares(one: Sample, other: Sample) -> tuple[str, float, int | None]:
    assert one.right is not None and other.right is not None
    alone = int((one.right & ~other.right).sum()), int((other.right & ~one.right).sum())
    rows = len(one.right)
    needed = rows_for_shares((alone[0] - alone[1]) / rows, sum(alone) / rows)
    return MCNEMAR, mcnemar(*alone), needed


def judge(made: Sequence[Unjudged], rows: int = 0) -> tuple[Comparison, ...]:
    """Give each its verdict, with p-values corrected for how many there are.

    `rows` is how many rows there are; that many were not enough where a verdict says so.
    """
    corrected = holm([one.comparison.p_value for one in made])
    return tuple(_judge(one, p_value, rows) for one, p_value in zip(made, corrected, strict=True))


def _judge(made: Unjudged, p_value: float, rows: int) -> Comparison:
    one = replace(made.comparison, p_corrected=p_value)
    if p_value < ALPHA and one.difference:
        verdict = Verdict.BETTER if made.better else Verdict.WORSE
        return replace(one, verdict=verdict, rows_needed=None)
    if -made.margin <= one.low and one.high <= made.margin:
        return replace(one, verdict=Verdict.NO_DIFFERENCE, rows_needed=None)
    needed = None if one.rows_needed is None else max(one.rows_needed, rows + 1)
    return replace(one, verdict=Verdict.TOO_FEW_ROWS, rows_needed=needed)
