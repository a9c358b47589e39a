"""Answers for the tests of metrics."""

import random
from collections.abc import Sequence

from ftops.metrics.metric import MetricSample, create_metrics
from ftops.metrics.prediction import Prediction, Problem
from ftops.metrics.registry import MetricChoice


def answer(pairs: Sequence[tuple[str, str]], *, seconds: float | None = None) -> list[Prediction]:
    """Answers from pairs of what was expected and what was given."""
    return [
        Prediction(line, f"question {line}", expected, given, "stop", 10, 1, seconds)
        for line, (expected, given) in enumerate(pairs, start=1)
    ]


def fail(answers: Sequence[Prediction], *lines: int) -> list[Prediction]:
    """The same with no answer on these lines."""
    return [
        Prediction(one.line, one.prompt, one.expected, "", problem=Problem.FAILED, note="no answer")
        if one.line in lines
        else one
        for one in answers
    ]


def draw_labels(
    rows: int, seed: int, *, labels: str = "abcd", right: float = 0.7, others: str = "?"
) -> list[Prediction]:
    """Answers of a classifier; some are none of the labels."""
    chance = random.Random(seed)
    pairs = []
    for _ in range(rows):
        expected = chance.choice(labels)
        given = expected if chance.random() < right else chance.choice(labels + others)
        pairs.append((expected, given))
    return answer(pairs)


def draw_texts(rows: int, seed: int) -> list[Prediction]:
    """Sentences of which some words, cases and marks were changed; some are empty."""
    chance = random.Random(seed)
    words = "The Cat, sat on: a mat! and didn't move; 42 times (or 7)".split()  # noqa: SIM905
    pairs = []
    for _ in range(rows):
        expected = chance.choices(words, k=chance.randint(1, 12))
        given = [
            one if chance.random() < 0.7 else chance.choice(words).upper()
            for one in expected
            if chance.random() < 0.9
        ]
        pairs.append((" ".join(expected), " ".join(given)))
    return answer(pairs)


def measure(name: str, answers: Sequence[Prediction], **settings: str | int) -> MetricSample:
    """One metric by its name."""
    return create_metrics([MetricChoice(name, settings)])[0].measure(answers)
