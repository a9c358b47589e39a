"""Two candidates on the same rows: verdicts, and the rows that would be needed."""

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
from tests.metrics.predictions import answer, draw_labels, draw_texts


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
        answer([("ab"[n % 2], "ab"[n % 2] if one[side] else "?") for n, one in enumerate(right)])
        for side in (0, 1)
    )
    return first, second


def test_a_clear_difference_is_better_one_way_and_worse_the_other() -> None:
    first, second = _pair(600, 150, 50, 200)
    made, back = _compare(first, second), _compare(second, first)
    assert (made.verdict, back.verdict) == (Verdict.BETTER, Verdict.WORSE)
    assert made.difference == pytest.approx(0.1)
    assert made.test == MCNEMAR
    assert made.p_value == pytest.approx(binomtest(150, 200).pvalue)
    assert made.low < 0.1 < made.high
    assert made.rows_needed is None


def test_a_planted_no_difference_is_called_so() -> None:
    made = _compare(*_pair(8_000, 200, 195, 1605))
    assert made.verdict is Verdict.NO_DIFFERENCE
    assert -0.02 <= made.low <= made.high <= 0.02


def test_few_rows_do_not_tell_and_say_how_many_would() -> None:
    made = _compare(*_pair(20, 6, 3, 11))
    assert made.verdict is Verdict.TOO_FEW_ROWS
    assert made.rows_needed is not None
    assert 150 < made.rows_needed < 400  # shares of 0.15 and 0.075 alone


def test_the_same_answers_on_few_rows_do_not_show_that_there_is_no_difference() -> None:
    made = _compare(*_pair(20, 0, 0, 10))
    assert (made.difference, made.p_value) == (0, 1)
    assert made.verdict is Verdict.TOO_FEW_ROWS
    assert made.rows_needed == 150  # three in 150 is 2 %, the margin
    assert _compare(*_pair(100, 0, 0, 50)).verdict is Verdict.NO_DIFFERENCE


@pytest.mark.parametrize("metric", ["f1", "f1_weighted", "recall"])
def test_metrics_of_classes_are_compared_by_a_paired_bootstrap(metric: str) -> None:
    first, second = draw_labels(600, 1, right=0.9), draw_labels(600, 1, right=0.9)
    worse = [
        one if one.line % 4 else Prediction(one.line, one.prompt, one.expected, "?")
        for one in second
    ]
    made = _compare(first, worse, metric)
    assert made.test == BOOTSTRAP
    assert made.verdict is Verdict.BETTER
    assert made.low < made.difference < made.high


def test_a_lower_distance_is_the_better_one() -> None:
    texts = draw_texts(300, 1)
    perfect = [Prediction(one.line, one.prompt, one.expected, one.expected) for one in texts]
    made = _compare(perfect, texts, "edit_distance")
    assert made.difference < 0
    assert made.verdict is Verdict.BETTER
    assert _compare(perfect, texts, "token_f1").verdict is Verdict.BETTER


def test_a_metric_that_one_of_them_lacks_is_not_compared() -> None:
    answers = draw_labels(60, 1)
    assert _try_to_compare(answers, answers, "auroc") is None


def test_candidates_of_other_rows_are_not_compared() -> None:
    answers = draw_labels(60, 1)
    with pytest.raises(ValueError, match="'other' and 'one' did not answer the same rows"):
        check_rows([("one", answers), ("other", answers[:-1])])


def test_one_of_twenty_comparisons_of_equals_is_not_called_a_difference() -> None:
    found = 0
    for seed in range(60):
        chance = random.Random(seed)
        rows = [[chance.random() < 0.8 for _ in range(200)] for _ in range(2)]
        pairs = [
            answer([("ab"[n % 2], "ab"[n % 2] if right else "?") for n, right in enumerate(side)])
            for side in rows
        ]
        found += _compare(pairs[0], pairs[1]).verdict in (Verdict.BETTER, Verdict.WORSE)
    assert found <= 7  # 3 of 60 are expected


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


def test_one_row_shows_nothing_however_far_apart_its_two_scores_are() -> None:
    made = _compare_scores([0.9], [0.1])
    assert (made.p_value, made.verdict) == (1.0, Verdict.TOO_FEW_ROWS)


@pytest.mark.parametrize("rows", [2, 3, 5, 8, 20])
def test_equal_models_on_few_rows_are_not_called_different_more_often_than_by_chance(
    rows: int,
) -> None:
    chance = np.random.default_rng(rows)
    called = 0
    for _ in range(200):
        first, second = chance.random(rows).tolist(), chance.random(rows).tolist()
        called += _compare_scores(first, second).verdict in (Verdict.BETTER, Verdict.WORSE)
    assert called <= 20  # 10 are to be expected of 200, and more than 20 once in 600 times


def test_scores_that_differ_alike_on_enough_rows_are_different() -> None:
    chance = np.random.default_rng(1)
    second = (chance.random(30) / 2).tolist()
    first = [one + 0.2 + 0.1 * float(chance.random()) for one in second]
    assert _compare_scores(first, second).verdict is Verdict.BETTER


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
