"""What is planted in a curve is called by its name, and by no other."""

import math
from dataclasses import replace

import pytest

from ftops.metrics.result import ClassResult
from ftops.records import Checkpoint
from ftops.reports.diagnostic_checks import Diagnostic
from ftops.reports.diagnostics import diagnose
from ftops.reports.results import ResultRow
from ftops.reports.training import Training, TrainingFacts, create_training
from tests.reports.made_curves import decay, make

CLEAN = decay(2.0, 0.4, 6.0)
VALID = decay(2.1, 0.6, 6.0)


def rising(share: float) -> float:
    """Falls for a third of the training, then rises by half."""
    return VALID(share) + max(0.0, share - 1 / 3) * 0.6


def codes(training: Training, classes: tuple[ClassResult, ...] = ()) -> list[str]:
    return [finding.code for finding in diagnose(training, classes)]


def find(training: Training) -> Diagnostic:
    (finding,) = diagnose(training)
    return finding


def test_a_clean_curve_gives_no_finding() -> None:
    assert codes(make(CLEAN, VALID)) == []
    assert codes(make(CLEAN, VALID, is_full=True, valid_every=100)) == []
    assert codes(make(CLEAN)) == []
    assert codes(create_training([])) == []


@pytest.mark.parametrize(
    ("is_full", "every", "scatter"), [(False, 1, 0.2), (True, 100, 0.0), (True, 30, 0.01)]
)
def test_validation_that_rises_while_training_falls_is_over_fitting(
    is_full: bool, every: int, scatter: float
) -> None:
    training = make(
        decay(2.0, 0.05, 5.0), rising, valid_scatter=scatter, valid_every=every, is_full=is_full
    )
    finding = find(training)
    assert finding.code == "overfitting"
    assert 90 <= (finding.first_step or 0) <= 150
    assert finding.last_step == 300
    assert "while training loss fell" in finding.message


def test_over_fitting_names_the_epochs_and_the_checkpoint_to_prefer() -> None:
    kept = tuple(
        Checkpoint(f"c{step}", step, f"ft:m:ckpt-step-{step}", {"full_valid_loss": loss})
        for step, loss in ((100, 0.65), (200, 0.95))
    )
    training = make(
        decay(2.0, 0.05, 5.0),
        rising,
        is_full=True,
        valid_every=100,
        facts=TrainingFacts(n_epochs=3, checkpoints=kept),
    )
    finding = find(training)
    assert finding.checkpoint == kept[0]
    assert "ft:m:ckpt-step-100" in finding.advice
    assert "n_epochs: 1" in finding.advice
    late = replace(training, facts=TrainingFacts(n_epochs=3, checkpoints=kept[1:]))
    # that one has lost more than half of what there was to be lost: the finished model is as good
    assert find(late).checkpoint is None


def test_validation_that_rises_with_training_is_divergence_not_over_fitting() -> None:
    def back(share: float) -> float:
        return CLEAN(share) + max(0.0, share - 0.5) * 3

    training = make(back, back)
    assert codes(training) == ["divergence"]
    assert "rose from" in find(training).message


@pytest.mark.parametrize("lost", [{"is_lost": True}, {"is_lost": False}])
def test_a_training_loss_that_is_no_number_any_more_is_divergence(lost: dict[str, bool]) -> None:
    whole = make(CLEAN)
    rows = [
        row if row.step < 200 else ResultRow(row.step, epoch=row.epoch, is_lost=lost["is_lost"])
        for row in whole.rows
    ]
    finding = find(create_training(rows))
    assert (finding.code, finding.first_step) == ("divergence", 200)
    assert "no number from step 200 (epoch 2) on" in finding.message


def test_a_job_that_ends_while_the_loss_falls_steeply_is_under_trained() -> None:
    training = make(lambda share: 3.0 - 2.0 * share, lambda share: 3.1 - 1.9 * share, epochs=1)
    finding = find(training)
    assert finding.code == "undertraining"
    assert "2 epochs instead of 1" in finding.advice


def test_a_loss_that_stays_where_it_was_has_learned_nothing() -> None:
    finding = find(make(lambda share: 2.0 - 0.02 * share, lambda _share: 2.0))
    assert finding.code == "no-learning"
    assert "Raise learning_rate_multiplier" in finding.advice


