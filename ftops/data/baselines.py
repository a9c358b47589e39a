"""Baselines: naive Bayes, nearest neighbour and the majority label, scored on validation data.

They are written in NumPy: both models are a hundred lines and train on 11,200 sentences in half a
second, without another dependency.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ftops.data.profile import are_labels
from ftops.data.reading.options import ReadOptions
from ftops.data.rows import prompt_text, read_rows
from ftops.data.words import list_words
from ftops.errors import DatasetError
from ftops.text import to_nfc

MOST_TRAINING, MOST_VALIDATION = 50_000, 5_000  # rows; a larger file is sampled at random
MOST_CHARS = 16_000_000  # of all texts: about 300 MB and ten seconds


Ids = NDArray[np.int64]
Numbers = NDArray[np.float64]


_SMOOTHING = 0.1  # added to each count, so that a word missing in a class does not rule it out


_COMMON = 0.2  # features in a larger share of texts carry no information and take most of the time
_FEW = 20


@dataclass(frozen=True, slots=True)
class Counts:
    """The features of texts with their counts, in CSR form.

    The features of text i are `features[starts[i]:starts[i + 1]]`.
    """

    starts: Ids
    features: Ids
    times: Numbers

    @property
    def texts(self) -> int:
        """The number of texts."""
        return len(self.starts) - 1

    def rows(self) -> Ids:
        """The text index of each entry."""
        return np.repeat(np.arange(self.texts), np.diff(self.starts))


class NgramVocabulary:
    """The words and word pairs of the training texts; others are ignored."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._numbers: dict[str, int] = {}
        self.counts = self._count(texts, grow=True)

    @property
    def size(self) -> int:
        """The number of distinct features."""
        return len(self._numbers)

    def count(self, texts: Sequence[str]) -> Counts:
        """The known features of other texts."""
        return self._count(texts, grow=False)

    def _count(self, texts: Sequence[str], *, grow: bool) -> Counts:
        numbers = self._numbers
        starts, features, times = [0], list[NDArray[np.int64]](), list[NDArray[np.int64]]()
        for text in texts:
            words = list_words(text)
            names = [*words, *map(" ".join, pairwise(words))]
            if grow:
                features_of_text = [numbers.setdefault(name, len(numbers)) for name in names]
            else:
                features_of_text = [numbers[name] for name in names if name in numbers]
            unique, count = np.unique(np.array(features_of_text, np.int64), return_counts=True)
            features.append(unique)
            times.append(count)
            starts.append(starts[-1] + len(unique))
        return Counts(
            np.array(starts),
            np.concatenate([np.zeros(0, np.int64), *features]),
            np.concatenate([np.zeros(0, np.int64), *times]).astype(np.float64),
        )


class NaiveBayes:
    """Multinomial naive Bayes on words and word pairs."""

    name = "naive Bayes"

    def __init__(self, texts: Sequence[str], labels: Sequence[str]) -> None:
        self._labels = sorted(set(labels))
        number = {label: index for index, label in enumerate(self._labels)}
        classes = np.array([number[label] for label in labels])
        self._vocabulary = NgramVocabulary(texts)
        counts = self._vocabulary.counts
        size, kinds = self._vocabulary.size, len(self._labels)
        table = np.full((kinds, size), _SMOOTHING)
        np.add.at(table, (classes[counts.rows()], counts.features), counts.times)
        self._weights: Numbers = np.log(table) - np.log(table.sum(axis=1, keepdims=True))
        self._before: Numbers = np.log(np.bincount(classes, minlength=kinds) / len(labels))

    def predict(self, texts: Sequence[str]) -> list[str]:
        """The most probable label of each text; ties go to the first in alphabetical order."""
        counts = self._vocabulary.count(texts)
        best = [self._score(counts, row) for row in range(counts.texts)]
        return [self._labels[index] for index in best]

    def _score(self, counts: Counts, row: int) -> int:
        part = slice(counts.starts[row], counts.starts[row + 1])
        scores = self._weights[:, counts.features[part]] @ counts.times[part]
        return int(np.argmax(scores + self._before))


class NearestNeighbour:
    """The label of the most similar training text, by TF-IDF, with an inverted index."""

    name = "nearest neighbour"

    def __init__(self, texts: Sequence[str], labels: Sequence[str]) -> None:
        self._labels = list(labels)
        self._vocabulary = NgramVocabulary(texts)
        counts = self._vocabulary.counts
        holding = np.bincount(counts.features, minlength=self._vocabulary.size)
        self._rarity: Numbers = np.log((1 + counts.texts) / (1 + holding)) + 1
        self._rarity[holding > max(_FEW, _COMMON * counts.texts)] = 0
        weights, rows = self._weigh(counts), counts.rows()
        order = np.argsort(counts.features, kind="stable")
        self._rows, self._weights = rows[order], weights[order]
        self._starts = np.concatenate([[0], np.cumsum(holding)])

    def predict(self, texts: Sequence[str]) -> list[str]:
        """Each text's nearest label, or that of the first training text if none is similar."""
        counts = self._vocabulary.count(texts)
        weights = self._weigh(counts)
        return [self._labels[self._find(counts, weights, row)] for row in range(counts.texts)]

    def rank(self, texts: Sequence[str], most: int) -> Iterator[list[int]]:
        """For each text the indices of the most similar training texts, nearest first."""
        counts = self._vocabulary.count(texts)
        weights = self._weigh(counts)
        for row in range(counts.texts):
            likeness = self._compare(counts, weights, row)
            order = np.argsort(-likeness, kind="stable")[:most]
            yield [int(number) for number in order]

    def _weigh(self, counts: Counts) -> Numbers:
        weights = (1 + np.log(counts.times)) * self._rarity[counts.features]
        rows = counts.rows()
        lengths = np.sqrt(np.bincount(rows, weights**2, minlength=counts.texts))
        return weights / np.maximum(lengths, 1e-12)[rows]

    def _find(self, counts: Counts, weights: Numbers, row: int) -> int:
        return int(np.argmax(self._compare(counts, weights, row)))

    def _compare(self, counts: Counts, weights: Numbers, row: int) -> Numbers:
        """The similarity of each training text to that row's text."""
        likeness = np.zeros(len(self._labels))
        for entry in range(counts.starts[row], counts.starts[row + 1]):
            feature = counts.features[entry]
            if weights[entry]:
                held = slice(self._starts[feature], self._starts[feature + 1])
                likeness[self._rows[held]] += weights[entry] * self._weights[held]
        return likeness


