"""The diagnostics of training curves in order, and their documentation page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ftops.metrics.result import ClassResult
from ftops.reports import diagnostic_checks as checks
from ftops.reports.diagnostic_checks import Diagnostic, DiagnosticInput
from ftops.reports.loss_curve import create_curves
from ftops.reports.training import Training


@dataclass(frozen=True, slots=True)
class DiagnosticRule:
    """A problem, detected if all `conditions` hold (`needs_all`), or if any of them holds."""

    code: str
    meaning: str
    conditions: tuple[str, ...]
    advice: str
    check: Callable[[DiagnosticInput], Diagnostic | None]
    needs_all: bool = False


RULES: tuple[DiagnosticRule, ...] = (
    DiagnosticRule(
        checks.DIVERGENCE_CODE,
        "The training loss rises again, or becomes NaN or infinite.",
        (
            "a training loss is NaN or infinite",
            f"the training loss is missing in the last {checks.DIVERGENCE_LOST_AT_END} or more"
            " steps, and 90 % of the steps before had one",
            f"with {checks.DIVERGENCE_LEAST_STEPS} or more steps, the mean of the last tenth is"
            f" above that of the lowest tenth by {checks.DIVERGENCE_RISE:.0%} of the fall before,"
            f" {checks.DIVERGENCE_RISE_OF_LOWEST:.0%} of the lowest,"
            f" {checks.DIVERGENCE_LEAST_RISE} nats and {checks.DIVERGENCE_ERRORS:g} standard"
            " errors",
        ),
        "Lower `learning_rate_multiplier`. Overfitting, undertraining and no-learning are not"
        " checked then.",
        checks.check_divergence,
    ),
    DiagnosticRule(
        checks.NO_LEARNING_CODE,
        "The loss did not fall.",
        (
            f"there are {checks.NO_LEARNING_LEAST_STEPS} or more steps",
            "neither training nor validation loss ends below its beginning (the first 10 %, 5 %,"
            f" 2 %, 1 % or 0.5 % of the steps) by {checks.NO_LEARNING_FALL:.0%} and"
            f" {checks.NO_LEARNING_ERRORS:g} standard errors",
            f"the first training loss is {checks.NO_LEARNING_LEAST_LOSS} nats or more",
            f"training loss fell by less than {checks.NO_LEARNING_SURELY_BELOW:.0%}, its standard"
            " error included",
        ),
        "Raise `learning_rate_multiplier`; check that the prompts determine the completions.",
        checks.check_no_learning,
        needs_all=True,
    ),
    DiagnosticRule(
        checks.COLLAPSE_CODE,
        "The model predicts one class for nearly all rows.",
        (
            f"one label is {checks.COLLAPSE_SHARE:.0%} or more of the predictions of the"
            f" evaluation, and its share is {checks.COLLAPSE_MORE_THAN_EXPECTED:.0%} or more above"
            " that of the rows that expect it",
            "without an evaluation, for an accuracy a of at most"
            f" {1 - checks.COLLAPSE_LEAST_MISSED:.0%}: the weighted F1 is at most"
            f" {checks.COLLAPSE_NEAR} above 2a²/(1+a), the value for one answer to all rows",
            "without an evaluation, for two classes and the same accuracy: the recall is at most"
            f" {checks.COLLAPSE_NEAR}, or at least {1 - checks.COLLAPSE_NEAR} with a precision"
            f" within {checks.COLLAPSE_NEAR} of the accuracy",
        ),
        "Balance the classes; check that separator and labels are the same in every row.",
        checks.check_class_collapse,
    ),
    DiagnosticRule(
        checks.LEAKAGE_CODE,
        "The model has seen the validation rows, so they do not measure generalization.",
        (
            f"{checks.LEAKAGE_OVERLAP:.0%} or more of the validation rows are training rows",
            f"within the first {checks.LEAKAGE_BEGINNING:.0%} of the steps, validation loss is at"
            f" most {checks.LEAKAGE_KNOWN_LOSS} nats and token accuracy at least"
            f" {checks.LEAKAGE_KNOWN_ACCURACY:.0%}",
            f"at {checks.LEAKAGE_LEAST_POINTS} or more points, and at all of them, validation loss"
            f" is below {checks.LEAKAGE_BELOW_TRAINING:.0%} of the training loss of the same steps,"
            f" and lower by {checks.LEAKAGE_LEAST_DIFFERENCE} nats and 2 standard errors",
        ),
        "Look for rows that are in both files, and split again.",
        checks.check_validation_leakage,
    ),
    DiagnosticRule(
        checks.OVERFITTING_CODE,
        "Validation loss rises while training loss falls: the model memorizes the training rows.",
        (
            f"there are {checks.OVERFITTING_LEAST_POINTS} or more validation points",
            f"the last is above the lowest by {checks.OVERFITTING_RISE:.0%}"
            f" ({checks.OVERFITTING_RISE_OF_MANY:.0%} with 8 or more points),"
            f" {checks.OVERFITTING_LEAST_RISE} nats and {checks.OVERFITTING_ERRORS:g} standard"
            " errors",
            "the training loss is lower at the end than at the lowest validation loss",
        ),
        "Use the checkpoint with the lowest validation loss (named if it reverses at least half of"
        " the rise), train for fewer epochs, or add rows.",
        checks.check_overfitting,
        needs_all=True,
    ),
    DiagnosticRule(
        checks.UNDERTRAINING_CODE,
        "The job ended while the loss was still falling.",
        (
            f"there are {checks.UNDERTRAINING_LEAST_STEPS} or more steps",
            f"training loss fell in the second half by {checks.UNDERTRAINING_SHARE:.0%} of its"
            f" whole fall, {checks.UNDERTRAINING_LEAST_FALL} nats and"
            f" {checks.UNDERTRAINING_ERRORS:g} standard errors",
            f"it is still {checks.UNDERTRAINING_STILL_HIGH:.0%} of its first value or more",
            "validation loss, if any, ends less than"
            f" {checks.UNDERTRAINING_VALIDATION_RISE:.0%} above its lowest value",
        ),
        "Train for more epochs.",
        checks.check_undertraining,
        needs_all=True,
    ),
    DiagnosticRule(
        checks.NOISE_CODE,
        "Validation loss is too noisy to compare models.",
        (
            f"validation has fewer than {checks.NOISE_LEAST_ROWS} rows",
            "each point is measured on a few rows only, and over the last quarter of"
            f" {checks.NOISE_LEAST_POINTS} or more points the standard error is"
            f" {checks.NOISE_ERROR:.0%} of the loss or more",
        ),
        "Hold out more rows; evaluate on all of them.",
        checks.check_noisy_validation,
    ),
)
# The diagnostics that another one explains; they are not reported with it.
_EXPLAINED = {
    checks.DIVERGENCE_CODE: {
        checks.OVERFITTING_CODE,
        checks.UNDERTRAINING_CODE,
        checks.NO_LEARNING_CODE,
    },
    checks.NO_LEARNING_CODE: {checks.UNDERTRAINING_CODE, checks.OVERFITTING_CODE},
}


def diagnose(training: Training, classes: Sequence[ClassResult] = ()) -> list[Diagnostic]:
    """The problems of a training; empty if there are none.

    `classes` come from an evaluation of the fine-tuned model, if there is one.
    """
    data = DiagnosticInput(training, create_curves(training), classes)
    diagnostics: list[Diagnostic] = []
    explained: set[str] = set()
    for rule in RULES:
        diagnostic = None if rule.code in explained else rule.check(data)
        if diagnostic:
            diagnostics.append(diagnostic)
            explained |= _EXPLAINED.get(rule.code, set())
    return diagnostics


def render_rules() -> str:
    """The rules as sections of the documentation page about diagnostics."""
    return "\n".join(
        f"## {rule.code}\n\n{rule.meaning}\n\n{_list_conditions(rule)}\n\n{rule.advice}\n"
        for rule in RULES
    )


def _list_conditions(rule: DiagnosticRule) -> str:
    how_many = "all of these hold" if rule.needs_all else "one of these holds"
    return "\n\n".join(
        (f"Reported when {how_many}:", "\n".join(f"- {text}" for text in rule.conditions))
    )
