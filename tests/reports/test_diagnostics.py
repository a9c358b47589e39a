"""Problems of training curves are detected and named correctly."""

import math
from dataclasses import replace

import pytest

from ftops.metrics.result import ClassResult
from ftops.records import Checkpoint
from ftops.reports.diagnostic_checks import Diagnostic
from ftops.reports.diagnostics import diagnose
from ftops.reports.results import ResultRow
from ftops.reports.training import Training, TrainingFacts, create_training
from tests.reports.training_curves import decay, make_training

CLEAN = decay(2.0, 0.4, 6.0)
VALID = decay(2.1, 0.6, 6.0)


def rising(share: float) -> float:
    """A loss that falls for a third of the training, then rises by half."""
    return VALID(share) + max(0.0, share - 1 / 3) * 0.6


def codes(training: Training, classes: tuple[ClassResult, ...] = ()) -> list[str]:
    return [finding.code for finding in diagnose(training, classes)]


def find(training: Training) -> Diagnostic:
    (finding,) = diagnose(training)
    return finding


def test_a_clean_curve_has_no_finding() -> None:
    assert codes(make_training(CLEAN, VALID)) == []
    assert codes(make_training(CLEAN, VALID, is_full=True, valid_every=100)) == []
    assert codes(make_training(CLEAN)) == []
    assert codes(create_training([])) == []


@pytest.mark.parametrize(
    ("is_full", "every", "scatter"), [(False, 1, 0.2), (True, 100, 0.0), (True, 30, 0.01)]
)
def test_rising_validation_with_falling_training_is_over_fitting(
    is_full: bool, every: int, scatter: float
) -> None:
    training = make_training(
        decay(2.0, 0.05, 5.0), rising, valid_scatter=scatter, valid_every=every, is_full=is_full
    )
    finding = find(training)
    assert finding.code == "overfitting"
    assert 90 <= (finding.first_step or 0) <= 150
    assert finding.last_step == 300
    assert "while training loss fell" in finding.message


def test_over_fitting_names_the_epochs_and_the_checkpoint_to_prefer() -> None:
    checkpoints = tuple(
        Checkpoint(f"c{step}", step, f"ft:m:ckpt-step-{step}", {"full_valid_loss": loss})
        for step, loss in ((100, 0.65), (200, 0.95))
    )
    training = make_training(
        decay(2.0, 0.05, 5.0),
        rising,
        is_full=True,
        valid_every=100,
        facts=TrainingFacts(n_epochs=3, checkpoints=checkpoints),
    )
    finding = find(training)
    assert finding.checkpoint == checkpoints[0]
    assert "ft:m:ckpt-step-100" in finding.advice
    assert "n_epochs: 1" in finding.advice
    late = replace(training, facts=TrainingFacts(n_epochs=3, checkpoints=checkpoints[1:]))
    # that checkpoint is past more than half of the increase: the final model is as good
    assert find(late).checkpoint is None


def test_validation_that_rises_with_training_is_divergence() -> None:
    def diverging(share: float) -> float:
        return CLEAN(share) + max(0.0, share - 0.5) * 3

    training = make_training(diverging, diverging)
    assert codes(training) == ["divergence"]
    assert "rose from" in find(training).message


@pytest.mark.parametrize("nan_columns", [{"is_lost": True}, {"is_lost": False}])
def test_a_nan_training_loss_is_divergence(nan_columns: dict[str, bool]) -> None:
    whole = make_training(CLEAN)
    rows = [
        row
        if row.step < 200
        else ResultRow(row.step, epoch=row.epoch, is_lost=nan_columns["is_lost"])
        for row in whole.rows
    ]
    finding = find(create_training(rows))
    assert (finding.code, finding.first_step) == ("divergence", 200)
    assert "no number from step 200 (epoch 2) on" in finding.message


def test_a_job_that_ends_with_a_falling_loss_is_under_trained() -> None:
    training = make_training(
        lambda share: 3.0 - 2.0 * share, lambda share: 3.1 - 1.9 * share, epochs=1
    )
    finding = find(training)
    assert finding.code == "undertraining"
    assert "2 epochs instead of 1" in finding.advice


