"""Under-training: the job ended while the model was still learning."""

import math

from ftops.reports.training_findings.finding import Evidence, Finding
from ftops.reports.training_findings.words import say_epoch, say_step

CODE = "under-training"
LEAST_STEPS = 16
SHARE = 0.2  # of the whole fall happens in the second half of the steps
STILL_HIGH = 0.1  # of the first loss is left at the end
LEAST_FALL = 0.05  # nats a token, in the second half
ERRORS = 4.0
VALIDATION_RISE = 0.01  # above its lowest, validation falls no more


def find_under_training(evidence: Evidence) -> Finding | None:
    """A good part of the fall comes late, and validation, where there is one, still falls, too."""
    train = evidence.curves.train
    if len(train) < LEAST_STEPS:
        return None
    levels = train.split(20)
    first = max(levels[0].value, train.values[0])
    middle, end = levels[len(levels) // 2 - 1], levels[-1]
    fall = middle.value - end.value
    needed = max(
        SHARE * (first - end.value), LEAST_FALL, ERRORS * math.hypot(middle.error, end.error)
    )
    if fall < needed or end.value < STILL_HIGH * first or _has_validation_ended(evidence):
        return None
    training = evidence.training
    epochs = training.facts.n_epochs or training.rows[-1].epoch
    more = f": {say_epoch(2 * epochs)} instead of {epochs}, say" if epochs else ""
    return Finding(
        CODE,
        f"Training loss was still falling at the end: from {middle.value:.3g} at"
        f" {say_step(training, middle.last_step)} to {end.value:.3g} at step {end.last_step:,}"
        f" ({fall / (first - end.value):.0%} of its whole fall in the second half).",
        f"Train for more epochs{more}; a higher learning_rate_multiplier may do as well.",
        middle.last_step,
        end.last_step,
    )


def _has_validation_ended(evidence: Evidence) -> bool:
    levels = evidence.curves.split_validation()
    if len(levels) < 2:
        return False
    lowest = min(levels, key=lambda level: level.value)
    return levels[-1].value > lowest.value * (1 + VALIDATION_RISE)
