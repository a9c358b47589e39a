"""Bootstrap: resampled metrics and their percentile intervals.

A resample has as many rows as the sample, drawn with replacement, and is the same for every metric.
So the difference of two metrics over one resample is paired. If rows have few categories, the
counts of categories are drawn from the multinomial distribution, which is equivalent. Method: B.
Efron, R. Tibshirani, An Introduction to the Bootstrap (1993), chapters 6, 13 and 16.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from ftops.metrics.metric import Floats, Ids, MetricSample

DRAWS = 1000
LEVEL = 0.95
_MIN_DRAWS = 200  # of expensive metrics, such as areas under curves of many rows
_MAX_WORK = 100_000_000  # counts passed to the statistic of one metric, in total
_BLOCK = 4_000_000  # counts held at a time: 32 MB
_CACHED = 32_000  # rows drawn at a time: 256 kB
_MIN_ROWS_PER_CATEGORY = 8  # on average; with fewer, rows are drawn instead of counts


def resample(samples: Sequence[MetricSample], *, seed: int, draws: int = DRAWS) -> list[Floats]:
    """Each sample's metric over the same resamples; expensive metrics use only the first ones.

    The samples have the same rows in the same order. A sample without a value has no resamples.
    """
    if not all(sample.rows for sample in samples):
        measured = [sample for sample in samples if sample.rows]
        remaining = iter(resample(measured, seed=seed, draws=draws))
        return [next(remaining) if sample.rows else np.zeros(0) for sample in samples]
    if not samples:
        return []
    groups, firsts = _group(samples)
    draw_counts = [_count_draws(sample, draws) for sample in samples]
    categories = [sample.categories[firsts] for sample in samples]
    resampled: list[list[Floats]] = [[] for _ in samples]
    start = 0
    block = max(1, _BLOCK // max(len(firsts), *(sample.size for sample in samples)))
    for counts in _draw(groups, len(firsts), max(draw_counts), block, seed):
        for number, sample in enumerate(samples):
            if start < draw_counts[number]:
                folded = _fold(
                    counts[: draw_counts[number] - start], categories[number], sample.size
                )
                resampled[number].append(sample.statistic(folded))
        start += len(counts)
    return [np.concatenate(blocks) for blocks in resampled]


def interval(draws: Floats) -> tuple[float, float] | None:
    """The middle 95 % of resampled metrics; None if most resamples have no value."""
    known = draws[np.isfinite(draws)]
    if len(known) < max(2, len(draws) // 2):
        return None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def interval_of(sample: MetricSample, draws: Floats) -> tuple[float, float] | None:
    """The 95 % interval of a sample's value, from its resamples.

    If all rows are correct, or all wrong, the resamples do not vary; then it is the exact interval
    of a share. Source: C. Clopper, E. Pearson, The use of confidence or fiducial limits (1934).
    """
    bounds = interval(draws)
    if (
        bounds is None
        or bounds[0] != bounds[1]
        or sample.span != 1
        or sample.value not in (0.0, 1.0)
    ):
        return bounds
    reach = 1 - ((1 - LEVEL) / 2) ** (1 / sample.rows)
    return (0.0, reach) if sample.value == 0 else (1 - reach, 1.0)


def _count_draws(sample: MetricSample, draws: int) -> int:
    work = max(1, sample.size * sample.cost)
    return min(draws, max(_MIN_DRAWS, _MAX_WORK // work))


def _group(samples: Sequence[MetricSample]) -> tuple[Ids, Ids]:
    """The group of each row, equal in every sample, and one row of each group."""
    rows = len(samples[0].categories)
    alone = np.arange(rows)
    groups, firsts = np.zeros(rows, np.int64), np.zeros(1, np.int64)
    for categories in {id(sample.categories): sample.categories for sample in samples}.values():
        both = groups * (int(categories.max()) + 1) + categories
        _, firsts, groups = np.unique(both, return_index=True, return_inverse=True)
        if len(firsts) * _MIN_ROWS_PER_CATEGORY > rows:
            return alone, alone
    return groups, firsts


def _draw(groups: Ids, size: int, draws: int, block: int, seed: int) -> Iterator[Floats]:
    """Counts of groups, one resample per row of the array, a block of resamples at a time."""
    random = np.random.default_rng(seed)
    rows = len(groups)
    shares = np.bincount(groups, minlength=size) / rows
    for start in range(0, draws, block):
        lines = min(block, draws - start)
        if size < rows:
            yield random.multinomial(rows, shares, size=lines).astype(np.float64)
            continue
        counts = np.empty((lines, rows))
        step = max(1, _CACHED // rows)  # one draw at a time is 10 times slower for 60 rows
        for line in range(0, lines, step):
            few = counts[line : line + step]
            drawn = random.integers(0, rows, few.shape)
            drawn += rows * np.arange(len(few))[:, None]
            few[:] = np.bincount(drawn.ravel(), minlength=few.size).reshape(few.shape)
        yield counts


def _fold(counts: Floats, categories: Ids, size: int) -> Floats:
    """Sum the counts of groups by category; `categories` holds the category of each group."""
    groups = len(categories)
    if groups <= size and np.array_equal(categories, np.arange(groups)):
        return counts if groups == size else np.pad(counts, ((0, 0), (0, size - groups)))
    folded = np.empty((len(counts), size))
    for line, group_counts in enumerate(counts):
        folded[line] = np.bincount(categories, group_counts, minlength=size)
    return folded
