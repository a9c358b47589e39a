"""Candidates that cost nothing: they learn of the training rows here, and ask no model."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from ftops.data.baselines import (
    MOST_CHARS,
    MOST_TRAINING,
    NaiveBayes,
    NearestNeighbour,
    are_classes,
    get_majority_label,
)
from ftops.evaluation.questions import Questions, read_known
from ftops.evaluation.result import CandidateKind, SkippedCandidate
from ftops.metrics.prediction import Prediction

SIMPLE = (CandidateKind.NAIVE_BAYES, CandidateKind.NEAREST, CandidateKind.MAJORITY)


def answer_simply(
    training: Path, questions: Questions
) -> Iterator[tuple[CandidateKind, list[Prediction]] | SkippedCandidate]:
    """The answers of each simple model, or why it was left out."""
    texts, labels = _learn(training, questions)
    asked = [row.text for row in questions.rows]
    classes = are_classes(labels)
    if classes:
        guessed = NaiveBayes(texts, labels).predict(asked)
        yield CandidateKind.NAIVE_BAYES, _make_answers(questions, guessed)
    else:
        reason = "the training rows have too many different answers to be classes"
        yield SkippedCandidate(CandidateKind.NAIVE_BAYES.value, reason)
    yield (
        CandidateKind.NEAREST,
        _make_answers(questions, NearestNeighbour(texts, labels).predict(asked)),
    )
    usual = get_majority_label(labels)
    yield CandidateKind.MAJORITY, _make_answers(questions, [usual] * len(asked))


def _learn(training: Path, questions: Questions) -> tuple[list[str], list[str]]:
    """The first training rows: as many as are learned of in seconds."""
    texts: list[str] = []
    labels: list[str] = []
    chars = 0
    for text, label in read_known(training, questions.way, MOST_TRAINING):
        chars += len(text)
        if chars > MOST_CHARS and texts:
            break
        texts.append(text)
        labels.append(label)
    return texts, labels


def _make_answers(questions: Questions, given: Sequence[str]) -> list[Prediction]:
    return [
        Prediction(row.line, row.prompt, row.expected, answer)
        for row, answer in zip(questions.rows, given, strict=True)
    ]
