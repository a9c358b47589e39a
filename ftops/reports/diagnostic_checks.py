"""The checks of training curves, with their thresholds; each detects one problem."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ftops.metrics.result import ClassResult
from ftops.records import Checkpoint, Json
from ftops.reports.loss_curve import Level, LossCurve, LossCurves
from ftops.reports.results import ResultRow
from ftops.reports.training import Training


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """A problem of a training.

    `message` is one sentence with figures, `advice` the next step. `checkpoint` is the recommended
    checkpoint, if it is better than the final model.
    """

    code: str
    message: str
    advice: str
    first_step: int | None = None
    last_step: int | None = None
    checkpoint: Checkpoint | None = None

    def to_json(self) -> dict[str, Json]:
        kept = self.checkpoint
        return {
            "code": self.code,
            "message": self.message,
            "advice": self.advice,
            "first_step": self.first_step,
            "last_step": self.last_step,
            "checkpoint": {"step": kept.step, "model": kept.model} if kept else None,
        }


@dataclass(frozen=True, slots=True)
class DiagnosticInput:
    """The data of the checks; `classes` come from an evaluation, and are empty without one."""

    training: Training
    curves: LossCurves
    classes: Sequence[ClassResult] = ()


DIVERGENCE_CODE = "divergence"
DIVERGENCE_LEAST_STEPS = 10
DIVERGENCE_LOST_AT_END = 3  # consecutive steps without a training loss at the end
DIVERGENCE_RISE = 0.3  # of the previous fall of the training loss
DIVERGENCE_RISE_OF_LOWEST = 0.25
DIVERGENCE_LEAST_RISE = 0.1  # nats per token
DIVERGENCE_ERRORS = 5.0
_DIVERGENCE_ADVICE = (
    "The model is worse than it was: do not use it. Train again with a lower"
    " learning_rate_multiplier (a quarter, say)."
)


def check_divergence(data: DiagnosticInput) -> Diagnostic | None:
    """Check whether the training loss is not finite, missing at the end, or rises again."""
    return _check_lost_loss(data) or _check_rising_loss(data)


def _check_lost_loss(data: DiagnosticInput) -> Diagnostic | None:
    rows = data.training.rows
    lost = next((row.step for row in rows if row.is_lost), None)
    known = [index for index, row in enumerate(rows) if row.train_loss is not None]
    if lost is None and len(known) >= DIVERGENCE_LEAST_STEPS:
        # nearly every earlier row has a loss, so the table has no rows for validation alone
        is_whole = len(known) >= 0.9 * (known[-1] + 1)
        if is_whole and len(rows) - 1 - known[-1] >= DIVERGENCE_LOST_AT_END:
            lost = rows[known[-1] + 1].step
    if lost is None:
        return None
    before = [row.train_loss for row in rows if row.step < lost and row.train_loss is not None]
    last = f"; the last figure before was {before[-1]:.3g}" if before else ""
    return Diagnostic(
        DIVERGENCE_CODE,
        f"The training loss is no number from {format_step(data.training, lost)} on{last}.",
        _DIVERGENCE_ADVICE,
        lost,
        rows[-1].step,
    )


def _check_rising_loss(data: DiagnosticInput) -> Diagnostic | None:
    train: LossCurve = data.curves.train
    if len(train) < DIVERGENCE_LEAST_STEPS:
        return None
    levels = train.split(10)
    lowest, end = min(levels, key=lambda level: level.value), levels[-1]
    fallen = max(train.values[0], levels[0].value) - lowest.value
    needed = max(
        DIVERGENCE_RISE * fallen,
        DIVERGENCE_RISE_OF_LOWEST * lowest.value,
        DIVERGENCE_LEAST_RISE,
        DIVERGENCE_ERRORS * math.hypot(lowest.error, end.error),
    )
    if lowest is end or end.value - lowest.value < needed:
        return None
    return Diagnostic(
        DIVERGENCE_CODE,
        f"Training loss rose from {lowest.value:.3g} around"
        f" {format_step(data.training, lowest.last_step)} to {end.value:.3g} at the end.",
        _DIVERGENCE_ADVICE,
        lowest.last_step,
        end.last_step,
    )


NO_LEARNING_CODE = "no-learning"
NO_LEARNING_LEAST_STEPS = 10
NO_LEARNING_FALL = 0.05  # of the first loss
NO_LEARNING_SURELY_BELOW = 0.15  # of the first loss: the upper bound of the fall, including scatter
NO_LEARNING_LEAST_LOSS = 0.1  # nats per token; below, there is little to learn
NO_LEARNING_ERRORS = 2.0
_NO_LEARNING_BEGINNINGS = (
    10,
    20,
    50,
    100,
    200,
)  # a model may learn everything in the first steps


def check_no_learning(data: DiagnosticInput) -> Diagnostic | None:
    """Check whether neither training nor validation loss fell by more than its scatter."""
    train = data.curves.train
    if len(train) < NO_LEARNING_LEAST_STEPS or _has_fallen(train) or _has_fallen(data.curves.valid):
        return None
    levels = train.split(10)
    first, end = levels[0], levels[-1]
    error = math.hypot(first.error, end.error)
    most = first.value - end.value + NO_LEARNING_ERRORS * error
    if first.value < NO_LEARNING_LEAST_LOSS or most > NO_LEARNING_SURELY_BELOW * first.value:
        return None
    fall = (first.value - end.value) / first.value
    return Diagnostic(
        NO_LEARNING_CODE,
        f"Training loss is {end.value:.3g} at the end and was {first.value:.3g} in the beginning:"
        f" {'it fell by' if fall >= 0 else 'it rose by'} {abs(fall):.1%}.",
        "Raise learning_rate_multiplier, and check that the prompts determine the completions"
        " (`ftops data baseline`).",
        first.first_step,
        end.last_step,
    )


def _has_fallen(curve: LossCurve) -> bool:
    """Whether the end is below any of the initial sections, short or long."""
    if len(curve) < 2:
        return False
    end = curve.split(10)[-1]
    for parts in _NO_LEARNING_BEGINNINGS:
        size = max(1, len(curve) // parts)
        first = curve.get_level(0, size)
        error = math.hypot(first.error, end.error)
        if first.value - end.value >= max(
            NO_LEARNING_FALL * first.value, NO_LEARNING_ERRORS * error
        ):
            return True
    return False


COLLAPSE_CODE = "class-collapse"
COLLAPSE_SHARE = 0.9  # of the answers that are equal
COLLAPSE_MORE_THAN_EXPECTED = 0.2  # above the share of rows with that expected answer
COLLAPSE_NEAR = 0.02  # distance from the value of one answer to all rows
COLLAPSE_LEAST_MISSED = 0.1  # of the rows; a model that is nearly always right has not collapsed
_COLLAPSE_ADVICE = (
    "Balance the classes (`ftops data stats` counts them), look whether the separator and the label"
    " are the same in every row, and train for more epochs."
)


def check_class_collapse(data: DiagnosticInput) -> Diagnostic | None:
    """Check the predictions of an evaluation, or the classification metrics of the results."""
    if data.classes:
        return _check_predictions(data.classes)
    figures = _list_classification_metrics(data)
    return _check_weighted_f1(figures) or _check_recall(figures)


def _check_predictions(classes: Sequence[ClassResult]) -> Diagnostic | None:
    rows = sum(one.rows for one in classes)
    if len(classes) < 2 or not rows:
        return None
    usual = max(classes, key=lambda one: one.predicted)
    share, expected = usual.predicted / rows, usual.rows / rows
    if share < COLLAPSE_SHARE or share - expected < COLLAPSE_MORE_THAN_EXPECTED:
        return None
    return Diagnostic(
        COLLAPSE_CODE,
        f"The model answers {usual.label!r} to {share:.0%} of the rows; {expected:.0%} of them"
        " expect it.",
        _COLLAPSE_ADVICE,
    )


def _list_classification_metrics(data: DiagnosticInput) -> dict[str, float]:
    """The last value of each classification metric, without its prefix."""
    found: dict[str, float] = {}
    for row in reversed(data.training.rows):
        for name, figure in row.extra.items():
            if name.startswith("classification/") and figure is not None:
                found.setdefault(name.removeprefix("classification/"), figure)
        if found:  # they are in one row, usually the last one
            break
    return found


def _check_weighted_f1(figures: dict[str, float]) -> Diagnostic | None:
    """Check for one answer to all rows: a weighted F1 of 2a²/(1+a) at an accuracy of a.

    The predicted class has precision a, recall 1 and weight a; the F1 of the others is 0.
    """
    accuracy, weighted = figures.get("accuracy"), figures.get("weighted_f1_score")
    if accuracy is None or weighted is None or accuracy > 1 - COLLAPSE_LEAST_MISSED:
        return None
    if weighted > 2 * accuracy**2 / (1 + accuracy) + COLLAPSE_NEAR:
        return None
    return Diagnostic(
        COLLAPSE_CODE,
        f"Accuracy is {accuracy:.0%} and weighted F1 {weighted:.2f}, as if the model gave the same"
        " answer to nearly all rows.",
        _COLLAPSE_ADVICE,
    )


def _check_recall(figures: dict[str, float]) -> Diagnostic | None:
    """Check for two classes, one always predicted (recall 1, precision its share) or never."""
    accuracy, recall = figures.get("accuracy"), figures.get("recall")
    precision = figures.get("precision")
    if (
        accuracy is None
        or recall is None
        or precision is None
        or accuracy > 1 - COLLAPSE_LEAST_MISSED
    ):
        return None
    always = recall >= 1 - COLLAPSE_NEAR and abs(precision - accuracy) <= COLLAPSE_NEAR
    if not always and recall > COLLAPSE_NEAR:
        return None
    return Diagnostic(
        COLLAPSE_CODE,
        f"The positive class is {'always' if always else 'never'} answered: recall {recall:.0%},"
        f" accuracy {accuracy:.0%}.",
        _COLLAPSE_ADVICE,
    )


LEAKAGE_CODE = "validation-leakage"
LEAKAGE_OVERLAP = 0.05  # of the validation rows
LEAKAGE_BEGINNING = 0.05  # of all steps
LEAKAGE_KNOWN_LOSS = 0.05  # nats per token
LEAKAGE_KNOWN_ACCURACY = 0.99  # of tokens
LEAKAGE_BELOW_TRAINING = 0.8  # of the training loss of the same steps
LEAKAGE_LEAST_DIFFERENCE = 0.05  # nats per token
LEAKAGE_LEAST_POINTS = 3
_LEAKAGE_ADVICE = (
    "Look for equal or nearly equal rows in both files"
    " (`ftops data check TRAIN --validation VALIDATION`), and split again (`ftops data split`)."
)


def check_validation_leakage(data: DiagnosticInput) -> Diagnostic | None:
    """Check for shared rows, and for validation rows that are known or always easier."""
    return _check_shared_rows(data) or _check_known_rows(data) or _check_easier_rows(data)


def _check_shared_rows(data: DiagnosticInput) -> Diagnostic | None:
    facts = data.training.facts
    shared, rows = facts.overlap_rows or 0, facts.validation_rows or 0
    if not rows or shared < LEAKAGE_OVERLAP * rows:
        return None
    return Diagnostic(
        LEAKAGE_CODE,
        f"{shared:,} of {rows:,} validation rows ({shared / rows:.0%}) are training rows, too:"
        " what validation shows is memory.",
        "Take them out of one of the files; `ftops data split` makes files that share none.",
    )


def _check_known_rows(data: DiagnosticInput) -> Diagnostic | None:
    curves, rows = data.curves, data.training.rows
    if not curves.valid or not rows:
        return None
    total = max(rows[-1].step, data.training.facts.total_steps or 0)
    loss = curves.valid.find_level_at(0, int(LEAKAGE_BEGINNING * total))
    accuracy = curves.valid_accuracy.find_level_at(0, int(LEAKAGE_BEGINNING * total))
    if loss is None or loss.value > LEAKAGE_KNOWN_LOSS:
        return None
    if accuracy is not None and accuracy.value < LEAKAGE_KNOWN_ACCURACY:
        return None
    share = "" if accuracy is None else f" (token accuracy {accuracy.value:.1%})"
    return Diagnostic(
        LEAKAGE_CODE,
        f"Validation loss is {loss.value:.2g}{share} by step {loss.last_step:,}, when training has"
        " hardly begun: the model knows these rows already.",
        _LEAKAGE_ADVICE
        + " If there are none, the task is too easy for validation to tell anything.",
        loss.first_step,
        loss.last_step,
    )


def _check_easier_rows(data: DiagnosticInput) -> Diagnostic | None:
    curves = data.curves
    levels = curves.split_validation()
    if len(levels) < LEAKAGE_LEAST_POINTS:
        return None
    pairs = [(level, _find_training_around(curves.train, level)) for level in levels]
    if not all(train is not None and _is_easier(level, train) for level, train in pairs):
        return None
    first = levels[0].value / (pairs[0][1].value if pairs[0][1] else 1.0)
    last = levels[-1].value / (pairs[-1][1].value if pairs[-1][1] else 1.0)
    return Diagnostic(
        LEAKAGE_CODE,
        f"Validation loss lies below training loss from first to last ({first:.0%} of it in the"
        f" beginning, {last:.0%} at the end): rows never seen should not be the easier ones.",
        _LEAKAGE_ADVICE,
        levels[0].first_step,
        levels[-1].last_step,
    )


def _find_training_around(train: LossCurve, level: Level) -> Level | None:
    """The training loss around a section, from both sides, as it falls along the section."""
    if not train:
        return None
    half = max(1, train.steps[-1] // 40)
    return train.find_level_at(level.first_step - half, level.last_step + half)


def _is_easier(valid: Level, train: Level) -> bool:
    difference = train.value - valid.value
    scatter = 2 * (valid.error**2 + train.error**2) ** 0.5
    return valid.value < LEAKAGE_BELOW_TRAINING * train.value and difference > max(
        LEAKAGE_LEAST_DIFFERENCE, scatter
    )


OVERFITTING_CODE = "overfitting"
OVERFITTING_LEAST_POINTS = 3
OVERFITTING_RISE = 0.05  # of the lowest validation loss
OVERFITTING_RISE_OF_MANY = 0.03  # with enough points to know their scatter
OVERFITTING_LEAST_RISE = 0.02  # nats per token
OVERFITTING_ERRORS = 4.0  # standard errors by which the rise exceeds scatter
_OVERFITTING_MANY = 8


def check_overfitting(data: DiagnosticInput) -> Diagnostic | None:
    """Check whether validation loss ends above its minimum while training loss has fallen since."""
    curves = data.curves
    levels = curves.split_validation()
    if len(levels) < OVERFITTING_LEAST_POINTS:
        return None
    best, end = min(levels, key=lambda level: level.value), levels[-1]
    rise = end.value - best.value
    share = OVERFITTING_RISE_OF_MANY if len(levels) >= _OVERFITTING_MANY else OVERFITTING_RISE
    needed = max(
        share * best.value,
        OVERFITTING_LEAST_RISE,
        OVERFITTING_ERRORS * math.hypot(best.error, end.error),
    )
    if best is end or rise < needed:
        return None
    before, after = _find_training_loss(curves.train, best), _find_training_loss(curves.train, end)
    if before is None or after is None or after >= before:
        return None
    return _describe_overfitting(data, best, end, (before, after))


def _find_training_loss(train: LossCurve, level: Level) -> float | None:
    """The training loss around a section of validation, over at least a twentieth of all steps."""
    if not train:
        return None
    width = max(level.last_step - level.first_step, train.steps[-1] // 20, 1)
    found = train.find_level_at(level.last_step - width, level.last_step)
    return None if found is None else found.value


def _describe_overfitting(
    data: DiagnosticInput, best: Level, end: Level, trained: tuple[float, float]
) -> Diagnostic:
    training = data.training
    checkpoint = find_best_checkpoint(training.rows, training.facts.checkpoints, best, end)
    epoch = training.find_epoch(best.last_step)
    message = (
        f"Validation loss rose from {best.value:.3g} at {format_step(training, best.last_step)} to"
        f" {end.value:.3g} at the end, while training loss fell from {trained[0]:.3g} to"
        f" {trained[1]:.3g}."
    )
    advice = []
    if checkpoint:
        advice.append(f"Prefer the checkpoint of step {checkpoint.step}, {checkpoint.model}.")
    if epoch and epoch < (training.rows[-1].epoch or 0):
        advice.append(f"Train for {format_epochs(epoch)} (n_epochs: {epoch}), or on more rows.")
    else:
        advice.append("Train for fewer steps, or on more rows.")
    if _is_accuracy_kept(data.curves.valid_accuracy):
        advice.append(
            "Token accuracy on validation is no lower for it: the answers may be as good, and only"
            " surer of themselves where they are wrong."
        )
    return Diagnostic(
        OVERFITTING_CODE, message, " ".join(advice), best.last_step, end.last_step, checkpoint
    )


def find_best_checkpoint(
    rows: Sequence[ResultRow], checkpoints: Sequence[Checkpoint], best: Level, end: Level
) -> Checkpoint | None:
    """The checkpoint with the lowest validation loss, if it avoids half of the rise."""
    rated = [
        (loss, checkpoint)
        for checkpoint in checkpoints
        if (loss := _find_validation_loss(rows, checkpoint)) is not None
    ]
    if not rated:
        return None
    loss, checkpoint = min(rated, key=lambda pair: (pair[0], pair[1].step))
    return checkpoint if loss <= (best.value + end.value) / 2 else None


def _find_validation_loss(rows: Sequence[ResultRow], checkpoint: Checkpoint) -> float | None:
    """The validation loss of a checkpoint from the provider, or else that of its step."""
    for name in ("full_valid_loss", "valid_loss"):
        if name in checkpoint.metrics:
            return checkpoint.metrics[name]
    for row in rows:
        if row.step == checkpoint.step:
            return row.valid_loss if row.full_valid_loss is None else row.full_valid_loss
    return None


def _is_accuracy_kept(accuracy: LossCurve) -> bool:
    levels = accuracy.split(5)
    return len(levels) > 1 and levels[-1].value >= max(level.value for level in levels) - 0.005


UNDERTRAINING_CODE = "undertraining"
UNDERTRAINING_LEAST_STEPS = 16
UNDERTRAINING_SHARE = 0.2  # of the whole fall, in the second half of the steps
UNDERTRAINING_STILL_HIGH = 0.1  # of the first loss, at the end
UNDERTRAINING_LEAST_FALL = 0.05  # nats per token, in the second half
UNDERTRAINING_ERRORS = 4.0
UNDERTRAINING_VALIDATION_RISE = 0.01  # above its minimum, where validation no longer falls


def check_undertraining(data: DiagnosticInput) -> Diagnostic | None:
    """Check whether training loss still falls at the end, and validation loss too, if any."""
    train = data.curves.train
    if len(train) < UNDERTRAINING_LEAST_STEPS:
        return None
    levels = train.split(20)
    first = max(levels[0].value, train.values[0])
    middle, end = levels[len(levels) // 2 - 1], levels[-1]
    fall = middle.value - end.value
    needed = max(
        UNDERTRAINING_SHARE * (first - end.value),
        UNDERTRAINING_LEAST_FALL,
        UNDERTRAINING_ERRORS * math.hypot(middle.error, end.error),
    )
    if fall < needed or end.value < UNDERTRAINING_STILL_HIGH * first or _has_validation_ended(data):
        return None
    training = data.training
    epochs = training.facts.n_epochs or training.rows[-1].epoch
    more = f": {format_epochs(2 * epochs)} instead of {epochs}, say" if epochs else ""
    return Diagnostic(
        UNDERTRAINING_CODE,
        f"Training loss was still falling at the end: from {middle.value:.3g} at"
        f" {format_step(training, middle.last_step)} to {end.value:.3g} at step {end.last_step:,}"
        f" ({fall / (first - end.value):.0%} of its whole fall in the second half).",
        f"Train for more epochs{more}; a higher learning_rate_multiplier may do as well.",
        middle.last_step,
        end.last_step,
    )


def _has_validation_ended(data: DiagnosticInput) -> bool:
    levels = data.curves.split_validation()
    if len(levels) < 2:
        return False
    lowest = min(levels, key=lambda level: level.value)
    return levels[-1].value > lowest.value * (1 + UNDERTRAINING_VALIDATION_RISE)


NOISE_CODE = "noisy-validation"
NOISE_LEAST_ROWS = 30
NOISE_LEAST_POINTS = 8
NOISE_ERROR = 0.1  # of the loss over the last quarter


def check_noisy_validation(data: DiagnosticInput) -> Diagnostic | None:
    """Check whether validation has few rows, or its loss scatters too much."""
    facts = data.training.facts
    if facts.validation_rows and facts.validation_rows < NOISE_LEAST_ROWS:
        rows = facts.validation_rows
        return Diagnostic(
            NOISE_CODE,
            f"Validation has {rows} rows only: one row more or less that is right is"
            f" {1 / rows:.0%} of them.",
            f"Keep back {NOISE_LEAST_ROWS} rows or more, better some hundred (`ftops data split`).",
        )
    valid = data.curves.valid
    if data.curves.is_exact or len(valid) < NOISE_LEAST_POINTS:
        return None
    level = valid.get_level(len(valid) - max(2, len(valid) // 4), len(valid))
    if level.value <= 0 or level.error < NOISE_ERROR * level.value:
        return None
    return Diagnostic(
        NOISE_CODE,
        f"Validation loss scatters: over the last quarter it is {level.value:.3g} give or take"
        f" {2 * level.error:.2g}, too much to tell whether it rises or falls.",
        "Read the full validation loss where the provider gives one, and evaluate the model"
        " on all rows (`ftops eval`).",
        level.first_step,
        level.last_step,
    )


def format_step(training: Training, step: int) -> str:
    """A step, with its epoch if known."""
    epoch = training.find_epoch(step)
    return f"step {step:,} (epoch {epoch})" if epoch else f"step {step:,}"


def format_epochs(count: int) -> str:
    """A number of epochs with its unit."""
    return "1 epoch" if count == 1 else f"{count} epochs"
