"""Areas under curves and calibration agree with scikit-learn, also with row weights."""

import random
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from ftops.metrics.prediction import Prediction
from ftops.metrics.probabilities import precision_recall_area, roc_area
from tests.metrics.predictions import make_predictions, measure, sample_labels


def _add_probabilities(
    predictions: list[Prediction], seed: int, *, digits: int = 2
) -> list[Prediction]:
    rng = random.Random(seed)
    labels = sorted({item.expected for item in predictions})
    changed = []
    for item in predictions:
        weights = [rng.random() + 0.5 * (label == item.predicted) for label in labels]
        shares = [round(weight / sum(weights), digits) for weight in weights]
        changed.append(replace(item, probabilities=dict(zip(labels, shares, strict=True))))
    return changed


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("name", "function"), [("auroc", roc_auc_score), ("auprc", average_precision_score)]
)
def test_areas_agree_with_scikit_learn(name: str, function, seed: int) -> None:  # type: ignore[no-untyped-def]
    predictions = _add_probabilities(sample_labels(150, seed), seed)
    areas = [
        function(
            [item.expected == label for item in predictions],
            [item.probabilities[label] for item in predictions],
        )
        for label in "abcd"
    ]
    sample = measure(name, predictions)
    assert sample.value == pytest.approx(np.mean(areas))
    alone = np.ones((1, sample.size))
    assert sample.statistic(alone)[0] == pytest.approx(np.mean(areas), abs=1e-9)
    assert measure(name, predictions, positive="b").value == pytest.approx(areas[1])


@pytest.mark.parametrize("seed", range(5))
def test_areas_of_a_resample_agree_with_scikit_learn_with_row_weights(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = np.round(rng.random(60), 1)
    positive = rng.random(60) < 0.4
    weights = rng.integers(0, 4, 60).astype(np.float64)
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


def test_binned_scores_do_not_change_the_area() -> None:
    predictions = _add_probabilities(sample_labels(20_000, 3, labels="ab"), 3, digits=12)
    sample = measure("auroc", predictions)
    assert sample.statistic(np.ones((1, sample.size)))[0] == pytest.approx(sample.value)


def test_rows_without_probabilities_are_skipped_with_a_note() -> None:
    predictions = _add_probabilities(sample_labels(60, 1), 1)
    part = [replace(item, probabilities={}) if item.line > 40 else item for item in predictions]
    for name in ("auroc", "auprc", "brier"):
        sample, expected = measure(name, part), measure(name, predictions[:40])
        assert sample.rows == 40
        assert sample.value == pytest.approx(expected.value)
        assert "20 have no probabilities" in sample.notes[0]


def test_without_probabilities_or_with_one_class_there_is_no_area() -> None:
    assert not measure("auroc", sample_labels(40, 1)).rows
    one_class = [
        replace(item, probabilities={"a": 0.9}) for item in make_predictions([("a", "a")] * 5)
    ]
    assert not measure("auroc", one_class).rows


def test_the_brier_score_agrees_with_scikit_learn() -> None:
    predictions = _add_probabilities(sample_labels(200, 5, labels="ab"), 5, digits=12)
    reference = brier_score_loss(
        [item.expected == "b" for item in predictions],
        [item.probabilities["b"] for item in predictions],
    )
    assert measure("brier", predictions).value == pytest.approx(
        2 * reference
    )  # the sum over both labels


def test_calibration_error_is_the_gap_of_probability_and_accuracy_by_bin() -> None:
    sure = [
        replace(item, probabilities={item.predicted: 0.95})
        for item in make_predictions([("a", "a"), ("b", "a")] * 5)
    ]
    unsure = [
        replace(item, probabilities={item.predicted: 0.55})
        for item in make_predictions([("a", "a"), ("b", "a")] * 5)
    ]
    assert measure("calibration_error", sure).value == pytest.approx(0.45)
    both = measure("calibration_error", sure + unsure)
    assert both.value == pytest.approx((0.45 + 0.05) / 2)
    assert not both.higher_is_better
    assert measure("calibration_error", sure + unsure, bins=1).value == pytest.approx(0.25)


def test_spaces_around_labels_of_probabilities_are_ignored() -> None:
    predictions = [
        replace(item, probabilities={f" {item.predicted}": 0.9, "other": 0.1})
        for item in make_predictions([("a", "a"), ("b", "b")] * 4)
    ]
    assert measure("auroc", predictions).value == 1.0
