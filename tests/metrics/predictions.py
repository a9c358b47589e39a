"""Predictions for the tests of metrics."""

import random
from collections.abc import Sequence

from ftops.metrics.metric import MetricSample, create_metrics
from ftops.metrics.prediction import Prediction, Problem
from ftops.metrics.registry import MetricChoice


def make_predictions(
    pairs: Sequence[tuple[str, str]], *, seconds: float | None = None
) -> list[Prediction]:
    """Predictions from pairs of expected and predicted text."""
    return [
        Prediction(line, f"question {line}", expected, predicted, "stop", 10, 1, seconds)
        for line, (expected, predicted) in enumerate(pairs, start=1)
    ]


def fail(predictions: Sequence[Prediction], *lines: int) -> list[Prediction]:
    """The same predictions, failed on these lines."""
    return [
        Prediction(
            item.line, item.prompt, item.expected, "", problem=Problem.FAILED, note="no answer"
        )
        if item.line in lines
        else item
        for item in predictions
    ]


def sample_labels(
    rows: int, seed: int, *, labels: str = "abcd", right: float = 0.7, others: str = "?"
) -> list[Prediction]:
    """Predictions of a classifier; some are no label."""
    rng = random.Random(seed)
    pairs = []
    for _ in range(rows):
        expected = rng.choice(labels)
        predicted = expected if rng.random() < right else rng.choice(labels + others)
        pairs.append((expected, predicted))
    return make_predictions(pairs)


def sample_texts(rows: int, seed: int) -> list[Prediction]:
    """Sentences with some changed words, case and punctuation; some are empty."""
    rng = random.Random(seed)
    words = "The Cat, sat on: a mat! and didn't move; 42 times (or 7)".split()  # noqa: SIM905
    pairs = []
    for _ in range(rows):
        expected = rng.choices(words, k=rng.randint(1, 12))
        predicted = [
            word if rng.random() < 0.7 else rng.choice(words).upper()
            for word in expected
            if rng.random() < 0.9
        ]
        pairs.append((" ".join(expected), " ".join(predicted)))
    return make_predictions(pairs)


def measure(name: str, predictions: Sequence[Prediction], **settings: str | int) -> MetricSample:
    """Measure a metric by its name."""
    return create_metrics([MetricChoice(name, settings)])[0].measure(predictions)
