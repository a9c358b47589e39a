"""Rows worth reading: where a candidate is most wrong, and where candidates disagree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ftops.metrics.prediction import Prediction, Problem
from ftops.records import Json, Prompt
from ftops.reports.word_diff import DiffSegment, diff_words, get_similarity
from ftops.reports.words import LONGEST_TEXT, show

WORST = 20
EXAMPLES = 12
_COLUMNS = 6  # candidates side by side
_PROBLEMS = {
    Problem.EMPTY: "the answer is empty",
    Problem.REFUSED: "the model declined to answer",
    Problem.TRUNCATED: "the answer was cut at the limit of tokens",
    Problem.FAILED: "no answer came",
}


@dataclass(frozen=True, slots=True)
class WorstRow:
    """A row that was answered wrongly, with the words that differ, and what is odd about it."""

    line: int
    prompt: str
    expected: Sequence[DiffSegment]
    predicted: Sequence[DiffSegment]
    remark: str

    def to_json(self) -> dict[str, Json]:
        """Line and texts, as they are shown."""
        return {
            "line": self.line,
            "prompt": self.prompt,
            "expected": "".join(piece.text for piece in self.expected),
            "predicted": "".join(piece.text for piece in self.predicted),
            "remark": self.remark,
        }


@dataclass(frozen=True, slots=True)
class Example:
    """One row, and what each candidate said: its name, its answer, whether that is right."""

    line: int
    prompt: str
    expected: str
    answers: Sequence[tuple[str, str, bool]]

    def to_json(self) -> dict[str, Json]:
        """Line, texts and answers by candidate."""
        return {
            "line": self.line,
            "prompt": self.prompt,
            "expected": self.expected,
            "answers": [
                {"candidate": name, "predicted": given, "correct": correct}
                for name, given, correct in self.answers
            ],
        }


def find_worst(
    answers: Sequence[Prediction], most: int = WORST, separator: str = ""
) -> list[WorstRow]:
    """The wrong answers: those given with the most confidence first, then the most unlike ones."""
    wrong = sorted((one for one in answers if not one.correct), key=_rank)
    return [_make_worst(one, separator) for one in wrong[:most]]


def choose_examples(
    answers: Mapping[str, Sequence[Prediction]], most: int = EXAMPLES, separator: str = ""
) -> list[Example]:
    """Rows where candidates disagree, those on which the first one stands alone before others.

    Empty when there are fewer than two candidates with answers.
    """
    names = [name for name, given in answers.items() if given][:_COLUMNS]
    if len(names) < 2:
        return []
    by_line = {name: {one.line: one for one in answers[name]} for name in names}
    shared = [line for line in by_line[names[0]] if all(line in by_line[name] for name in names)]
    groups: dict[str, list[int]] = {"won": [], "lost": [], "differ": [], "same": []}
    for line in sorted(shared):
        groups[_sort_out([by_line[name][line].correct for name in names])].append(line)
    chosen = _draw(list(groups.values()), most)
    return [
        _make_example(line, [(name, by_line[name][line]) for name in names], separator)
        for line in chosen
    ]


def say_prompt(prompt: Prompt, separator: str = "") -> str:
    """A prompt as one text, without the separator at its end; the turns of a chat with who said
    them."""
    if isinstance(prompt, str):
        return prompt.removesuffix(separator).rstrip()
    return "\n".join(f"{message.role}: {message.content}" for message in prompt)


def _rank(answer: Prediction) -> tuple[float, float, int]:
    confidence = answer.probabilities.get(answer.predicted.strip(), 0.0)
    return (-confidence, get_similarity(answer.expected, answer.predicted), answer.line)


def _make_worst(answer: Prediction, separator: str) -> WorstRow:
    expected, given = diff_words(
        show(answer.expected.strip(), LONGEST_TEXT), show(answer.predicted.strip(), LONGEST_TEXT)
    )
    remarks = [_PROBLEMS[answer.problem]] if answer.problem else []
    remarks += [answer.note] if answer.note else []
    chance = answer.probabilities.get(answer.predicted.strip())
    remarks += [f"said with a probability of {100 * chance:.0f}%"] if chance is not None else []
    prompt = show(say_prompt(answer.prompt, separator), LONGEST_TEXT)
    return WorstRow(answer.line, prompt, expected, given, show("; ".join(remarks), LONGEST_TEXT))


def _sort_out(correct: Sequence[bool]) -> str:
    """How the first candidate stands among the others on one row."""
    first, *others = correct
    if all(others) == first and any(others) == first:
        return "same"
    if not any(others):
        return "won"
    return "lost" if all(others) else "differ"


def _draw(groups: list[list[int]], most: int) -> list[int]:
    """One line of each group in turn, until there are enough."""
    chosen: list[int] = []
    while any(groups) and len(chosen) < most:
        for group in groups:
            if group and len(chosen) < most:
                chosen.append(group.pop(0))
    return chosen


def _make_example(line: int, given: Sequence[tuple[str, Prediction]], separator: str) -> Example:
    first = given[0][1]
    return Example(
        line=line,
        prompt=show(say_prompt(first.prompt, separator), LONGEST_TEXT),
        expected=show(first.expected.strip(), LONGEST_TEXT),
        answers=[(name, _say_given(one), one.correct) for name, one in given],
    )


def _say_given(answer: Prediction) -> str:
    if answer.predicted.strip():
        return show(answer.predicted.strip(), LONGEST_TEXT)
    return f"({_PROBLEMS[answer.problem or Problem.EMPTY]})"
