"""All figures of a source in one pass."""

import random
from itertools import pairwise
from pathlib import Path

import pytest

from ftops.data.reading.source import open_source
from ftops.data.statistics import (
    Bin,
    Distribution,
    describe_distribution,
    make_bins,
    measure_source,
)
from ftops.data.tokens.counter import Estimator
from tests.data.data_files import chat, pair, write_rows


def test_figures_count_only_good_rows(tmp_path: Path) -> None:
    rows = [pair("where is the key ->", " on the hook"), pair("a", ""), "nonsense"] * 2
    source = open_source(write_rows(tmp_path / "rows.jsonl", rows))
    figures = measure_source(source, [Estimator("o200k_base"), Estimator("r50k_base")])
    tally = figures.tally
    assert (figures.result.rows, tally.bad_rows) == (2, 4)
    assert list(tally.prompts) == [19, 19]
    assert list(tally.completions) == [12, 12]
    assert list(tally.tokens) == ["o200k_base", "r50k_base"]
    assert list(tally.tokens["o200k_base"].lengths) == [8, 8]
    assert list(tally.tokens["o200k_base"].answers) == [3, 3]
    assert (tally.words.total, tally.words.counts["the"]) == (14, 4)
    assert dict(tally.languages.languages) == {"English": 2}


def test_all_messages_of_the_assistant_count_as_trained(tmp_path: Path) -> None:
    source = open_source(write_rows(tmp_path / "c.jsonl", [chat("a" * 42, "b" * 42)] * 3))
    tokens = measure_source(source, [Estimator("o200k_base")]).tally.tokens["o200k_base"]
    assert list(tokens.lengths) == [29] * 3
    assert list(tokens.answers) == [10] * 3


def test_a_source_without_rows_has_figures(tmp_path: Path) -> None:
    source = open_source(write_rows(tmp_path / "empty.jsonl", []))
    figures = measure_source(source, [Estimator("")])
    assert (figures.result.rows, figures.tally.tokens) == (0, {})


def test_a_distribution_has_minimum_median_mean_percentile_maximum_and_sum() -> None:
    assert describe_distribution([]) == Distribution()
    assert describe_distribution([7]) == Distribution(7, 7, 7.0, 7, 7, 7)
    numbers = list(range(1, 101))
    random.Random(1).shuffle(numbers)
    assert describe_distribution(numbers) == Distribution(1, 50, 50.5, 95, 100, 5050)


def test_bins_have_round_bounds_and_count_every_number() -> None:
    assert make_bins([]) == []
    assert make_bins([3, 3, 5]) == [Bin(3, 3, 2), Bin(4, 4, 0), Bin(5, 5, 1)]
    assert [(bin_.first, bin_.last) for bin_ in make_bins([21, 48, 86])][:2] == [(20, 29), (30, 39)]


def test_outliers_make_bins_of_doubling_width() -> None:
    bins = make_bins([10] * 99 + [5_000])
    assert [bin_.count for bin_ in bins if bin_.count] == [99, 1]
    assert all(following.first >= 2 * bin_.first for bin_, following in pairwise(bins[1:]))


@pytest.mark.parametrize("seed", range(30))
def test_bins_are_few_and_contiguous_and_count_every_number(seed: int) -> None:
    rng = random.Random(seed)
    maximum = 10 ** rng.randint(0, 6)
    numbers = [rng.randint(0, maximum) for _ in range(rng.randint(1, 300))]
    numbers += [rng.randint(0, 10**7)] if seed % 2 else []
    bins = make_bins(numbers)
    assert 1 <= len(bins) <= 13
    assert sum(bin_.count for bin_ in bins) == len(numbers)
    assert all(bin_.last + 1 == following.first for bin_, following in pairwise(bins))
    for bin_ in bins:
        assert bin_.count == sum(bin_.first <= number <= bin_.last for number in numbers)
