"""Whether a difference is more than chance, and how many rows would tell."""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from ftops.metrics.metric import Floats

ALPHA = 0.05  # how often a difference may be called real where there is none
POWER = 0.8  # how often one that is real shall be found
RULE_OF_THREE = 3.0
_MOST_ROWS = 10**9


def mcnemar(first_only: int, second_only: int) -> float:
    """McNemar's exact test, two-sided: rows that one of two candidates alone answers rightly.

    The p-value of so uneven a split of them where either side is equally likely. Source: Q.
    McNemar (1947).
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
    """Two-sided p-value of a paired bootstrap: twice the smaller share beyond 0, never 0 itself.

    Where no resample is beyond 0, so few resamples cannot tell how rare it is: then the tail is
    that of a normal distribution with their mean and spread, if that is smaller.
    """
    known = differences[np.isfinite(differences)]
    smaller = min(int((known <= 0).sum()), int((known >= 0).sum()))
    counted = min(1.0, 2 * (smaller + 1) / (len(known) + 1))
    spread = float(known.std()) if len(known) else 0.0
    if smaller or not spread:
        return counted
    return min(counted, math.erfc(abs(float(known.mean())) / spread / math.sqrt(2)))


def least_p(rows: int) -> float:
    """The least two-sided p-value that so many rows can show, whatever they say.

    It is that of an exact test of signs, all of them alike: a bootstrap of one row would be sure.
    """
    return 2.0 ** (1 - max(1, rows))


def widen(draws: Floats, rows: int) -> Floats:
    """Resampled differences, spread about their mean as far as so few rows ask for.

    A bootstrap's spread is too small by the root of (rows - 1) / rows, and its tails are those of a
    normal distribution, not of Student's. Source: T. Hesterberg, What Teachers Should Know About
    the Bootstrap (2015), section 3.2.
    """
    if rows < 2:
        return draws
    known = draws[np.isfinite(draws)]
    mean = float(known.mean()) if len(known) else 0.0
    normal = NormalDist().inv_cdf(1 - ALPHA / 2)
    factor = _student(rows - 1) / normal * math.sqrt(rows / (rows - 1))
    return mean + (draws - mean) * factor


def _student(freedom: int) -> float:
    """The quantile of Student's distribution that leaves 2.5 % above it; within 1 % from 3 on.

    Of 1 and 2 it is exact. Source: M. Abramowitz, I. Stegun (1964), 26.7.5.
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
    """P-values corrected for how many there are, in their order. Source: S. Holm (1979)."""
    order = sorted(range(len(p_values)), key=lambda one: p_values[one])
    corrected, least = [0.0] * len(p_values), 0.0
    for place, one in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - place) * p_values[one]))
        corrected[one] = least
    return corrected


def rows_for_shares(difference: float, discordant: float) -> int | None:
    """Rows that show a difference of shares, of which so many (a share) have one candidate right.

    Of power 0.8 at 5 %, two-sided. None for no difference. Source: R. Connor, Sample size for
    testing differences in proportions for the paired-sample design (1987).
    """
    if not difference or discordant <= 0:
        return None
    false_alarm, found = _quantiles()
    spread = math.sqrt(max(0.0, discordant - difference**2))
    root = false_alarm * math.sqrt(discordant) + found * spread
    return _whole((root / difference) ** 2)


def rows_for_means(difference: float, variance: float) -> int | None:
    """Rows that show a difference whose variance, times rows, is this; as `rows_for_shares`."""
    if not difference or not math.isfinite(variance) or variance <= 0:
        return None
    return _whole(variance * (sum(_quantiles()) / difference) ** 2)


def rows_for_margin(variance: float, margin: float) -> int | None:
    """Rows after which an interval around no difference lies inside the margin on either side.

    The interval is widened as `unseen` says. None where no number of rows does.
    """
    if not math.isfinite(variance) or margin <= 0:
        return None
    half = NormalDist().inv_cdf(1 - ALPHA / 2) * math.sqrt(max(0.0, variance))
    # margin * rows - half * sqrt(rows) - RULE_OF_THREE = 0, solved for the root of rows
    root = (half + math.sqrt(half**2 + 4 * margin * RULE_OF_THREE)) / (2 * margin)
    return _whole(root**2)


def unseen(rows: int) -> float:
    """The share of rows that may be of a sort that none of these rows is (95 %).

    A bootstrap cannot draw what it has not seen; that much is added to an interval before a
    difference is called none. Source: J. Hanley, A. Lippman-Hand, If Nothing Goes Wrong, Is
    Everything All Right? (1983).
    """
    return RULE_OF_THREE / max(rows, 1)


def _quantiles() -> tuple[float, float]:
    normal = NormalDist()
    return normal.inv_cdf(1 - ALPHA / 2), normal.inv_cdf(POWER)


def _whole(rows: float) -> int | None:
    return math.ceil(rows) if rows < _MOST_ROWS else None
