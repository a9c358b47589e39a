"""What is looked for in a training, in the order in which it is told; and the page about it."""

from ftops.reports.training_findings import (
    collapse,
    divergence,
    memorised,
    noise,
    nothing_learned,
    over_fitting,
    under_training,
)
from ftops.reports.training_findings.finding import Finder

FINDERS: tuple[Finder, ...] = (
    Finder(
        divergence.CODE,
        "divergence",
        "The training loss rises again, or becomes NaN or infinite.",
        f"a training loss is written as NaN or infinity; or it is missing in the last"
        f" {divergence.LOST_AT_END} steps or more where 90 % of the others had one; or,"
        f" of {divergence.LEAST_STEPS} steps or more, the mean of the last tenth lies above that of"
        f" the lowest tenth by {divergence.RISE:.0%} of the fall before,"
        f" {divergence.RISE_OF_LOWEST:.0%} of the lowest, {divergence.LEAST_RISE} nats and"
        f" {divergence.ERRORS:g} standard errors.",
        "Lower `learning_rate_multiplier`. Over-fitting, under-training and nothing-learned are not"
        " looked for then.",
        divergence.find_divergence,
    ),
    Finder(
        nothing_learned.CODE,
        "nothing learned",
        "The loss at the end is that of the beginning.",
        f"of {nothing_learned.LEAST_STEPS} steps or more, neither training nor validation loss ends"
        f" below its beginning (the first 10 %, 5 %, 2 %, 1 % or 0.5 % of the steps) by"
        f" {nothing_learned.FALL:.0%} and {nothing_learned.ERRORS:g} standard errors; the training"
        f" loss began at {nothing_learned.LEAST_LOSS} nats or more; and it surely fell by less than"
        f" {nothing_learned.SURELY_BELOW:.0%}, scatter taken into account.",
        "Raise `learning_rate_multiplier`; look whether the prompts tell the completions at all.",
        nothing_learned.find_nothing_learned,
    ),
    Finder(
        collapse.CODE,
        "class collapse",
        "The model gives one answer to nearly all rows.",
        f"one label is {collapse.SHARE:.0%} of the answers of the evaluation or more, and"
        f" {collapse.MORE_THAN_EXPECTED:.0%} of the rows more than expect it. Without an"
        f" evaluation, by the classification columns, unless accuracy is above"
        f" {1 - collapse.LEAST_MISSED:.0%}: the weighted F1 is at most {collapse.NEAR} above"
        f" 2a²/(1+a), what one answer to all gives at an accuracy of a; or, of two classes, the"
        f" recall is {collapse.NEAR} at most, or {1 - collapse.NEAR} at least with a precision"
        f" within {collapse.NEAR} of the accuracy.",
        "Balance the classes; look whether separator and labels are the same in every row.",
        collapse.find_collapse,
    ),
    Finder(
        memorised.CODE,
        "memorised validation",
        "Validation rows that the model knows are no test of it.",
        f"{memorised.OVERLAP:.0%} of the validation rows or more are training rows, too; or"
        f" validation loss is {memorised.KNOWN_LOSS} nats at most, and token accuracy"
        f" {memorised.KNOWN_ACCURACY:.0%} at least, within the first {memorised.BEGINNING:.0%} of"
        f" the steps; or validation loss lies below {memorised.BELOW_TRAINING:.0%} of the training"
        f" loss of the same steps, and {memorised.LEAST_DIFFERENCE} nats and 2 standard errors"
        f" below it, at all of {memorised.LEAST_POINTS} points or more.",
        "Look for rows that stand in both files, and split anew.",
        memorised.find_memorised,
    ),
    Finder(
        over_fitting.CODE,
        "over-fitting",
        "Validation loss goes up while training loss falls: the model learns its rows by heart.",
        f"of {over_fitting.LEAST_POINTS} points of validation or more, the last lies above the"
        f" lowest by {over_fitting.RISE:.0%} ({over_fitting.RISE_OF_MANY:.0%} where there are 8 or"
        f" more), {over_fitting.LEAST_RISE} nats and {over_fitting.ERRORS:g} standard errors, and"
        f" the training loss is lower than it was there. The checkpoint to prefer is the one with"
        f" the lowest validation loss, if it undoes half of the rise.",
        "Prefer that checkpoint, train for fewer epochs, or on more rows.",
        over_fitting.find_over_fitting,
    ),
    Finder(
        under_training.CODE,
        "under-training",
        "The job ended while the model was still learning.",
        f"of {under_training.LEAST_STEPS} steps or more, training loss fell in the second half by"
        f" {under_training.SHARE:.0%} of its whole fall, {under_training.LEAST_FALL} nats and"
        f" {under_training.ERRORS:g} standard errors, and is still {under_training.STILL_HIGH:.0%}"
        f" of what it was; and validation loss, where there is one, ends at its lowest or less than"
        f" {under_training.VALIDATION_RISE:.0%} above.",
        "Train for more epochs.",
        under_training.find_under_training,
    ),
    Finder(
        noise.CODE,
        "noisy validation",
        "Validation cannot tell a better model from a worse one.",
        f"validation has fewer than {noise.LEAST_ROWS} rows; or, where each point is of a few rows"
        f" only, the standard error of the last quarter of at least {noise.LEAST_POINTS} points is"
        f" {noise.ERROR:.0%} of the loss or more.",
        "Keep back more rows; evaluate on all of them.",
        noise.find_noise,
    ),
)


def render_catalogue() -> str:
    """The page's part that is made of the finders."""
    parts = []
    for finder in FINDERS:
        parts.append(f"## {finder.code}\n\n{finder.means}\n")
        parts.append(f"Said when {finder.said_when}\n")
        parts.append(f"What to do: {finder.advice}\n")
    return "\n".join(parts)
