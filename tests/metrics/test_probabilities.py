"""Areas under curves and calibration agree with scikit-learn, weighted rows included."""

import random
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from ftops.metrics.prediction import Prediction
from ftops.metrics.probabilities import precision_recall_area, roc_area
from tests.metrics.predictions import answer, draw_labels, measure


def _with_chances(answers: list[Prediction], seed: int, *, digits: int = 2) -> list[Prediction]:
    chance = random.Random(seed)
    labels = sorted({one.expected for one in answers})
    made = []
    for one in answers:
        weights = [chance.random() + 0.5 * (label == one.predicted) for label in labels]
        shares = [round(weight / sum(weights), digits) for weight in weights]
        made.append(replace(one, probabilities=dict(zip(labels, shares, strict=True))))
    return made


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("name", "function"), [("auroc", roc_auc_score), ("auprc", average_precision_score)]
)
def test_areas_agree_with_scikit_learn(name: str, function, seed: int) -> None:  # type: ignore[no-untyped-def]
    answers = _with_chances(draw_labels(150, seed), seed)
    areas = [
        function(
            [one.expected == label for one in answers],
            [one.probabilities[label] for one in answers],
        )
        for label in "abcd"
    ]
    sample = measure(name, answers)
    assert sample.value == pytest.approx(np.mean(areas))
    alone = np.ones((1, sample.size))
    assert sample.statistic(alone)[0] == pytest.approx(np.mean(areas), abs=1e-9)
    assert measure(name, answers, positive="b").value == pytest.approx(areas[1])


@pytest.mark.parametrize("seed", range(5))
def test_areas_of_a_resample_agree_with_scikit_learns_of_weighted_rows(seed: int) -> None:
    chance = np.random.default_rng(seed)
    scores = np.round(chance.random(60), 1)
    positive = chance.random(60) < 0.4
    weights = chance.integers(0, 4, 60).astype(np.float64)
    _, places = np.unique(scores, return_inverse=True)
    counts = [
        np.bincount(places[side], weights[side], 11)[None].astype(float)
        for side in (~positive, positive)
    ]
    assert roc_area(*counts)[0] == pytest.approx(
        roc_auc_score(positive, scores, sample_weight=weights)
    )
    assert precision_recall_area(*counts)[0] == pytest.approx(
        average_precision_score(positive, scores, sample_weight=weights)
    )


def test_joined_neighbours_leave_the_figure_where_it_is() -> None:
    answers = _with_chances(draw_labels(20_000, 3, labels="ab"), 3, digits=12)
    sample = measure("auroc", answers)
    assert sample.statistic(np.ones((1, sample.size)))[0] == pytest.approx(sample.value)


def test_rows_without_probabilities_are_left_out_with_a_note() -> None:
    answers = _with_chances(draw_labels(60, 1), 1)
    part = [replace(one, probabilities={}) if one.line > 40 else one for one in answers]
    for name in ("auroc", "auprc", "brier"):
        sample, told = measure(name, part), measure(name, answers[:40])
        assert sample.rows == 40
        assert sample.value == pytest.approx(told.value)
        assert "20 have no probabilities" in sample.notes[0]


def test_without_any_chance_or_with_one_class_there_is_no_area() -> None:
    assert not measure("auroc", draw_labels(40, 1)).rows
    one_class = [replace(one, probabilities={"a": 0.9}) for one in answer([("a", "a")] * 5)]
    assert not measure("auroc", one_class).rows


def test_the_brier_score_agrees_with_scikit_learn() -> None:
    answers = _with_chances(draw_labels(200, 5, labels="ab"), 5, digits=12)
    wanted = brier_score_loss(
        [one.expected == "b" for one in answers], [one.probabilities["b"] for one in answers]
    )
    assert measure("brier", answers).value == pytest.approx(2 * wanted)  # both labels are summed


def test_calibration_error_is_the_gap_of_chance_and_share_by_bin() -> None:
    sure = [
        replace(one, probabilities={one.predicted: 0.95})
        for one in answer([("a", "a"), ("b", "a")] * 5)
    ]
    unsure = [
        replace(one, probabilities={one.predicted: 0.55})
        for one in answer([("a", "a"), ("b", "a")] * 5)
    ]
    assert measure("calibration_error", sure).value == pytest.approx(0.45)
    both = measure("calibration_error", sure + unsure)
    assert both.value == pytest.approx((0.45 + 0.05) / 2)
    assert not both.higher_is_better
    assert measure("calibration_error", sure + unsure, bins=1).value == pytest.approx(0.25)


def test_chances_named_with_blanks_are_those_of_the_label() -> None:
    answers = [
        replace(one, probabilities={f" {one.predicted}": 0.9, "other": 0.1})
        for one in answer([("a", "a"), ("b", "b")] * 4)
    ]
    assert measure("auroc", answers).value == 1.0
