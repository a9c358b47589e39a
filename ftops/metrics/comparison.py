"""Paired comparison of two candidates on the same rows, with significance tests.

Shares of correct rows are compared by McNemar's exact test, all other metrics by a bootstrap that
draws the same rows for both candidates.

All comparisons of an evaluation test one hypothesis together ("is the tuned model better than the
alternatives?"), so their p-values get Holm's correction before the verdict: `p_value` is
uncorrected, `p_corrected` decides. Intervals are not corrected: each one covers 95 %.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from ftops.metrics.bootstrap import interval
from ftops.metrics.metric import Bools, Floats, Metric, MetricSample
from ftops.metrics.result import Comparison, Verdict

MARGIN = 0.02  # share of a metric's span; a difference whose interval is inside counts as none
MCNEMAR = "McNemar's exact test"
BOOTSTRAP = "paired bootstrap"
ALPHA = 0.05  # rate of false positives
POWER = 0.8  # rate of true differences that are detected
RULE_OF_THREE = 3.0
_MAX_ROWS = 10**9


def mcnemar(first_only: int, second_only: int) -> float:
    """Two-sided p-value of McNemar's exact test, from rows that only one candidate has correct.

    It is the probability of a split at least this uneven if both sides are equally likely. Source:
    Q. McNemar (1947).
    """
    rows = first_only + second_only
    if not rows:
        return 1.0
    fewer = min(first_only, second_only)
    steps = np.arange(1, fewer + 1)
    logs = np.concatenate([[0.0], np.cumsum(np.log((rows - steps + 1) / steps))])
    tail = float(np.exp(logs - rows * math.log(2)).sum())
    return min(1.0, 2 * tail)


def bootstrap_p(differences: Floats) -> float:
    """Two-sided p-value of a paired bootstrap: twice the smaller share beyond 0, and never 0.

    If no resample is beyond 0, it is the tail of a normal distribution with the mean and spread of
    the resamples, if that is smaller.
    """
    known = differences[np.isfinite(differences)]
    smaller = min(int((known <= 0).sum()), int((known >= 0).sum()))
    counted = min(1.0, 2 * (smaller + 1) / (len(known) + 1))
    spread = float(known.std()) if len(known) else 0.0
    if smaller or not spread:
        return counted
    return min(counted, math.erfc(abs(float(known.mean())) / spread / math.sqrt(2)))


def least_p(rows: int) -> float:
    """The smallest two-sided p-value that is possible with this number of rows.

    It is that of an exact sign test with all signs equal; a bootstrap of one row has no spread.
    """
    return 2.0 ** (1 - max(1, rows))


def widen(draws: Floats, rows: int) -> Floats:
    """Resampled differences with a larger spread about the mean, as few rows need.

    A bootstrap's spread is too small by the square root of (rows - 1) / rows, and its tails are
    those of a normal distribution, not of Student's. Source: T. Hesterberg, What Teachers Should
    Know About the Bootstrap (2015), section 3.2.
    """
    if rows < 2:
        return draws
    known = draws[np.isfinite(draws)]
    mean = float(known.mean()) if len(known) else 0.0
    normal = NormalDist().inv_cdf(1 - ALPHA / 2)
    factor = _student(rows - 1) / normal * math.sqrt(rows / (rows - 1))
    return mean + (draws - mean) * factor


def _student(freedom: int) -> float:
    """The 97.5 % quantile of Student's distribution: exact for 1 and 2, else within 1 %.

    Source: M. Abramowitz, I. Stegun (1964), 26.7.5.
    """
    share = 1 - ALPHA / 2
    if freedom == 1:
        return math.tan(math.pi * (share - 0.5))
    if freedom == 2:
        return (2 * share - 1) / math.sqrt(2 * share * (1 - share))
    z = NormalDist().inv_cdf(share)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values with Holm's correction, in the same order. Source: S. Holm (1979)."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    corrected, largest = [0.0] * len(p_values), 0.0
    for place, number in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[number]))
        corrected[number] = largest
    return corrected


def rows_for_shares(difference: float, discordant: float) -> int | None:
    """The number of rows needed to detect a difference of shares; None for no difference.

    `discordant` is the share of rows that only one candidate has correct. The test is two-sided at
    5 %, with power 0.8. Source: R. Connor, Sample size for testing differences in proportions for
    the paired-sample design (1987).
    """
    if not difference or discordant <= 0:
        return None
    false_positive, true_positive = _quantiles()
    spread = math.sqrt(max(0.0, discordant - difference**2))
    root = false_positive * math.sqrt(discordant) + true_positive * spread
    return _round_up((root / difference) ** 2)


def rows_for_means(difference: float, variance: float) -> int | None:
    """The same for a difference of means; `variance` is that of one row."""
    if not difference or not math.isfinite(variance) or variance <= 0:
        return None
    return _round_up(variance * (sum(_quantiles()) / difference) ** 2)


def rows_for_margin(variance: float, margin: float) -> int | None:
    """The number of rows for which an interval around 0 is within the margin on both sides.

    The interval is widened by `unseen`. None if no number of rows suffices.
    """
    if not math.isfinite(variance) or margin <= 0:
        return None
    half = NormalDist().inv_cdf(1 - ALPHA / 2) * math.sqrt(max(0.0, variance))
    # margin * rows - half * sqrt(rows) - RULE_OF_THREE = 0, solved for the root of rows
    root = (half + math.sqrt(half**2 + 4 * margin * RULE_OF_THREE)) / (2 * margin)
    return _round_up(root**2)


def unseen(rows: int) -> float:
    """The largest share of rows that may be of a kind that these rows do not include (95 %).

    A bootstrap cannot draw such rows, so an interval is widened by this share before a difference
    counts as none. Source: J. Hanley, A. Lippman-Hand, If Nothing Goes Wrong, Is Everything All
    Right? (1983).
    """
    return RULE_OF_THREE / max(rows, 1)


def _quantiles() -> tuple[float, float]:
    normal = NormalDist()
    return normal.inv_cdf(1 - ALPHA / 2), normal.inv_cdf(POWER)


def _round_up(rows: float) -> int | None:
    return math.ceil(rows) if rows < _MAX_ROWS else None


@dataclass(frozen=True, slots=True)
class ComparisonSide:
    """One candidate of a comparison: its name, its sample and the metric of each resample."""

    candidate: str
    sample: MetricSample
    draws: Floats


@dataclass(frozen=True, slots=True)
class PendingComparison:
    """A comparison before its verdict, which depends on the number of comparisons.

    `rows` were measured for both candidates. The difference counts as none if its interval, widened
    by `slack` on both sides, is within `margin` of 0.
    """

    comparison: Comparison
    rows: int
    margin: float
    slack: float


def compare(
    metric: Metric, first: ComparisonSide, second: ComparisonSide
) -> PendingComparison | None:
    """The difference with its interval and p-value; None if either side has no value."""
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
    """Give each comparison its verdict, with p-values corrected for their number."""
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
