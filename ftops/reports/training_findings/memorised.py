"""Memorised validation: rows that the model knows are no test of it."""

from ftops.reports.training_findings.curves import Curve, Level
from ftops.reports.training_findings.finding import Evidence, Finding

CODE = "memorised-validation"
OVERLAP = 0.05  # of the validation rows
BEGINNING = 0.05  # of all steps
KNOWN_LOSS = 0.05  # nats a token
KNOWN_ACCURACY = 0.99  # of tokens
BELOW_TRAINING = 0.8  # of the training loss of the same steps
LEAST_DIFFERENCE = 0.05  # nats a token
LEAST_POINTS = 3
_ADVICE = (
    "Look for rows that stand in both files, or nearly so"
    " (`ftops data check TRAIN --validation VALIDATION`), and split anew (`ftops data split`)."
)


def find_memorised(evidence: Evidence) -> Finding | None:
    """Shared rows, validation that is known from the start, or always easier than training."""
    return _find_overlap(evidence) or _find_known(evidence) or _find_easier(evidence)


def _find_overlap(evidence: Evidence) -> Finding | None:
    facts = evidence.training.facts
    shared, rows = facts.overlap_rows or 0, facts.validation_rows or 0
    if not rows or shared < OVERLAP * rows:
        return None
    return Finding(
        CODE,
        f"{shared:,} of {rows:,} validation rows ({shared / rows:.0%}) are training rows, too:"
        " what validation shows is memory.",
        "Take them out of one of the files; `ftops data split` makes files that share none.",
    )


def _find_known(evidence: Evidence) -> Finding | None:
    curves, rows = evidence.curves, evidence.training.rows
    if not curves.valid or not rows:
        return None
    total = max(rows[-1].step, evidence.training.facts.total_steps or 0)
    loss = curves.valid.find_level_at(0, int(BEGINNING * total))
    accuracy = curves.valid_accuracy.find_level_at(0, int(BEGINNING * total))
    if loss is None or loss.value > KNOWN_LOSS:
        return None
    if accuracy is not None and accuracy.value < KNOWN_ACCURACY:
        return None
    share = "" if accuracy is None else f" (token accuracy {accuracy.value:.1%})"
    return Finding(
        CODE,
        f"Validation loss is {loss.value:.2g}{share} by step {loss.last_step:,}, when training has"
        " hardly begun: the model knows these rows already.",
        _ADVICE + " If there are none, the task is too easy for validation to tell anything.",
        loss.first_step,
        loss.last_step,
    )


def _find_easier(evidence: Evidence) -> Finding | None:
    curves = evidence.curves
    levels = curves.split_validation()
    if len(levels) < LEAST_POINTS:
        return None
    pairs = [(level, _find_training(curves.train, level)) for level in levels]
    if not all(train is not None and _is_easier(level, train) for level, train in pairs):
        return None
    first = levels[0].value / (pairs[0][1].value if pairs[0][1] else 1.0)
    last = levels[-1].value / (pairs[-1][1].value if pairs[-1][1] else 1.0)
    return Finding(
        CODE,
        f"Validation loss lies below training loss from first to last ({first:.0%} of it in the"
        f" beginning, {last:.0%} at the end): rows never seen should not be the easier ones.",
        _ADVICE,
        levels[0].first_step,
        levels[-1].last_step,
    )


def _find_training(train: Curve, level: Level) -> Level | None:
    """The training loss on both sides of a stretch, as a loss that falls fast is lower behind."""
    if not train:
        return None
    half = max(1, train.steps[-1] // 40)
    return train.find_level_at(level.first_step - half, level.last_step + half)


def _is_easier(valid: Level, train: Level) -> bool:
    difference = train.value - valid.value
    scatter = 2 * (valid.error**2 + train.error**2) ** 0.5
    return valid.value < BELOW_TRAINING * train.value and difference > max(
        LEAST_DIFFERENCE, scatter
    )
