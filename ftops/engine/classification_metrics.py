"""Figures for a model that names classes: what it should have said against what it said."""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ftops.engine.document import render_answer, render_prompt_of
from ftops.engine.trainer import LoadedModel, SamplingParams, TextSpan, TrainingStopped
from ftops.engine.training_file import TrainingRow, get_answer

PREFIX = "classification/"


@dataclass(frozen=True, slots=True)
class ClassSettings:
    """What the job says about its classes: their number, or (binary) the positive one."""

    n_classes: int | None
    positive: str | None
    betas: tuple[float, ...] = ()


def compute_classification(
    expected: Sequence[str],
    given: Sequence[str],
    classes: ClassSettings,
    scores: Sequence[float] = (),
) -> dict[str, float]:
    """Shares between 0 and 1, by the column names of the results file.

    Several classes: accuracy and F1 weighted by how often each class is expected. Two classes:
    accuracy, precision, recall, the areas under the ROC and the precision-recall curve, F1 and an
    F-score for each beta, of the positive class. `scores` say how sure the model is of that class,
    on any rising scale; without them there are no areas, and with one class alone they are nan.
    """
    right = sum(want == got for want, got in zip(expected, given, strict=True))
    figures = {"accuracy": right / len(expected)}
    if classes.positive is None:
        figures["weighted_f1_score"] = _weighted_f1(expected, given)
    else:
        positive = classes.positive.strip()
        figures |= _binary(expected, given, positive, classes.betas)
        truths = [want == positive for want in expected]
        if scores:
            figures["auroc"] = _area_under_roc(truths, scores)
            figures["auprc"] = _area_under_precision_recall(truths, scores)
    return {PREFIX + name: value for name, value in figures.items()}


def _weighted_f1(expected: Sequence[str], given: Sequence[str]) -> float:
    support = Counter(expected)
    total = sum(
        count * _f_score(*_counts(expected, given, name), beta=1.0)
        for name, count in support.items()
    )
    return total / len(expected)


def _binary(
    expected: Sequence[str], given: Sequence[str], positive: str, betas: Sequence[float]
) -> Mapping[str, float]:
    hits, false_alarms, misses = _counts(expected, given, positive)
    figures = {
        "precision": _share(hits, hits + false_alarms),
        "recall": _share(hits, hits + misses),
        "f1": _f_score(hits, false_alarms, misses, beta=1.0),
    }
    for beta in betas:
        figures[f"f{beta:g}"] = _f_score(hits, false_alarms, misses, beta=beta)
    return figures


def _area_under_roc(truths: Sequence[bool], scores: Sequence[float]) -> float:
    """The share of pairs, one positive and one negative, in which the positive scores higher."""
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
    area, taken, found = 0.0, 0, 0
    for hits, others in _by_score(truths, scores, rising=False):
        taken += hits + others
        found += hits
        area += found / taken * hits / positives
    return area


def _by_score(
    truths: Sequence[bool], scores: Sequence[float], *, rising: bool
) -> Iterator[tuple[int, int]]:
    """Positives and negatives of each score, in the order of the scores."""
    ordered = sorted(zip(scores, truths, strict=True), reverse=not rising)
    for _, group in itertools.groupby(ordered, key=lambda pair: pair[0]):
        found = [truth for _, truth in group]
        yield sum(found), len(found) - sum(found)


def _counts(expected: Sequence[str], given: Sequence[str], name: str) -> tuple[int, int, int]:
    """Hits, false alarms and misses of the class `name`."""
    pairs = list(zip(expected, given, strict=True))
    hits = sum(want == got == name for want, got in pairs)
    false_alarms = sum(want != name and got == name for want, got in pairs)
    misses = sum(want == name and got != name for want, got in pairs)
    return hits, false_alarms, misses


def _f_score(hits: int, false_alarms: int, misses: int, *, beta: float) -> float:
    square = beta * beta
    return _share((1 + square) * hits, (1 + square) * hits + square * misses + false_alarms)


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


_BATCH = 64


def measure_classification(
    model: LoadedModel,
    rows: Sequence[TrainingRow],
    classes: ClassSettings,
    should_stop: Callable[[], bool],
) -> Mapping[str, float]:
    """What the model makes of the rows, as figures; TrainingStopped when told to stop."""
    given = _answers(model, rows, should_stop)
    expected = [get_answer(row) for row in rows]
    if classes.positive is None:
        return compute_classification(expected, given, classes)
    # The positive class as the rows write it, with the space in front that most have.
    positive = next((row for row in rows if get_answer(row) == classes.positive.strip()), None)
    scores: list[float] = []
    for row in rows if positive is not None else ():
        if should_stop():
            raise TrainingStopped
        said = render_answer(render_prompt_of(row), positive or row)
        scores.append(model.log_probability(said))
    return compute_classification(expected, given, classes, scores)


def _answers(
    model: LoadedModel, rows: Sequence[TrainingRow], should_stop: Callable[[], bool]
) -> list[str]:
    """What the model says to each row's prompt; nothing where the prompt is too long for it."""
    prompts = [render_prompt_of(row) for row in rows]
    longest = max(model.count_tokens((TextSpan(text=get_answer(row)),)) for row in rows)
    params = SamplingParams(max_tokens=longest + 4, temperature=0.0)
    room = model.context_length - params.max_tokens
    fitting = [place for place, doc in enumerate(prompts) if model.count_tokens(doc) <= room]
    given = [""] * len(rows)
    for start in range(0, len(fitting), _BATCH):
        if should_stop():
            raise TrainingStopped
        places = fitting[start : start + _BATCH]
        for delta in model.generate([prompts[place] for place in places], params):
            given[places[delta.index]] += delta.text
    return [text.strip() for text in given]
