"""What the simplest models reach on the validation data, after learning from the training data.

They are written in NumPy rather than taken from a library: two of them are a hundred lines, learn
11,200 sentences in half a second, and ask nobody to install what he needs once.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Protocol

from ftops.data.baseline.naive_bayes import NaiveBayes
from ftops.data.baseline.nearest import Nearest
from ftops.data.reading.options import ReadOptions
from ftops.data.row_hash import prompt_text
from ftops.data.rows import read_rows
from ftops.errors import DatasetError
from ftops.text import to_nfc

MOST_CLASSES = 1000
MOST_TRAINING, MOST_VALIDATION = 50_000, 5_000  # rows; of more, as many are drawn
MOST_CHARS = 16_000_000  # of their texts together, which takes some 300 MB and ten seconds


class Candidate(Protocol):
    """Whatever answers a text with a label."""

    @property
    def name(self) -> str: ...

    def predict(self, texts: Sequence[str]) -> list[str]:
        """A label for each text."""
        ...


@dataclass(frozen=True, slots=True)
class Score:
    """How many of the validation rows a candidate answers right."""

    name: str
    right: int
    accuracy: float


@dataclass(frozen=True, slots=True)
class Baseline:
    """Scores, the best first; `majority` is what always saying the most frequent label reaches.

    `classes` is None where completions are no labels: then only the look-up is tried. `unknown` is
    the share of validation rows whose answer no training row gives, which nobody can look up;
    `leaked` is the share of those whose question a training row asks, which anybody can.
    """

    training_rows: int
    validation_rows: int
    classes: int | None
    majority_label: str
    majority: float
    unknown: float
    leaked: float
    scores: tuple[Score, ...]

    def verdict(self, goal: float) -> str:
        """One sentence: whether the goal, a share of right answers, is reached without a model."""
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


def measure(training: Path, validation: Path, options: ReadOptions, *, seed: int = 42) -> Baseline:
    """Train on one file and score on the other; DatasetError when rows are bad."""
    known = _draw(training, options, MOST_TRAINING, seed)
    held = _draw(validation, options, MOST_VALIDATION, seed)
    texts, labels = zip(*known, strict=True)
    counted = Counter(labels)
    if len(counted) < 2:
        raise DatasetError(
            f"{training}: there is nothing to learn: every completion is {labels[0]!r}",
            hint="Name data with two answers or more.",
        )
    classes = len(counted) if are_classes(labels) else None
    candidates: list[Candidate] = [Nearest(texts, labels)]
    if classes is not None:
        candidates.insert(0, NaiveBayes(texts, labels))
    label = find_majority(labels)
    answers = [answer for _, answer in held]
    asked = set(texts)
    scores = [score(one, [text for text, _ in held], answers) for one in candidates]
    return Baseline(
        training_rows=len(known),
        validation_rows=len(held),
        classes=classes,
        majority_label=label,
        majority=answers.count(label) / len(held),
        unknown=sum(answer not in counted for answer in answers) / len(held),
        leaked=sum(bool(text) and text in asked for text, _ in held) / len(held),
        scores=tuple(sorted(scores, key=lambda one: -one.right)),
    )


def are_classes(labels: Sequence[str]) -> bool:
    """Whether there are so few different labels that each is seen often enough."""
    return len(set(labels)) <= min(MOST_CLASSES, len(labels) // 3)


def find_majority(labels: Sequence[str]) -> str:
    """The most frequent label; of equal ones the first in the alphabet."""
    counted = Counter(labels)
    return min(counted, key=lambda one: (-counted[one], one))


def score(candidate: Candidate, texts: Sequence[str], answers: Sequence[str]) -> Score:
    """Compare a candidate's labels with the right ones."""
    found = candidate.predict(texts)
    right = sum(one == other for one, other in zip(found, answers, strict=True))
    return Score(candidate.name, right, right / len(answers))


def _draw(path: Path, options: ReadOptions, most: int, seed: int) -> list[tuple[str, str]]:
    """Question and answer (without blanks around) of each row, or of `most` drawn by lot."""
    chosen = random.Random(seed)
    kept: list[tuple[str, str]] = []
    for number, pair in enumerate(_read_pairs(path, options)):
        if len(kept) < most:
            kept.append(pair)
        elif (place := chosen.randrange(number + 1)) < most:
            kept[place] = pair
    return _fit(kept, chosen)


def _fit(pairs: list[tuple[str, str]], chosen: random.Random) -> list[tuple[str, str]]:
    """As many of the rows, drawn by lot, as have no more characters together than are allowed."""
    lengths = [len(text) for text, _ in pairs]
    if sum(lengths) <= MOST_CHARS:
        return pairs
    order = chosen.sample(range(len(pairs)), len(pairs))
    fitting = sum(total <= MOST_CHARS for total in accumulate(lengths[row] for row in order))
    return [pairs[row] for row in sorted(order[: max(fitting, 1)])]


def _read_pairs(path: Path, options: ReadOptions) -> Iterator[tuple[str, str]]:
    for row in read_rows(path, options):
        yield to_nfc(prompt_text(row)), to_nfc(row.completion.strip())
