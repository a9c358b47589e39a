"""Resampling counts is resampling rows, and intervals agree with SciPy's bootstrap."""

import numpy as np
import pytest
from scipy.stats import bootstrap
from sklearn.metrics import f1_score

from ftops.metrics.bootstrap import DRAWS, interval, resample
from ftops.metrics.metric import Floats, MetricSample
from tests.metrics.predictions import measure, sample_labels, sample_texts


def test_the_interval_of_a_mean_agrees_with_the_percentile_bootstrap_of_scipy() -> None:
    scores = np.random.default_rng(4).gamma(2, 1, 300)
    theirs = bootstrap((scores,), np.mean, n_resamples=4000, method="percentile", rng=1)
    low, high = interval(resample([MetricSample.of_scores(scores.tolist())], seed=1)[0]) or (0, 0)
    assert low == pytest.approx(theirs.confidence_interval.low, abs=0.03)
    assert high == pytest.approx(theirs.confidence_interval.high, abs=0.03)


def test_resampling_counts_gives_the_interval_of_resampling_rows() -> None:
    predictions = sample_labels(200, 1)
    expected = np.array([item.expected for item in predictions])
    predicted = np.array([item.predicted for item in predictions])
    rng = np.random.default_rng(2)
    plain = []
    for _ in range(600):
        indices = rng.integers(0, 200, 200)
        plain.append(
            f1_score(expected[indices], predicted[indices], labels=[*"abcd"], average="macro")
        )
    low, high = interval(resample([measure("f1", predictions)], seed=1)[0]) or (0, 0)
    assert [low, high] == pytest.approx(np.quantile(plain, [0.025, 0.975]), abs=0.012)


def test_an_interval_has_its_nominal_coverage() -> None:
    covered = 0
    for seed in range(300):
        right = np.random.default_rng(seed).random(150) < 0.7
        resampled = resample([MetricSample.of_scores(right.astype(float).tolist())], seed=seed)[0]
        low, high = interval(resampled) or (0, 0)
        covered += low <= 0.7 <= high
    assert 0.91 < covered / 300 < 0.985


def test_few_and_many_distinct_scores_give_the_same_interval() -> None:
    scores = [float(n % 3) for n in range(600)]
    few = MetricSample.of_scores(scores)
    many = MetricSample.of_scores([score + n * 1e-12 for n, score in enumerate(scores)])
    assert (few.size, many.size) == (3, 600)
    bounds = [interval(resample([sample], seed=3)[0]) for sample in (few, many)]
    assert bounds[0] == pytest.approx(bounds[1], abs=0.02)


def test_two_samples_of_the_same_rows_are_resampled_together() -> None:
    scores = np.random.default_rng(1).random(300)
    first, second = (
        MetricSample.of_scores(scores.tolist()),
        MetricSample.of_scores((scores + 0.1).tolist()),
    )
    resampled = resample([first, second], seed=1)
    assert np.allclose(resampled[1] - resampled[0], 0.1)


def test_resampling_depends_on_the_seed() -> None:
    sample = measure("token_f1", sample_texts(100, 1))
    first, same, other = (resample([sample], seed=seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)
    assert len(first) == DRAWS


def test_unmeasured_rows_do_not_count_in_the_mean() -> None:
    sample = MetricSample.of_scores([1.0, None, 0.0, None, 1.0] * 20)
    assert sample.value == pytest.approx(2 / 3)
    assert sample.rows == 60
    low, high = interval(resample([sample], seed=1)[0]) or (0, 0)
    assert 0.5 < low < 2 / 3 < high < 0.8


def test_a_sample_without_a_value_has_no_resamples_and_no_interval() -> None:
    nothing, something = MetricSample.none("no rows"), MetricSample.of_scores([1.0, 0.0])
    resampled = resample([nothing, something], seed=1)
    assert [len(values) for values in resampled] == [0, DRAWS]
    assert interval(resampled[0]) is None
    assert resample([], seed=1) == []


def test_memory_is_limited_with_very_many_cells() -> None:
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
