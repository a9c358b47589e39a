"""Divergence: training makes the model worse on its own rows, until nothing is left of it."""

import math

from ftops.reports.training_findings.curves import Curve
from ftops.reports.training_findings.finding import Evidence, Finding
from ftops.reports.training_findings.words import say_step

CODE = "divergence"
LEAST_STEPS = 10
LOST_AT_END = 3  # steps in a row whose training loss is no figure, up to the last step
RISE = 0.3  # of what the training loss had fallen by
RISE_OF_LOWEST = 0.25
LEAST_RISE = 0.1  # nats a token
ERRORS = 5.0
_ADVICE = (
    "The model is worse than it was: do not use it. Train again with a lower"
    " learning_rate_multiplier (a quarter, say)."
)


def find_divergence(evidence: Evidence) -> Finding | None:
    """The training loss is NaN or infinite at some step or lost at the end, or it rises again."""
    return _find_lost(evidence) or _find_rise(evidence)


def _find_lost(evidence: Evidence) -> Finding | None:
    rows = evidence.training.rows
    lost = next((row.step for row in rows if row.is_lost), None)
    known = [index for index, row in enumerate(rows) if row.train_loss is not None]
    if lost is None and len(known) >= LEAST_STEPS:
        # as good as every step had a loss before: a table with rows for validation alone has not
        is_whole = len(known) >= 0.9 * (known[-1] + 1)
        if is_whole and len(rows) - 1 - known[-1] >= LOST_AT_END:
            lost = rows[known[-1] + 1].step
    if lost is None:
        return None
    before = [row.train_loss for row in rows if row.step < lost and row.train_loss is not None]
    last = f"; the last figure before was {before[-1]:.3g}" if before else ""
    return Finding(
        CODE,
        f"The training loss is no number from {say_step(evidence.training, lost)} on{last}.",
        _ADVICE,
        lost,
        rows[-1].step,
    )


def _find_rise(evidence: Evidence) -> Finding | None:
    train: Curve = evidence.curves.train
    if len(train) < LEAST_STEPS:
        return None
    levels = train.split(10)
    lowest, end = min(levels, key=lambda level: level.value), levels[-1]
    fallen = max(train.values[0], levels[0].value) - lowest.value
    needed = max(
        RISE * fallen,
        RISE_OF_LOWEST * lowest.value,
        LEAST_RISE,
        ERRORS * math.hypot(lowest.error, end.error),
    )
    if lowest is end or end.value - lowest.value < needed:
        return None
    return Finding(
        CODE,
        f"Training loss rose from {lowest.value:.3g} around"
        f" {say_step(evidence.training, lowest.last_step)} to {end.value:.3g} at the end.",
        _ADVICE,
        lowest.last_step,
        end.last_step,
    )
