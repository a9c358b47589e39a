"""Paired comparison of two candidates on the same rows.

Shares of correct rows are compared by McNemar's exact test, everything else by a bootstrap that
draws the same rows for both.

An evaluation asks one question of all its comparisons together ("is the tuned model better than
the alternatives?"), so their p-values are corrected after Holm before a verdict is given:
`p_value` is the plain one, `p_corrected` the one that decides. Intervals are not corrected: each
covers 95 % on its own.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ftops.metrics.bootstrap import interval
from ftops.metrics.metric import Bools, Floats, Metric, MetricSample
from ftops.metrics.result import Comparison, Verdict
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

MARGIN = 0.02  # of the span of a metric: a difference that lies inside, interval included, is none
MCNEMAR = "McNemar's exact test"
BOOTSTRAP = "paired bootstrap"


@dataclass(frozen=True, slots=True)
class ComparisonSide:
    """One candidate of a comparison: its name, its sample and the metric of each resample."""

    candidate: str
    sample: MetricSample
    draws: Floats


@dataclass(frozen=True, slots=True)
class PendingComparison:
    """A comparison before its verdict, which depends on how many there are.

    `rows` were measured for both. The difference counts as none if it lies within `margin` of 0
    when its interval is widened by `slack` on either side.
    """

    comparison: Comparison
    rows: int
    margin: float
    slack: float


def compare(
    metric: Metric, first: ComparisonSide, second: ComparisonSide
) -> PendingComparison | None:
    """The difference with its interval and p-value; None if one side has no value."""
    ours, theirs = first.sample, second.sample
    difference = ours.value - theirs.value
    length = min(len(first.draws), len(second.draws))
    drawn = first.draws[:length] - second.draws[:length]
    rows, span = min(ours.rows, theirs.rows), max(ours.span, theirs.span)
    is_share = ours.correct is not None and theirs.correct is not None
    if not is_share:
        drawn = widen(drawn, rows)
    bounds = interval(drawn)
    if not math.isfinite(difference) or bounds is None:
        return None
    variance = rows * float(np.nanvar(drawn))
    if ours.correct is not None and theirs.correct is not None:
        test = MCNEMAR
        p_value, rows_needed = _test_shares(ours.correct, theirs.correct)
    else:
        test = BOOTSTRAP
        p_value = max(least_p(rows), bootstrap_p(drawn))
        rows_needed = rows_for_means(difference, variance)
    if not difference:
        rows_needed = rows_for_margin(variance / span**2, MARGIN) if span else None
    comparison = Comparison(
        first=first.candidate,
        second=second.candidate,
        metric=metric.name,
        difference=difference,
        low=bounds[0],
        high=bounds[1],
        p_value=p_value,
        test=test,
        verdict=Verdict.TOO_FEW_ROWS,
        rows_needed=rows_needed,
        p_corrected=p_value,
        higher_is_better=ours.higher_is_better,
        unit=ours.unit or metric.unit,
    )
    return PendingComparison(comparison, rows, MARGIN * span, unseen(rows) * span)


def _test_shares(ours: Bools, theirs: Bools) -> tuple[float, int | None]:
    ours_only, theirs_only = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    rows = len(ours)
    rows_needed = rows_for_shares(
        (ours_only - theirs_only) / rows, (ours_only + theirs_only) / rows
    )
    return mcnemar(ours_only, theirs_only), rows_needed


def decide_verdicts(pending: Sequence[PendingComparison]) -> tuple[Comparison, ...]:
    """Give each comparison its verdict, with p-values corrected for how many there are."""
    corrected = holm([item.comparison.p_value for item in pending])
    return tuple(_decide(item, p) for item, p in zip(pending, corrected, strict=True))


def _decide(pending: PendingComparison, p_corrected: float) -> Comparison:
    comparison = replace(pending.comparison, p_corrected=p_corrected)
    if p_corrected < ALPHA and comparison.difference:
        is_better = (comparison.difference > 0) == comparison.higher_is_better
        verdict = Verdict.BETTER if is_better else Verdict.WORSE
        return replace(comparison, verdict=verdict, rows_needed=None)
    if max(-comparison.low, comparison.high) + pending.slack <= pending.margin:
        return replace(comparison, verdict=Verdict.NO_DIFFERENCE, rows_needed=None)
    needed = comparison.rows_needed
    needed = None if needed is None else max(needed, pending.rows + 1)
    return replace(comparison, verdict=Verdict.TOO_FEW_ROWS, rows_needed=needed)
