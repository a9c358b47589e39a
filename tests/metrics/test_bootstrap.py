"""Counting kinds is resampling rows, and the intervals are those of SciPy's bootstrap."""

import numpy as np
import pytest
from scipy.stats import bootstrap
from sklearn.metrics import f1_score

from ftops.metrics.bootstrap import DRAWS, interval, resample
from ftops.metrics.metric import Floats, MetricSample
from tests.metrics.predictions import draw_labels, draw_texts, measure


def test_the_interval_of_a_mean_is_that_of_scipys_percentile_bootstrap() -> None:
    scores = np.random.default_rng(4).gamma(2, 1, 300)
    theirs = bootstrap((scores,), np.mean, n_resamples=4000, method="percentile", rng=1)
    low, high = interval(resample([MetricSample.of_scores(scores.tolist())], seed=1)[0]) or (0, 0)
    assert low == pytest.approx(theirs.confidence_interval.low, abs=0.03)
    assert high == pytest.approx(theirs.confidence_interval.high, abs=0.03)


def test_counts_of_kinds_give_the_interval_that_rows_drawn_one_by_one_give() -> None:
    answers = draw_labels(200, 1)
    expected = np.array([one.expected for one in answers])
    given = np.array([one.predicted for one in answers])
    chance = np.random.default_rng(2)
    plain = []
    for _ in range(600):
        at = chance.integers(0, 200, 200)
        plain.append(f1_score(expected[at], given[at], labels=[*"abcd"], average="macro"))
    low, high = interval(resample([measure("f1", answers)], seed=1)[0]) or (0, 0)
    assert [low, high] == pytest.approx(np.quantile(plain, [0.025, 0.975]), abs=0.012)


def test_an_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    held = 0
    for seed in range(300):
        right = np.random.default_rng(seed).random(150) < 0.7
        drawn = resample([MetricSample.of_scores(right.astype(float).tolist())], seed=seed)[0]
        low, high = interval(drawn) or (0, 0)
        held += low <= 0.7 <= high
    assert 0.91 < held / 300 < 0.985


def test_few_kinds_and_many_kinds_are_drawn_alike() -> None:
    scores = [float(n % 3) for n in range(600)]
    few = MetricSample.of_scores(scores)
    many = MetricSample.of_scores([one + n * 1e-12 for n, one in enumerate(scores)])
    assert (few.size, many.size) == (3, 600)
    bounds = [interval(resample([one], seed=3)[0]) for one in (few, many)]
    assert bounds[0] == pytest.approx(bounds[1], abs=0.02)


def test_two_samples_of_the_same_rows_are_drawn_together() -> None:
    scores = np.random.default_rng(1).random(300)
    first, second = (
        MetricSample.of_scores(scores.tolist()),
        MetricSample.of_scores((scores + 0.1).tolist()),
    )
    drawn = resample([first, second], seed=1)
    assert np.allclose(drawn[1] - drawn[0], 0.1)


def test_the_same_seed_gives_the_same_and_another_gives_another() -> None:
    sample = measure("token_f1", draw_texts(100, 1))
    one, same, other = (resample([sample], seed=seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert len(one) == DRAWS


def test_rows_that_were_not_measured_are_in_no_mean() -> None:
    sample = MetricSample.of_scores([1.0, None, 0.0, None, 1.0] * 20)
    assert sample.value == pytest.approx(2 / 3)
    assert sample.rows == 60
    low, high = interval(resample([sample], seed=1)[0]) or (0, 0)
    assert 0.5 < low < 2 / 3 < high < 0.8


def test_a_sample_without_a_figure_has_no_resamples_and_no_interval() -> None:
    nothing, something = MetricSample.none("no rows"), MetricSample.of_scores([1.0, 0.0])
    drawn = resample([nothing, something], seed=1)
    assert [len(one) for one in drawn] == [0, DRAWS]
    assert interval(drawn[0]) is None
    assert resample([], seed=1) == []


def test_memory_is_bounded_where_a_table_has_very_many_cells() -> None:
    most = 0

    def first_share(counts: Floats) -> Floats:
        nonlocal most
        most = max(most, counts.size)
        shares: Floats = counts[:, 0] / counts.sum(axis=1)
        return shares

    kinds = np.arange(3000, dtype=np.int64) % 2
    sample = MetricSample.of_categories(kinds, 1_000_000, first_share)
    assert len(resample([sample], seed=1)[0]) == 200
    assert most <= 4_000_000
