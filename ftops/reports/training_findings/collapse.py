"""Class collapse: one answer to nearly all rows."""

from collections.abc import Sequence

from ftops.metrics.result import ClassResult
from ftops.reports.training_findings.finding import Evidence, Finding

CODE = "class-collapse"
SHARE = 0.9  # of the answers are the same
MORE_THAN_EXPECTED = 0.2  # above the share of rows that expect that answer
NEAR = 0.02  # of the figure that one answer to all rows would give
LEAST_MISSED = 0.1  # of the rows; a model that is nearly always right may say what it likes
_ADVICE = (
    "Balance the classes (`ftops data stats` counts them), look whether the separator and the label"
    " are the same in every row, and train for more epochs."
)


def find_collapse(evidence: Evidence) -> Finding | None:
    """By the answers of an evaluation, else by the classification columns of the results."""
    if evidence.classes:
        return _find_in_answers(evidence.classes)
    figures = _find_columns(evidence)
    return _find_in_many(figures) or _find_in_two(figures)


def _find_in_answers(classes: Sequence[ClassResult]) -> Finding | None:
    rows = sum(one.rows for one in classes)
    if len(classes) < 2 or not rows:
        return None
    usual = max(classes, key=lambda one: one.predicted)
    share, expected = usual.predicted / rows, usual.rows / rows
    if share < SHARE or share - expected < MORE_THAN_EXPECTED:
        return None
    return Finding(
        CODE,
        f"The model answers {usual.label!r} to {share:.0%} of the rows; {expected:.0%} of them"
        " expect it.",
        _ADVICE,
    )


def _find_columns(evidence: Evidence) -> dict[str, float]:
    """The last figure of each classification column, without its prefix."""
    found: dict[str, float] = {}
    for row in reversed(evidence.training.rows):
        for name, figure in row.extra.items():
            if name.startswith("classification/") and figure is not None:
                found.setdefault(name.removeprefix("classification/"), figure)
        if found:  # they stand in one row, the last one as a rule
            break
    return found


def _find_in_many(figures: dict[str, float]) -> Finding | None:
    """One answer to all gives a weighted F1 of 2a²/(1+a) at an accuracy of a, other answers more.

    (With a share `a` of its rows right, the one class that is ever answered has precision `a` and
    recall 1; its F1 counts with the weight `a`, all others are 0.)
    """
    accuracy, weighted = figures.get("accuracy"), figures.get("weighted_f1_score")
    if accuracy is None or weighted is None or accuracy > 1 - LEAST_MISSED:
        return None
    if weighted > 2 * accuracy**2 / (1 + accuracy) + NEAR:
        return None
    return Finding(
        CODE,
        f"Accuracy is {accuracy:.0%} and weighted F1 {weighted:.2f}, as if the model gave the same"
        " answer to nearly all rows.",
        _ADVICE,
    )


def _find_in_two(figures: dict[str, float]) -> Finding | None:
    """Of two classes, one is always said (recall 1, precision its share) or never (recall 0)."""
    accuracy, recall = figures.get("accuracy"), figures.get("recall")
    precision = figures.get("precision")
    if accuracy is None or recall is None or precision is None or accuracy > 1 - LEAST_MISSED:
        return None
    always = recall >= 1 - NEAR and abs(precision - accuracy) <= NEAR
    if not always and recall > NEAR:
        return None
    return Finding(
        CODE,
        f"The positive class is {'always' if always else 'never'} answered: recall {recall:.0%},"
        f" accuracy {accuracy:.0%}.",
        _ADVICE,
    )
