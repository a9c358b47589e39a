"""Two candidates on the same rows: verdicts, and the rows that would be needed."""

import random

import numpy as np
import pytest
from scipy.stats import binomtest

from ftops.evaluation.scoring import check_rows
from ftops.metrics.bootstrap import resample
from ftops.metrics.comparison import (
    BOOTSTRAP,
    MCNEMAR,
    ComparisonSide,
    compare,
    decide_verdicts,
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