class Predictor(Protocol):
    """Predicts a label for a text."""

    @property
    def name(self) -> str: ...

    def predict(self, texts: Sequence[str]) -> list[str]:
        """A label for each text."""
        ...


@dataclass(frozen=True, slots=True)
class BaselineScore:
    """The validation rows that a baseline predicts correctly."""

    name: str
    right: int
    accuracy: float


@dataclass(frozen=True, slots=True)
class Baseline:
    """Scores, best first; `majority` is the accuracy of the most frequent label.

    `classes` is None if completions are not labels; then only the nearest neighbour is scored.
    `unknown` is the share of validation rows whose answer is in no training row; `leaked` is the
    share whose prompt is in the training data.
    """

    training_rows: int
    validation_rows: int
    classes: int | None
    majority_label: str
    majority: float
    unknown: float
    leaked: float
    scores: tuple[BaselineScore, ...]

    def verdict(self, goal: float) -> str:
        """One sentence that says whether a baseline reaches `goal`, an accuracy."""
        best = self.scores[0]
        simplest = max(best.accuracy, self.majority)
        name = best.name if best.accuracy >= self.majority else "the most frequent answer"
        if simplest >= goal:
            return (
                f"{name} reaches {simplest:.1%} at no cost, and your goal is {goal:.1%}: you may"
                " not need a fine-tuned model."
            )
        return (
            f"{name} reaches {simplest:.1%} at no cost; a fine-tuned model has to beat that to be"
            f" worth its price, and {goal:.1%} to reach your goal."
        )


def score_baselines(
    training: Path, validation: Path, options: ReadOptions, *, seed: int = 42
) -> Baseline:
    """Train on one file and score on the other; DatasetError if rows are invalid."""
    known = _draw(training, options, MOST_TRAINING, seed)
    held = _draw(validation, options, MOST_VALIDATION, seed)
    texts, labels = zip(*known, strict=True)
    counted = Counter(labels)
    if len(counted) < 2:
        raise DatasetError(
            f"{training}: there is nothing to learn: every completion is {labels[0]!r}",
            hint="Name data with two answers or more.",
        )
    classes = len(counted) if are_labels(counted, len(labels)) else None
    candidates: list[Predictor] = [NearestNeighbour(texts, labels)]
    if classes is not None:
        candidates.insert(0, NaiveBayes(texts, labels))
    label = get_majority_label(labels)
    answers = [answer for _, answer in held]
    training_texts = set(texts)
    scores = [score_predictor(model, [text for text, _ in held], answers) for model in candidates]
    return Baseline(
        training_rows=len(known),
        validation_rows=len(held),
        classes=classes,
        majority_label=label,
        majority=answers.count(label) / len(held),
        unknown=sum(answer not in counted for answer in answers) / len(held),
        leaked=sum(bool(text) and text in training_texts for text, _ in held) / len(held),
        scores=tuple(sorted(scores, key=lambda score: -score.right)),
    )


def get_majority_label(labels: Sequence[str]) -> str:
    """The most frequent label; ties go to the first in alphabetical order."""
    counted = Counter(labels)
    return min(counted, key=lambda label: (-counted[label], label))


def score_predictor(
    candidate: Predictor, texts: Sequence[str], answers: Sequence[str]
) -> BaselineScore:
    """Compare predicted labels with the expected ones."""
    predicted = candidate.predict(texts)
    right = sum(label == answer for label, answer in zip(predicted, answers, strict=True))
    return BaselineScore(candidate.name, right, right / len(answers))


def _draw(path: Path, options: ReadOptions, most: int, seed: int) -> list[tuple[str, str]]:
    """Prompt and stripped answer of each row, or of a random sample of `most`."""
    chosen = random.Random(seed)
    kept: list[tuple[str, str]] = []
    for number, pair in enumerate(_read_pairs(path, options)):
        if len(kept) < most:
            kept.append(pair)
        elif (place := chosen.randrange(number + 1)) < most:
            kept[place] = pair
    return _fit(kept, chosen)


def _fit(pairs: list[tuple[str, str]], chosen: random.Random) -> list[tuple[str, str]]:
    """A random sample of the rows with at most MOST_CHARS characters in total."""
    lengths = [len(text) for text, _ in pairs]
    if sum(lengths) <= MOST_CHARS:
        return pairs
    order = chosen.sample(range(len(pairs)), len(pairs))
    fitting = sum(total <= MOST_CHARS for total in accumulate(lengths[row] for row in order))
    return [pairs[row] for row in sorted(order[: max(fitting, 1)])]


def _read_pairs(path: Path, options: ReadOptions) -> Iterator[tuple[str, str]]:
    for row in read_rows(path, options):
        yield to_nfc(prompt_text(row)), to_nfc(row.completion.strip())
