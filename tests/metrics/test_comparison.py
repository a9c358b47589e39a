"""Comparison of two candidates on the same rows: verdicts and the required number of rows."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, false_discovery_control, norm

from ftops.evaluation.scoring import check_rows
from ftops.metrics.bootstrap import resample
from ftops.metrics.comparison import (
    BOOTSTRAP,
    MCNEMAR,
    ComparisonSide,
    bootstrap_p,
    compare,
    decide_verdicts,
    holm,
    mcnemar,
    rows_for_margin,
    rows_for_means,
    rows_for_shares,
    unseen,
)
from ftops.metrics.metric import MetricSample, RowMetric, create_metrics
from ftops.metrics.prediction import Prediction
from ftops.metrics.registry import MetricChoice
from ftops.metrics.result import Comparison, Verdict
from ftops.metrics.text import is_exact
from tests.metrics.predictions import make_predictions, sample_labels, sample_texts


def _try_to_compare(
    first: list[Prediction], second: list[Prediction], metric: str
) -> Comparison | None:
    (created,) = create_metrics([MetricChoice(metric)])
    samples = [created.measure(first), created.measure(second)]
    sides = [
        ComparisonSide(name, sample, draws)
        for name, sample, draws in zip(
            ("first", "second"), samples, resample(samples, seed=1), strict=True
        )
    ]
    pending = compare(created, sides[0], sides[1])
    return None if pending is None else decide_verdicts([pending])[0]


def _compare(
    first: list[Prediction], second: list[Prediction], metric: str = "accuracy"
) -> Comparison:
    comparison = _try_to_compare(first, second, metric)
    assert comparison is not None
    return comparison


def _pair(
    both: int, first_only: int, second_only: int, neither: int
) -> tuple[list[Prediction], list[Prediction]]:
    right = [(1, 1)] * both + [(1, 0)] * first_only + [(0, 1)] * second_only + [(0, 0)] * neither
    random.Random(1).shuffle(right)
    first, second = (
        make_predictions(
            [
                ("ab"[n % 2], "ab"[n % 2] if outcome[side] else "?")
                for n, outcome in enumerate(right)
            ]
        )
        for side in (0, 1)
    )
    return first, second


def test_a_clear_difference_is_better_in_one_order_and_worse_in_the_other() -> None:
    first, second = _pair(600, 150, 50, 200)
    comparison, reverse = _compare(first, second), _compare(second, first)
    assert (comparison.verdict, reverse.verdict) == (Verdict.BETTER, Verdict.WORSE)
    assert comparison.difference == pytest.approx(0.1)
    assert comparison.test == MCNEMAR
    assert comparison.p_value == pytest.approx(binomtest(150, 200).pvalue)
    assert comparison.low < 0.1 < comparison.high
    assert comparison.rows_needed is None


def test_equal_candidates_have_no_difference() -> None:
    comparison = _compare(*_pair(8_000, 200, 195, 1605))
    assert comparison.verdict is Verdict.NO_DIFFERENCE
    assert -0.02 <= comparison.low <= comparison.high <= 0.02


def test_too_few_rows_are_reported_with_the_required_number() -> None:
    comparison = _compare(*_pair(20, 6, 3, 11))
    assert comparison.verdict is Verdict.TOO_FEW_ROWS
    assert comparison.rows_needed is not None
    assert 150 < comparison.rows_needed < 400  # for shares of 0.15 and 0.075


def test_equal_predictions_on_few_rows_do_not_show_equality() -> None:
    comparison = _compare(*_pair(20, 0, 0, 10))
    assert (comparison.difference, comparison.p_value) == (0, 1)
    assert comparison.verdict is Verdict.TOO_FEW_ROWS
    assert comparison.rows_needed == 150  # three in 150 is 2 %, the margin
    assert _compare(*_pair(100, 0, 0, 50)).verdict is Verdict.NO_DIFFERENCE


@pytest.mark.parametrize("metric", ["f1", "f1_weighted", "recall"])
def test_metrics_of_classes_are_compared_by_a_paired_bootstrap(metric: str) -> None:
    first, second = sample_labels(600, 1, right=0.9), sample_labels(600, 1, right=0.9)
    worse = [
        item if item.line % 4 else Prediction(item.line, item.prompt, item.expected, "?")
        for item in second
    ]
    comparison = _compare(first, worse, metric)
    assert comparison.test == BOOTSTRAP
    assert comparison.verdict is Verdict.BETTER
    assert comparison.low < comparison.difference < comparison.high


def test_a_lower_distance_is_better() -> None:
    texts = sample_texts(300, 1)
    perfect = [Prediction(item.line, item.prompt, item.expected, item.expected) for item in texts]
    comparison = _compare(perfect, texts, "edit_distance")
    assert comparison.difference < 0
    assert comparison.verdict is Verdict.BETTER
    assert _compare(perfect, texts, "token_f1").verdict is Verdict.BETTER


def test_a_metric_missing_in_a_candidate_is_not_compared() -> None:
    predictions = sample_labels(60, 1)
    assert _try_to_compare(predictions, predictions, "auroc") is None


def test_candidates_with_other_rows_are_not_compared() -> None:
    predictions = sample_labels(60, 1)
    with pytest.raises(ValueError, match="'other' and 'one' did not answer the same rows"):
        check_rows([("one", predictions), ("other", predictions[:-1])])


def test_the_false_positive_rate_of_equal_candidates_is_limited() -> None:
    differences = 0
    for seed in range(60):
        rng = random.Random(seed)
        rows = [[rng.random() < 0.8 for _ in range(200)] for _ in range(2)]
        pairs = [
            make_predictions(
                [("ab"[n % 2], "ab"[n % 2] if right else "?") for n, right in enumerate(side)]
            )
            for side in rows
        ]
        differences += _compare(pairs[0], pairs[1]).verdict in (Verdict.BETTER, Verdict.WORSE)
    assert differences <= 7  # 3 of 60 are expected


def _compare_scores(first: list[float], second: list[float]) -> Comparison:
    samples = [MetricSample.of_scores(first), MetricSample.of_scores(second)]
    draws = resample(samples, seed=1)
    pending = compare(
        RowMetric("score", is_exact),
        ComparisonSide("a", samples[0], draws[0]),
        ComparisonSide("b", samples[1], draws[1]),
    )
    assert pending is not None
    return decide_verdicts([pending])[0]


def test_one_row_shows_nothing_for_any_scores() -> None:
    comparison = _compare_scores([0.9], [0.1])
    assert (comparison.p_value, comparison.verdict) == (1.0, Verdict.TOO_FEW_ROWS)


@pytest.mark.parametrize("rows", [2, 3, 5, 8, 20])
def test_the_false_positive_rate_on_few_rows_is_limited(
    rows: int,
) -> None:
    rng = np.random.default_rng(rows)
    differences = 0
    for _ in range(200):
        first, second = rng.random(rows).tolist(), rng.random(rows).tolist()
        differences += _compare_scores(first, second).verdict in (Verdict.BETTER, Verdict.WORSE)
    assert differences <= 20  # 10 of 200 are expected; more than 20 occur once in 600 times


def test_a_constant_difference_of_scores_on_enough_rows_is_found() -> None:
    rng = np.random.default_rng(1)
    second = (rng.random(30) / 2).tolist()
    first = [score + 0.2 + 0.1 * float(rng.random()) for score in second]
    assert _compare_scores(first, second).verdict is Verdict.BETTER


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_an_exact_binomial_test(first: int, second: int) -> None:
    reference = binomtest(first, first + second).pvalue if first + second else 1.0
    assert mcnemar(first, second) == pytest.approx(reference, abs=1e-9)


def test_mcnemar_of_very_many_rows_is_finite() -> None:
    assert mcnemar(40_000, 40_000) == 1.0
    assert 0.0 <= mcnemar(10_000, 90_000) < 1e-300


def test_holm_corrects_by_rank_and_keeps_the_order() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_between_no_correction_and_bonferroni(p_values: list[float]) -> None:
    corrected = holm(p_values)
    lower_bounds = false_discovery_control(
        p_values
    )  # never above a correction of the family-wise error
    for plain, adjusted, lower_bound in zip(p_values, corrected, lower_bounds, strict=True):
        assert plain <= adjusted <= min(1.0, plain * len(p_values))
        assert adjusted >= lower_bound - 1e-12


def test_a_bootstrap_p_value_is_two_sided_and_never_zero() -> None:
    assert bootstrap_p(np.full(999, 0.5)) == pytest.approx(0.002)
    assert bootstrap_p(-np.full(999, 0.5)) == pytest.approx(0.002)
    assert bootstrap_p(np.zeros(99)) == 1.0
    assert bootstrap_p(np.array([1.0, -1.0] * 50)) == 1.0


def test_the_p_value_beyond_all_resamples_is_extrapolated() -> None:
    samples = np.random.default_rng(1).normal(0.5, 0.1, 200)
    assert bootstrap_p(samples) == pytest.approx(2 * norm.sf(5), rel=5)
    assert bootstrap_p(samples) < 1e-4 < 2 / 201


@pytest.mark.parametrize(("difference", "discordant"), [(0.1, 0.3), (-0.05, 0.2), (0.2, 0.25)])
def test_the_required_rows_have_a_power_of_80_percent(difference: float, discordant: float) -> None:
    rows = rows_for_shares(difference, discordant)
    assert rows is not None
    shares = [(discordant + difference) / 2, (discordant - difference) / 2, 1 - discordant]
    samples = np.random.default_rng(1).multinomial(rows, shares, size=1000)
    power = np.mean([mcnemar(int(a), int(b)) < 0.05 for a, b, _ in samples])
    assert 0.72 < power < 0.86  # the exact test has slightly less power than the formula


def test_rows_for_means_follow_the_normal_power_formula() -> None:
    reference = 2.0 * ((norm.ppf(0.975) + norm.ppf(0.8)) / 0.1) ** 2
    assert rows_for_means(0.1, 2.0) == pytest.approx(reference, abs=1)


def test_a_zero_difference_has_no_required_rows() -> None:
    assert rows_for_shares(0.0, 0.2) is None
    assert rows_for_means(0.0, 1.0) is None
    assert rows_for_means(0.1, float("nan")) is None
    assert rows_for_means(1e-9, 1.0) is None


@pytest.mark.parametrize("variance", [0.0, 0.2, 1.5])
def test_the_required_rows_put_the_interval_inside_the_margin(variance: float) -> None:
    rows = rows_for_margin(variance, 0.02)
    assert rows is not None
    for count, inside in ((rows, True), (rows - 1, False)):
        half = norm.ppf(0.975) * np.sqrt(variance / count) + unseen(count)
        assert bool(half <= 0.02 + 1e-12) is inside


def test_a_margin_of_zero_is_never_reached() -> None:
    assert rows_for_margin(0.2, 0.0) is None
