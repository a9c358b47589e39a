"""Bootstrap: what figures would be on other rows of the same sort.

Rows are drawn with replacement, as many as there are, the same ones for every figure: so the
difference of two figures over the same resample is a paired one. Where rows are of few kinds, the
counts of kinds are drawn at once from the multinomial distribution, which is what drawing rows
one by one comes to. Method: B. Efron, R. Tibshirani, An Introduction to the Bootstrap (1993),
chapters 6, 13 and 16.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from ftops.metrics.samples import Floats, Ids, Sample

DRAWS = 1000
LEVEL = 0.95
_LEAST_DRAWS = 200  # of figures that are dear to compute, as areas under curves of many rows
_MOST_WORK = 100_000_000  # counts that the statistic of one figure is given, in all
_BLOCK = 4_000_000  # counts held at a time: 32 MB
_FEW = 8  # kinds are drawn, not rows, where so many rows are of one kind on the average


def resample(samples: Sequence[Sample], *, seed: int, draws: int = DRAWS) -> list[Floats]:
    """Each sample's figure over the same resamples; figures that are dear over the first of them.

    The samples are of the same rows in the same order; one without a figure has no resamples.
    """
    if not all(one.rows for one in samples):
        made = iter(resample([one for one in samples if one.rows], seed=seed, draws=draws))
        return [next(made) if one.rows else np.zeros(0) for one in samples]
    if not samples:
        return []
    groups, firsts = _group(samples)
    wanted = [_count_draws(one, draws) for one in samples]
    kinds = [one.kinds[firsts] for one in samples]
    found: list[list[Floats]] = [[] for _ in samples]
    start = 0
    block = max(1, _BLOCK // max(len(firsts), *(one.size for one in samples)))
    for counts in _draw(groups, len(firsts), max(wanted), block, seed):
        for number, sample in enumerate(samples):
            if start < wanted[number]:
                folded = _fold(counts[: wanted[number] - start], kinds[number], sample.size)
                found[number].append(sample.statistic(folded))
        start += len(counts)
    return [np.concatenate(one) for one in found]


def interval(draws: Floats) -> tuple[float, float] | None:
    """The middle 95 % of resampled figures; None where resamples have none."""
    known = draws[np.isfinite(draws)]
    if len(known) < max(2, len(draws) // 2):
        return None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def interval_of(sample: Sample, draws: Floats) -> tuple[float, float] | None:
    """The interval of a sample's figure by its resamples.

    Where all rows are alike, right or wrong, so are all resamples, and say nothing of rows that
    were not seen. Then it is that of a share of so many rows. Source: C. Clopper, E. Pearson, The
    use of confidence or fiducial limits (1934).
    """
    found = interval(draws)
    if found is None or found[0] != found[1] or sample.span != 1 or sample.value not in (0.0, 1.0):
        return found
    reach = 1 - ((1 - LEVEL) / 2) ** (1 / sample.rows)
    return (0.0, reach) if sample.value == 0 else (1 - reach, 1.0)


def _count_draws(sample: Sample, draws: int) -> int:
    work = max(1, sample.size * sample.cost)
    return min(draws, max(_LEAST_DRAWS, _MOST_WORK // work))


def _group(samples: Sequence[Sample]) -> tuple[Ids, Ids]:
    """The group of each row, of rows that are alike to every sample; and one row of each group."""
    rows = len(samples[0].kinds)
    alone = np.arange(rows)
    groups, firsts = np.zeros(rows, np.int64), np.zeros(1, np.int64)
    for kinds in {id(one.kinds): one.kinds for one in samples}.values():
        both = groups * (int(kinds.max()) + 1) + kinds
        _, firsts, groups = np.unique(both, return_index=True, return_inverse=True)
        if len(firsts) * _FEW > rows:
            return alone, alone
    return groups, firsts


def _draw(groups: Ids, size: int, draws: int, block: int, seed: int) -> Iterator[Floats]:
    """Counts of groups, one resample a line, a block of resamples at a time."""
    chance = np.random.default_rng(seed)
    rows = len(groups)
    shares = np.bincount(groups, minlength=size) / rows
    for start in range(0, draws, block):
        lines = min(block, draws - start)
        if size < rows:
            yield chance.multinomial(rows, shares, size=lines).astype(np.float64)
            continue
        counts = np.empty((lines, rows))
        for line in range(lines):
            counts[line] = np.bincount(chance.integers(0, rows, rows), minlength=rows)
        yield counts


def _fold(counts: Floats, kinds: Ids, size: int) -> Floats:
    """Counts of groups as counts of kinds: `kinds` holds the kind of each group."""
    groups = len(kinds)
    if groups <= size and np.array_equal(kinds, np.arange(groups)):
        return counts if groups == size else np.pad(counts, ((0, 0), (0, size - groups)))
    folded = np.empty((len(counts), size))
    for line, one in enumerate(counts):
        folded[line] = np.bincount(kinds, one, minlength=size)
    return folded
