"""Figures for models that name classes, against numbers worked out by hand."""

import math

import pytest

from ftops.engine.classification_metrics import ClassSettings, compute_classification


def test_several_classes_give_accuracy_and_a_weighted_f1() -> None:
    expected = ["a", "a", "b", "c"]
    given = ["a", "b", "b", "b"]
    figures = compute_classification(expected, given, ClassSettings(3, None))
    # F1: a 2/3 (weight 2), b 2*1/(2*1+2) = 1/2 (weight 1), c 0 (weight 1)
    assert figures == {
        "classification/accuracy": 0.5,
        "classification/weighted_f1_score": pytest.approx((2 * 2 / 3 + 1 / 2) / 4),
    }


def test_two_classes_give_precision_recall_and_f_scores_of_the_positive_one() -> None:
    expected = ["yes", "yes", "yes", "no", "no"]
    given = ["yes", "no", "yes", "yes", "no"]
    figures = compute_classification(expected, given, ClassSettings(2, " yes", (0.5, 2.0)))
    third = pytest.approx(2 / 3)
    assert figures == {
        "classification/accuracy": 0.6,
        "classification/precision": third,
        "classification/recall": third,
        "classification/f1": third,
        "classification/f0.5": third,
        "classification/f2": third,
    }


def test_a_model_that_never_says_the_positive_class_scores_nothing() -> None:
    figures = compute_classification(["yes", "no"], ["no", "no"], ClassSettings(2, "yes"))
    assert figures["classification/precision"] == 0.0
    assert figures["classification/recall"] == 0.0
    assert figures["classification/accuracy"] == 0.5


def test_beta_weighs_recall_against_precision() -> None:
    figures = compute_classification(
        ["yes", "yes", "no"], ["yes", "no", "no"], ClassSettings(2, "yes", (0.5, 2.0))
    )
    # precision 1, recall 1/2
    assert figures["classification/f0.5"] == pytest.approx(1.25 * 0.5 / (0.25 + 0.5))
    assert figures["classification/f2"] == pytest.approx(5 * 0.5 / (4 + 0.5))


def test_the_areas_count_how_well_the_scores_part_the_classes() -> None:
    expected = ["yes", "no", "yes", "no"]
    figures = compute_classification(
        expected, expected, ClassSettings(2, "yes"), scores=[-0.1, -0.3, -0.5, -0.9]
    )
    # of four pairs, only (third, second) is in the wrong order
    assert figures["classification/auroc"] == pytest.approx(3 / 4)
    # the positives are found at precision 1 and 2/3
    assert figures["classification/auprc"] == pytest.approx((1 + 2 / 3) / 2)


def test_scores_that_are_all_the_same_say_nothing() -> None:
    expected = ["yes", "no", "no", "no"]
    figures = compute_classification(expected, expected, ClassSettings(2, "yes"), scores=[-1.0] * 4)
    assert figures["classification/auroc"] == 0.5
    assert figures["classification/auprc"] == 0.25


def test_one_class_alone_has_no_area_under_the_roc() -> None:
    figures = compute_classification(["yes"], ["yes"], ClassSettings(2, "yes"), scores=[-1.0])
    assert math.isnan(figures["classification/auroc"])
    assert figures["classification/auprc"] == 1.0
