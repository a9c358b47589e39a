"""Example rows with differing words: the worst predictions, and disagreements."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from ftops.metrics.prediction import Prediction, Problem
from ftops.records import Json, Prompt
from ftops.reports.format import MAX_TEXT, show
from ftops.rows.tools import answer_text

_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
_MOST_WORDS = 600  # of one text; a comparison takes quadratic time
WORST = 20
EXAMPLES = 12
_COLUMNS = 6  # candidates side by side
_PROBLEMS = {
    Problem.EMPTY: "empty",
    Problem.REFUSED: "the model refused",
    Problem.TRUNCATED: "truncated at max_tokens",
    Problem.FAILED: "no response",
}


@dataclass(frozen=True, slots=True)
class DiffSegment:
    """Consecutive words that the two texts share, or do not share."""

    text: str
    differs: bool


def diff_words(expected: str, given: str) -> tuple[list[DiffSegment], list[DiffSegment]]:
    """Both texts in segments; very long texts are only compared as a whole."""
    first, second = _WORDS.findall(expected), _WORDS.findall(given)
    if max(len(first), len(second)) > _MOST_WORDS:
        same = expected == given
        return [DiffSegment(expected, not same)], [DiffSegment(given, not same)]
    blocks = SequenceMatcher(None, first, second, autojunk=False).get_opcodes()
    left = [DiffSegment("".join(first[a:b]), tag != "equal") for tag, a, b, _, _ in blocks if b > a]
    right = [
        DiffSegment("".join(second[a:b]), tag != "equal") for tag, _, _, a, b in blocks if b > a
    ]
    return left, right


def get_similarity(expected: str, given: str) -> float:
    """The similarity of two texts, from 0 to 1: the share of common words."""
    first, second = _split(expected), _split(given)
    if not first and not second:
        return 1.0
    common = (Counter(first) & Counter(second)).total()
    return 2 * common / (len(first) + len(second))


def _split(text: str) -> list[str]:
    return [word for word in _WORDS.findall(text)[:_MOST_WORDS] if not word.isspace()]


@dataclass(frozen=True, slots=True)
class WorstRow:
    """A row with a wrong prediction, the words that differ, and remarks."""

    line: int
    prompt: str
    expected: Sequence[DiffSegment]
    predicted: Sequence[DiffSegment]
    remark: str

    def to_json(self) -> dict[str, Json]:
        """The row as JSON."""
        return {
            "line": self.line,
            "prompt": self.prompt,
            "expected": "".join(piece.text for piece in self.expected),
            "predicted": "".join(piece.text for piece in self.predicted),
            "remark": self.remark,
        }


@dataclass(frozen=True, slots=True)
class RowExample:
    """One row with the prediction of each candidate: name, text, and whether it is correct."""

    line: int
    prompt: str
    expected: str
    answers: Sequence[tuple[str, str, bool]]

    def to_json(self) -> dict[str, Json]:
        """The row as JSON."""
        return {
            "line": self.line,
            "prompt": self.prompt,
            "expected": self.expected,
            "answers": [
                {"candidate": name, "predicted": given, "correct": correct}
                for name, given, correct in self.answers
            ],
        }


def list_worst(
    predictions: Sequence[Prediction], most: int = WORST, separator: str = ""
) -> list[WorstRow]:
    """The wrong predictions, most confident first, then least similar."""
    wrong = sorted((row for row in predictions if not row.correct), key=_rank)
    return [_make_worst(row, separator) for row in wrong[:most]]


def select_examples(
    predictions: Mapping[str, Sequence[Prediction]], most: int = EXAMPLES, separator: str = ""
) -> list[RowExample]:
    """Rows on which candidates disagree, first those where the first differs from all others.

    Empty with fewer than two candidates.
    """
    names = [name for name, rows in predictions.items() if rows][:_COLUMNS]
    if len(names) < 2:
        return []
    by_line = {name: {row.line: row for row in predictions[name]} for name in names}
    shared = [line for line in by_line[names[0]] if all(line in by_line[name] for name in names)]
    groups: dict[str, list[int]] = {"won": [], "lost": [], "differ": [], "same": []}
    for line in sorted(shared):
        groups[_group([by_line[name][line].correct for name in names])].append(line)
    chosen = _take_in_turn(list(groups.values()), most)
    return [
        _make_example(line, [(name, by_line[name][line]) for name in names], separator)
        for line in chosen
    ]


def format_prompt(prompt: Prompt, separator: str = "") -> str:
    """A prompt as one text, without its separator; chat messages have their roles."""
    if isinstance(prompt, str):
        return prompt.removesuffix(separator).rstrip()
    return "\n".join(
        f"{message.role}: {answer_text(message.to_json())}" for message in prompt.messages
    )


def _rank(answer: Prediction) -> tuple[float, float, int]:
    confidence = answer.probabilities.get(answer.predicted.strip(), 0.0)
    return (-confidence, get_similarity(answer.expected, answer.predicted), answer.line)


def _make_worst(answer: Prediction, separator: str) -> WorstRow:
    expected, given = diff_words(
        show(answer.expected.strip(), MAX_TEXT), show(answer.predicted.strip(), MAX_TEXT)
    )
    remarks = [_PROBLEMS[answer.problem]] if answer.problem else []
    remarks += [answer.note] if answer.note else []
    chance = answer.probabilities.get(answer.predicted.strip())
    remarks += [f"probability {100 * chance:.0f}%"] if chance is not None else []
    prompt = show(format_prompt(answer.prompt, separator), MAX_TEXT)
    return WorstRow(answer.line, prompt, expected, given, show("; ".join(remarks), MAX_TEXT))


def _group(correct: Sequence[bool]) -> str:
    """The group of a row, by the result of the first candidate and the others."""
    first, *others = correct
    if all(others) == first and any(others) == first:
        return "same"
    if not any(others):
        return "won"
    return "lost" if all(others) else "differ"


def _take_in_turn(groups: list[list[int]], most: int) -> list[int]:
    """Up to `most` lines, taken from the groups in turn."""
    chosen: list[int] = []
    while any(groups) and len(chosen) < most:
        for group in groups:
            if group and len(chosen) < most:
                chosen.append(group.pop(0))
    return chosen


def _make_example(line: int, given: Sequence[tuple[str, Prediction]], separator: str) -> RowExample:
    first = given[0][1]
    return RowExample(
        line=line,
        prompt=show(format_prompt(first.prompt, separator), MAX_TEXT),
        expected=show(first.expected.strip(), MAX_TEXT),
        answers=[(name, _format_prediction(row), row.correct) for name, row in given],
    )


def _format_prediction(answer: Prediction) -> str:
    if answer.predicted.strip():
        return show(answer.predicted.strip(), MAX_TEXT)
    return f"({_PROBLEMS[answer.problem or Problem.EMPTY]})"
