"""Metrics of classification: the completions of validation rows against the model's answers."""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ftops.engine.trainer import LoadedModel, SamplingParams, TrainingStopped, get_prompt
from ftops.engine.training_file import TrainingRow, get_answer, get_answer_text

PREFIX = "classification/"


@dataclass(frozen=True, slots=True)
class ClassSettings:
    """The classes of a job: their number, or (binary) the positive one."""

    n_classes: int | None
    positive: str | None
    betas: tuple[float, ...] = ()


def compute_classification(
    expected: Sequence[str],
    predicted: Sequence[str],
    classes: ClassSettings,
    scores: Sequence[float] = (),
) -> dict[str, float]:
    """Metrics between 0 and 1, by the column names of the results file.

    Several classes: accuracy, and F1 weighted by the frequency of each class. Two classes:
    accuracy, precision, recall, the areas under the ROC and the precision-recall curve, F1 and an
    F-score for each beta, of the positive class.

    `scores` rank the rows by that class, on any scale. Without them the areas are left out; if all
    rows have the same class, the areas are nan.
    """
    n_correct = sum(want == got for want, got in zip(expected, predicted, strict=True))
    metrics = {"accuracy": n_correct / len(expected)}
    if classes.positive is None:
        metrics["weighted_f1_score"] = _weighted_f1(expected, predicted)
    else:
        positive = classes.positive.strip()
        metrics |= _binary(expected, predicted, positive, classes.betas)
        truths = [want == positive for want in expected]
        if scores:
            metrics["auroc"] = _area_under_roc(truths, scores)
            metrics["auprc"] = _area_under_precision_recall(truths, scores)
    return {PREFIX + name: value for name, value in metrics.items()}


def _weighted_f1(expected: Sequence[str], predicted: Sequence[str]) -> float:
    support = Counter(expected)
    total = sum(
        count * _f_score(*_counts(expected, predicted, name), beta=1.0)
        for name, count in support.items()
    )
    return total / len(expected)


def _binary(
    expected: Sequence[str], predicted: Sequence[str], positive: str, betas: Sequence[float]
) -> Mapping[str, float]:
    hits, false_alarms, misses = _counts(expected, predicted, positive)
    metrics = {
        "precision": _share(hits, hits + false_alarms),
        "recall": _share(hits, hits + misses),
        "f1": _f_score(hits, false_alarms, misses, beta=1.0),
    }
    for beta in betas:
        metrics[f"f{beta:g}"] = _f_score(hits, false_alarms, misses, beta=beta)
    return metrics


def _area_under_roc(truths: Sequence[bool], scores: Sequence[float]) -> float:
    """The share of pairs of a positive and a negative row in which the positive scores higher."""
    positives = sum(truths)
    pairs = positives * (len(truths) - positives)
    if not pairs:
        return math.nan
    won, negatives_below = 0.0, 0
    for hits, others in _by_score(truths, scores, rising=True):
        won += hits * (negatives_below + others / 2)  # a tie counts half
        negatives_below += others
    return won / pairs


def _area_under_precision_recall(truths: Sequence[bool], scores: Sequence[float]) -> float:
    """Average precision: the precision at each score, weighted by the recall that it adds."""
    positives = sum(truths)
    if not positives:
        return math.nan
    area, n_rows, n_hits = 0.0, 0, 0
    for hits, others in _by_score(truths, scores, rising=False):
        n_rows += hits + others
        n_hits += hits
        area += n_hits / n_rows * hits / positives
    return area


def _by_score(
    truths: Sequence[bool], scores: Sequence[float], *, rising: bool
) -> Iterator[tuple[int, int]]:
    """The numbers of positives and negatives with each score, in the order of scores."""
    ordered = sorted(zip(scores, truths, strict=True), reverse=not rising)
    for _, group in itertools.groupby(ordered, key=lambda pair: pair[0]):
        labels = [truth for _, truth in group]
        yield sum(labels), len(labels) - sum(labels)


def _counts(expected: Sequence[str], predicted: Sequence[str], name: str) -> tuple[int, int, int]:
    """True positives, false positives and false negatives of the class `name`."""
    pairs = list(zip(expected, predicted, strict=True))
    hits = sum(want == got == name for want, got in pairs)
    false_alarms = sum(want != name and got == name for want, got in pairs)
    misses = sum(want == name and got != name for want, got in pairs)
    return hits, false_alarms, misses


def _f_score(hits: int, false_alarms: int, misses: int, *, beta: float) -> float:
    square = beta * beta
    return _share((1 + square) * hits, (1 + square) * hits + square * misses + false_alarms)


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


_BATCH_ROWS = 64


def measure_classification(
    model: LoadedModel,
    rows: Sequence[TrainingRow],
    classes: ClassSettings,
    should_stop: Callable[[], bool],
) -> Mapping[str, float]:
    """Predict the rows and compute the metrics; TrainingStopped when `should_stop()` turns true."""
    predicted = _predict(model, rows, should_stop)
    expected = [get_answer(row) for row in rows]
    if classes.positive is None:
        return compute_classification(expected, predicted, classes)
    # The positive class as written in the rows, usually with a leading space.
    positive = next((row for row in rows if get_answer(row) == classes.positive.strip()), None)
    scores: list[float] = []
    for row in rows if positive is not None else ():
        if should_stop():
            raise TrainingStopped
        answer = get_answer_text(positive or row)
        scores.append(model.log_probability(get_prompt(row), answer))
    return compute_classification(expected, predicted, classes, scores)


def _predict(
    model: LoadedModel, rows: Sequence[TrainingRow], should_stop: Callable[[], bool]
) -> list[str]:
    """The answer to the prompt of each row; "" if the prompt is too long."""
    prompts = [get_prompt(row) for row in rows]
    longest = max(model.count_tokens(get_answer(row)) for row in rows)
    params = SamplingParams(max_tokens=longest + 4, temperature=0.0)
    max_prompt = model.context_length - params.max_tokens
    fitting = [n for n, prompt in enumerate(prompts) if model.count_tokens(prompt) <= max_prompt]
    predicted = [""] * len(rows)
    for start in range(0, len(fitting), _BATCH_ROWS):
        indices = fitting[start : start + _BATCH_ROWS]
        for delta in model.generate([prompts[index] for index in indices], params):
            if should_stop():
                raise TrainingStopped
            predicted[indices[delta.index]] += delta.text
    return [text.strip() for text in predicted]