def test_a_model_that_learns_all_in_its_first_steps_has_learned() -> None:
    assert codes(make(decay(2.0, 1.0, 200.0), steps=1000)) == []


def test_few_validation_rows_are_called_noise() -> None:
    finding = find(make(CLEAN, VALID, facts=TrainingFacts(validation_rows=9)))
    assert finding.code == "noisy-validation"
    assert "9 rows only" in finding.message


def test_validation_that_scatters_too_much_is_called_noise_and_nothing_is_read_from_it() -> None:
    training = make(decay(2.0, 0.05, 5.0), rising, steps=40, epochs=2, valid_scatter=1.2)
    assert codes(training) == ["noisy-validation"]


def test_validation_that_is_known_from_the_start_is_called_memorised() -> None:
    training = make(CLEAN, lambda _share: 0.01)
    finding = find(training)
    assert finding.code == "validation-leakage"
    assert "knows these rows already" in finding.message


def test_validation_that_is_easier_than_training_from_first_to_last_is_called_memorised() -> None:
    finding = find(make(CLEAN, lambda share: CLEAN(share) * 0.5))
    assert finding.code == "validation-leakage"
    assert "below training loss from first to last" in finding.message


def test_rows_that_stand_in_both_files_are_called_memorised() -> None:
    facts = TrainingFacts(validation_rows=200, overlap_rows=50)
    finding = find(make(CLEAN, VALID, facts=facts))
    assert finding.code == "validation-leakage"
    assert "50 of 200 validation rows (25%)" in finding.message


def test_one_answer_to_nearly_all_rows_is_a_collapse() -> None:
    one_for_all = (ClassResult("yes", 50, 97, 49), ClassResult("no", 50, 3, 2))
    as_expected = (ClassResult("yes", 95, 97, 94), ClassResult("no", 5, 3, 2))
    assert codes(make(CLEAN, VALID), one_for_all) == ["class-collapse"]
    assert codes(make(CLEAN, VALID), as_expected) == []


@pytest.mark.parametrize(
    ("figures", "is_collapse"),
    [
        ({"accuracy": 1 / 3, "weighted_f1_score": 1 / 6}, True),
        ({"accuracy": 0.461, "weighted_f1_score": 0.382}, False),  # bad, but of all classes
        ({"accuracy": 0.95, "weighted_f1_score": 0.93}, False),
        ({"accuracy": 0.6, "precision": 0.6, "recall": 1.0}, True),
        ({"accuracy": 0.6, "precision": 0.0, "recall": 0.0}, True),
        ({"accuracy": 0.8, "precision": 0.7, "recall": 0.9}, False),
    ],
)
def test_classification_columns_tell_a_collapse_without_an_evaluation(
    figures: dict[str, float], is_collapse: bool
) -> None:
    training = make(CLEAN, VALID)
    extra = {f"classification/{name}": value for name, value in figures.items()}
    last = training.rows[-1]._replace(extra=extra)
    training = create_training([*training.rows[:-1], last])
    assert codes(training) == (["class-collapse"] if is_collapse else [])


@pytest.mark.parametrize("answer", range(1, 6))
def test_the_figure_that_one_answer_to_all_rows_gives_is_the_one_that_is_looked_for(
    answer: int,
) -> None:
    """Weighted F1 of a constant answer, counted out, is 2a²/(1+a) at an accuracy of a."""
    expected = [label for label in range(1, 6) for _ in range(label)]
    accuracy = expected.count(answer) / len(expected)
    precision, recall = accuracy, 1.0
    weighted = accuracy * 2 * precision * recall / (precision + recall)
    assert math.isclose(weighted, 2 * accuracy**2 / (1 + accuracy))


def test_a_finding_is_a_sentence_with_figures_and_goes_to_json() -> None:
    finding = find(make(decay(2.0, 0.05, 5.0), rising, is_full=True, valid_every=30))
    assert finding.message.endswith(".")
    assert any(character.isdigit() for character in finding.message)
    assert finding.to_json()["code"] == "overfitting"
    assert finding.to_json()["checkpoint"] is None
