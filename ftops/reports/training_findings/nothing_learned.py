"""Nothing learned: the loss at the end is that of the beginning."""

import math

from ftops.reports.training_findings.curves import Curve
from ftops.reports.training_findings.finding import Evidence, Finding

CODE = "nothing-learned"
LEAST_STEPS = 10
FALL = 0.05  # of the first loss
SURELY_BELOW = 0.15  # of the first loss: the most that the fall can be, scatter taken into account
LEAST_LOSS = 0.1  # nats a token; of less there is little to learn
ERRORS = 2.0
_BEGINNINGS = (10, 20, 50, 100, 200)  # a fine-tuning may learn all it learns in its first steps


def find_nothing_learned(evidence: Evidence) -> Finding | None:
    """Neither training nor validation loss fell by so much that it is no scatter."""
    train = evidence.curves.train
    if len(train) < LEAST_STEPS or _has_fallen(train) or _has_fallen(evidence.curves.valid):
        return None
    levels = train.split(10)
    first, end = levels[0], levels[-1]
    error = math.hypot(first.error, end.error)
    most = first.value - end.value + ERRORS * error
    if first.value < LEAST_LOSS or most > SURELY_BELOW * first.value:
        return None
    fall = (first.value - end.value) / first.value
    return Finding(
        CODE,
        f"Training loss is {end.value:.3g} at the end and was {first.value:.3g} in the beginning:"
        f" {'it fell by' if fall >= 0 else 'it rose by'} {abs(fall):.1%}.",
        "Raise learning_rate_multiplier, and look whether the completions can be told from the"
        " prompts at all (`ftops data baseline`).",
        first.first_step,
        end.last_step,
    )


def _has_fallen(curve: Curve) -> bool:
    """Whether the end lies below some beginning, short or long."""
    if len(curve) < 2:
        return False
    end = curve.split(10)[-1]
    for parts in _BEGINNINGS:
        size = max(1, len(curve) // parts)
        first = curve.find_level(0, size)
        error = math.hypot(first.error, end.error)
        if first.value - end.value >= max(FALL * first.value, ERRORS * error):
            return True
    return False
