"""Tests of significance are those of SciPy, and the rows they ask for are enough."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, false_discovery_control, norm

from ftops.metrics.significance import (
    bootstrap_p,
    holm,
    mcnemar,
    rows_for_margin,
    rows_for_means,
    rows_for_shares,
    unseen,
)


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_an_exact_binomial_test(first: int, second: int) -> None:
    wanted = binomtest(first, first + second).pvalue if first + second else 1.0
    assert mcnemar(first, second) == pytest.approx(wanted, abs=1e-9)


def test_mcnemar_of_very_many_rows_is_a_number() -> None:
    assert mcnemar(40_000, 40_000) == 1.0
    assert 0.0 <= mcnemar(10_000, 90_000) < 1e-300


def test_holm_corrects_by_rank_and_keeps_the_order() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_between_no_correction_and_bonferronis(p_values: list[float]) -> None:
    corrected = holm(p_values)
    least = false_discovery_control(p_values)  # never above a correction of every error
    for plain, one, false_discovery in zip(p_values, corrected, least, strict=True):
        assert plain <= one <= min(1.0, plain * len(p_values))
        assert one >= false_discovery - 1e-12


def test_a_bootstrap_p_is_two_sided_and_never_nothing() -> None:
    assert bootstrap_p(np.full(999, 0.5)) == pytest.approx(0.002)
    assert bootstrap_p(-np.full(999, 0.5)) == pytest.approx(0.002)
    assert bootstrap_p(np.zeros(99)) == 1.0
    assert bootstrap_p(np.array([1.0, -1.0] * 50)) == 1.0


def test_a_difference_far_beyond_all_resamples_is_rarer_than_they_can_count() -> None:
    drawn = np.random.default_rng(1).normal(0.5, 0.1, 200)
    assert bootstrap_p(drawn) == pytest.approx(2 * norm.sf(5), rel=5)
    assert bootstrap_p(drawn) < 1e-4 < 2 / 201


@pytest.mark.parametrize(("difference", "discordant"), [(0.1, 0.3), (-0.05, 0.2), (0.2, 0.25)])
def test_so_many_rows_show_a_difference_four_times_of_five(
    difference: float, discordant: float
) -> None:
    rows = rows_for_shares(difference, discordant)
    assert rows is not None
    shares = [(discordant + difference) / 2, (discordant - difference) / 2, 1 - discordant]
    drawn = np.random.default_rng(1).multinomial(rows, shares, size=1000)
    found = np.mean([mcnemar(int(a), int(b)) < 0.05 for a, b, _ in drawn])
    assert 0.72 < found < 0.86  # the exact test is a little shy of the formula


def test_rows_for_means_follow_the_normal_power_formula() -> None:
    wanted = 2.0 * ((norm.ppf(0.975) + norm.ppf(0.8)) / 0.1) ** 2
    assert rows_for_means(0.1, 2.0) == pytest.approx(wanted, abs=1)


def test_no_difference_needs_no_rows_that_could_be_named() -> None:
    assert rows_for_shares(0.0, 0.2) is None
    assert rows_for_means(0.0, 1.0) is None
    assert rows_for_means(0.1, float("nan")) is None
    assert rows_for_means(1e-9, 1.0) is None


@pytest.mark.parametrize("variance", [0.0, 0.2, 1.5])
def test_so_many_rows_put_an_interval_of_no_difference_inside_the_margin(variance: float) -> None:
    rows = rows_for_margin(variance, 0.02)
    assert rows is not None
    for count, inside in ((rows, True), (rows - 1, False)):
        half = norm.ppf(0.975) * np.sqrt(variance / count) + unseen(count)
        assert bool(half <= 0.02 + 1e-12) is inside


def test_a_margin_of_nothing_is_never_reached() -> None:
    assert rows_for_margin(0.2, 0.0) is None
