"""How well a model answered: exact matches, by class where the answers are classes.

An answer is correct when it equals the expected text but for white space at both ends. Where the
expected answers are few, the accuracy stands beside that of always saying the most frequent one:
a model that does not beat this baseline has learned nothing useful.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from ftops.errors import LedgerError
from ftops.records import Json, Prompt

MAX_CLASSES = 100
MIN_ROWS_PER_CLASS = 3  # on the average; below that the expected answers are no classes


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model gave for one row (`line` counts from 1) of the evaluation file."""

    line: int
    prompt: Prompt
    expected: str
    given: str

    @property
    def correct(self) -> bool:
        return self.given.strip() == self.expected.strip()


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class: how many rows expect it, how many answers say it, how many of these rightly."""

    label: str
    rows: int
    given: int
    correct: int

    @property
    def recall(self) -> float:
        """The share of its rows that were answered rightly."""
        return self.correct / self.rows

    @property
    def precision(self) -> float | None:
        """The share of the answers with this label that are right; None if there are none."""
        return self.correct / self.given if self.given else None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The score of a model on one file; the class figures only for a classification."""

    rows: int
    correct: int
    majority: str | None = None  # the most frequent expected answer
    majority_accuracy: float | None = None  # what always giving that answer would reach
    classes: tuple[ClassScore, ...] = ()  # by label
    outside: int = 0  # answers that are none of the classes

    @property
    def accuracy(self) -> float:
        """The share of exact matches."""
        return self.correct / self.rows

    def to_json(self) -> dict[str, Json]:
        """As plain JSON values, for a file or for `--json`."""
        return {
            "rows": self.rows,
            "correct": self.correct,
            "accuracy": self.accuracy,
            "majority": self.majority,
            "majority_accuracy": self.majority_accuracy,
            "classes": [
                {
                    "label": one.label,
                    "rows": one.rows,
                    "given": one.given,
                    "correct": one.correct,
                    "precision": one.precision,
                    "recall": one.recall,
                }
                for one in self.classes
            ],
            "outside": self.outside,
        }

    @classmethod
    def from_json(cls, value: Json) -> "Evaluation":
        """What `to_json` gave; LedgerError when it is something else."""
        try:
            data = cast(Mapping[str, Json], value)
            classes = cast(Sequence[Mapping[str, Json]], data["classes"])
            majority_accuracy = data["majority_accuracy"]
            return cls(
                rows=_count(data["rows"], least=1),
                correct=_count(data["correct"]),
                majority=None if data["majority"] is None else str(data["majority"]),
                majority_accuracy=(
                    None if majority_accuracy is None else float(cast(float, majority_accuracy))
                ),
                classes=tuple(
                    ClassScore(
                        str(one["label"]),
                        _count(one["rows"], least=1),
                        _count(one["given"]),
                        _count(one["correct"]),
                    )
                    for one in classes
                ),
                outside=_count(data["outside"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise LedgerError(
                f"the stored evaluation is damaged: {error!r}",
                hint="Delete evaluation.json of this run; the same `ftops run` evaluates again.",
            ) from error


def score(answers: Iterable[Answer]) -> Evaluation:
    """Count what is right; ValueError when there are no answers."""
    expected: Counter[str] = Counter()
    given: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for answer in answers:
        label = answer.expected.strip()
        expected[label] += 1
        given[answer.given.strip()] += 1
        right[label] += answer.correct
    rows, correct = expected.total(), right.total()
    if not rows:
        raise ValueError("no answers to score")
    if len(expected) > MAX_CLASSES or len(expected) * MIN_ROWS_PER_CLASS > rows:
        return Evaluation(rows, correct)
    labels = sorted(expected)
    majority = max(labels, key=lambda label: expected[label])
    return Evaluation(
        rows,
        correct,
        majority=majority,
        majority_accuracy=expected[majority] / rows,
        classes=tuple(
            ClassScore(label, expected[label], given[label], right[label]) for label in labels
        ),
        outside=rows - sum(given[label] for label in labels),
    )


def render_answers(answers: Iterable[Answer]) -> str:
    """The answers as JSON lines: line, prompt, expected, given, correct."""
    lines = [
        json.dumps(
            {
                "line": answer.line,
                "prompt": _prompt_to_json(answer.prompt),
                "expected": answer.expected,
                "given": answer.given,
                "correct": answer.correct,
            },
            ensure_ascii=False,
        )
        for answer in answers
    ]
    return "".join(f"{line}\n" for line in lines)


def _prompt_to_json(prompt: Prompt) -> Json:
    if isinstance(prompt, str):
        return prompt
    return [{"role": message.role, "content": message.content} for message in prompt]


def _count(value: Json, *, least: int = 0) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{value!r} is not a count")
    return value
