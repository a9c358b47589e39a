"""Whether a difference is more than chance, and how many rows would tell."""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from ftops.scoring.samples import Floats

ALPHA = 0.05  # how often a difference may be called real where there is none
POWER = 0.8  # how often one that is real shall be found
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
    """Two-sided p-value of a paired bootstrap: twice the smaller share beyond 0, never 0 itself."""
    known = differences[np.isfinite(differences)]
    smaller = min(int((known <= 0).sum()), int((known >= 0).sum()))
    return min(1.0, 2 * (smaller + 1) / (len(known) + 1))


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


def _quantiles() -> tuple[float, float]:
    normal = NormalDist()
    return normal.inv_cdf(1 - ALPHA / 2), normal.inv_cdf(POWER)


def _whole(rows: float) -> int | None:
    return math.ceil(rows) if rows < _MOST_ROWS else None
