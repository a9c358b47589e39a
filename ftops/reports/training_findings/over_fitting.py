"""Over-fitting: the model goes on learning its rows, and gets worse on others."""

import math
from collections.abc import Sequence

from ftops.records import Checkpoint
from ftops.reports.results import ResultRow
from ftops.reports.training_findings.curves import Curve, Level
from ftops.reports.training_findings.finding import Evidence, Finding
from ftops.reports.training_findings.words import say_epoch, say_step

CODE = "over-fitting"
LEAST_POINTS = 3
RISE = 0.05  # of the lowest validation loss
RISE_OF_MANY = 0.03  # where there are enough points to know their scatter
LEAST_RISE = 0.02  # nats a token
ERRORS = 4.0  # standard errors that the rise is above what scatter explains
_MANY = 8


def find_over_fitting(evidence: Evidence) -> Finding | None:
    """Validation loss ends above its lowest while training loss has fallen since."""
    curves = evidence.curves
    levels = curves.split_validation()
    if len(levels) < LEAST_POINTS:
        return None
    best, end = min(levels, key=lambda level: level.value), levels[-1]
    rise = end.value - best.value
    share = RISE_OF_MANY if len(levels) >= _MANY else RISE
    needed = max(share * best.value, LEAST_RISE, ERRORS * math.hypot(best.error, end.error))
    if best is end or rise < needed:
        return None
    before, after = _find_training(curves.train, best), _find_training(curves.train, end)
    if before is None or after is None or after >= before:
        return None
    return _word(evidence, best, end, (before, after))


def _find_training(train: Curve, level: Level) -> float | None:
    """The training loss around a stretch of validation: a twentieth of all steps at least."""
    if not train:
        return None
    width = max(level.last_step - level.first_step, train.steps[-1] // 20, 1)
    found = train.find_level_at(level.last_step - width, level.last_step)
    return None if found is None else found.value


def _word(evidence: Evidence, best: Level, end: Level, trained: tuple[float, float]) -> Finding:
    training = evidence.training
    checkpoint = find_better(training.rows, training.facts.checkpoints, best, end)
    epoch = training.find_epoch(best.last_step)
    message = (
        f"Validation loss rose from {best.value:.3g} at {say_step(training, best.last_step)} to"
        f" {end.value:.3g} at the end, while training loss fell from {trained[0]:.3g} to"
        f" {trained[1]:.3g}."
    )
    advice = []
    if checkpoint:
        advice.append(f"Prefer the checkpoint of step {checkpoint.step}, {checkpoint.model}.")
    if epoch and epoch < (training.rows[-1].epoch or 0):
        advice.append(f"Train for {say_epoch(epoch)} (n_epochs: {epoch}), or on more rows.")
    else:
        advice.append("Train for fewer steps, or on more rows.")
    if _is_accuracy_kept(evidence.curves.valid_accuracy):
        advice.append(
            "Token accuracy on validation is no lower for it: the answers may be as good, and only"
            " surer of themselves where they are wrong."
        )
    return Finding(CODE, message, " ".join(advice), best.last_step, end.last_step, checkpoint)


def find_better(
    rows: Sequence[ResultRow], checkpoints: Sequence[Checkpoint], best: Level, end: Level
) -> Checkpoint | None:
    """The checkpoint with the lowest validation loss, if it undoes half of the rise at least."""
    rated = [
        (loss, checkpoint)
        for checkpoint in checkpoints
        if (loss := _rate(rows, checkpoint)) is not None
    ]
    if not rated:
        return None
    loss, checkpoint = min(rated, key=lambda pair: (pair[0], pair[1].step))
    return checkpoint if loss <= (best.value + end.value) / 2 else None


def _rate(rows: Sequence[ResultRow], checkpoint: Checkpoint) -> float | None:
    """The validation loss of a checkpoint: as the provider says, else that of its step."""
    for name in ("full_valid_loss", "valid_loss"):
        if name in checkpoint.metrics:
            return checkpoint.metrics[name]
    for row in rows:
        if row.step == checkpoint.step:
            return row.valid_loss if row.full_valid_loss is None else row.full_valid_loss
    return None


def _is_accuracy_kept(accuracy: Curve) -> bool:
    levels = accuracy.split(5)
    return len(levels) > 1 and levels[-1].value >= max(level.value for level in levels) - 0.005
