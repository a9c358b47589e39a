"""Figures for a model that names classes: what it should have said against what it said."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PREFIX = "classification/"


@dataclass(frozen=True, slots=True)
class Classes:
    """What the job says about its classes: their number, or (binary) the positive one."""

    n_classes: int | None
    positive: str | None
    betas: tuple[float, ...] = ()


def classification_metrics(
    expected: Sequence[str], given: Sequence[str], classes: Classes
) -> dict[str, float]:
    """Shares between 0 and 1, by the column names of the results file.

    Several classes: accuracy and F1 weighted by how often each class is expected. Two classes:
    accuracy, precision, recall, F1 and an F-score for each beta, of the positive class.
    """
    right = sum(want == got for want, got in zip(expected, given, strict=True))
    figures = {"accuracy": right / len(expected)}
    if classes.positive is None:
        figures["weighted_f1_score"] = _weighted_f1(expected, given)
    else:
        figures |= _binary(expected, given, classes.positive.strip(), classes.betas)
    return {PREFIX + name: value for name, value in figures.items()}


def column_names(classes: Classes) -> tuple[str, ...]:
    """The columns that `classification_metrics` will fill."""
    return tuple(classification_metrics([""], [""], classes))


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
