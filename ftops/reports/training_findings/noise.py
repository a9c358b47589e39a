"""Noise: validation that cannot tell a better model from a worse one."""

from ftops.reports.training_findings.finding import Evidence, Finding

CODE = "noisy-validation"
LEAST_ROWS = 30
LEAST_POINTS = 8
ERROR = 0.1  # of the loss over the last quarter


def find_noise(evidence: Evidence) -> Finding | None:
    """Validation has few rows, or its loss scatters so much that no level can be read from it."""
    facts = evidence.training.facts
    if facts.validation_rows and facts.validation_rows < LEAST_ROWS:
        rows = facts.validation_rows
        return Finding(
            CODE,
            f"Validation has {rows} rows only: one row more or less that is right is"
            f" {1 / rows:.0%} of them.",
            f"Keep back {LEAST_ROWS} rows or more, better some hundred (`ftops data split`).",
        )
    valid = evidence.curves.valid
    if evidence.curves.is_exact or len(valid) < LEAST_POINTS:
        return None
    level = valid.find_level(len(valid) - max(2, len(valid) // 4), len(valid))
    if level.value <= 0 or level.error < ERROR * level.value:
        return None
    return Finding(
        CODE,
        f"Validation loss scatters: over the last quarter it is {level.value:.3g} give or take"
        f" {2 * level.error:.2g}, too much to tell whether it rises or falls.",
        "Read the full validation loss where the provider gives one, and evaluate the model"
        " on all rows (`ftops eval`).",
        level.first_step,
        level.last_step,
    )