def test_a_constant_loss_has_learned_nothing() -> None:
    finding = find(make_training(lambda share: 2.0 - 0.02 * share, lambda _share: 2.0))
    assert finding.code == "no-learning"
    assert "Raise learning_rate_multiplier" in finding.advice


def test_a_loss_that_falls_only_in_the_first_steps_has_learned() -> None:
    assert codes(make_training(decay(2.0, 1.0, 200.0), steps=1000)) == []


def test_few_validation_rows_are_noise() -> None:
    finding = find(make_training(CLEAN, VALID, facts=TrainingFacts(validation_rows=9)))
    assert finding.code == "noisy-validation"
    assert "9 rows only" in finding.message


def test_noisy_validation_has_no_other_finding() -> None:
    training = make_training(decay(2.0, 0.05, 5.0), rising, steps=40, epochs=2, valid_scatter=1.2)
    assert codes(training) == ["noisy-validation"]


def test_a_low_validation_loss_from_the_start_is_memorised() -> None:
    training = make_training(CLEAN, lambda _share: 0.01)
    finding = find(training)
    assert finding.code == "validation-leakage"
    assert "knows these rows already" in finding.message


def test_a_validation_loss_always_below_training_is_memorised() -> None:
    finding = find(make_training(CLEAN, lambda share: CLEAN(share) * 0.5))
    assert finding.code == "validation-leakage"
    assert "below training loss from first to last" in finding.message


def test_rows_in_both_files_are_memorised() -> None:
    facts = TrainingFacts(validation_rows=200, overlap_rows=50)
    finding = find(make_training(CLEAN, VALID, facts=facts))
    assert finding.code == "validation-leakage"
    assert "50 of 200 validation rows (25%)" in finding.message


def test_one_class_for_almost_all_rows_is_a_collapse() -> None:
    collapsed = (ClassResult("yes", 50, 97, 49), ClassResult("no", 50, 3, 2))
    as_expected = (ClassResult("yes", 95, 97, 94), ClassResult("no", 5, 3, 2))
    assert codes(make_training(CLEAN, VALID), collapsed) == ["class-collapse"]
    assert codes(make_training(CLEAN, VALID), as_expected) == []


@pytest.mark.parametrize(
    ("values", "is_collapse"),
    [
        ({"accuracy": 1 / 3, "weighted_f1_score": 1 / 6}, True),
        ({"accuracy": 0.461, "weighted_f1_score": 0.382}, False),  # low, but of all classes
        ({"accuracy": 0.95, "weighted_f1_score": 0.93}, False),
        ({"accuracy": 0.6, "precision": 0.6, "recall": 1.0}, True),
        ({"accuracy": 0.6, "precision": 0.0, "recall": 0.0}, True),
        ({"accuracy": 0.8, "precision": 0.7, "recall": 0.9}, False),
    ],
)
def test_classification_columns_show_a_collapse_without_an_evaluation(
    values: dict[str, float], is_collapse: bool
) -> None:
    training = make_training(CLEAN, VALID)
    extra = {f"classification/{name}": value for name, value in values.items()}
    last = training.rows[-1]._replace(extra=extra)
    training = create_training([*training.rows[:-1], last])
    assert codes(training) == (["class-collapse"] if is_collapse else [])


@pytest.mark.parametrize("constant", range(1, 6))
def test_the_weighted_f1_of_a_constant_prediction_is_detected(
    constant: int,
) -> None:
    """The weighted F1 of a constant prediction is 2a²/(1+a) at an accuracy of a."""
    expected = [label for label in range(1, 6) for _ in range(label)]
    accuracy = expected.count(constant) / len(expected)
    precision, recall = accuracy, 1.0
    weighted = accuracy * 2 * precision * recall / (precision + recall)
    assert math.isclose(weighted, 2 * accuracy**2 / (1 + accuracy))


def test_a_finding_has_a_sentence_with_values_and_json() -> None:
    finding = find(make_training(decay(2.0, 0.05, 5.0), rising, is_full=True, valid_every=30))
    assert finding.message.endswith(".")
    assert any(character.isdigit() for character in finding.message)
    assert finding.to_json()["code"] == "overfitting"
    assert finding.to_json()["checkpoint"] is None
