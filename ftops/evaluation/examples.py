"""Examples in the prompt: which training rows are chosen for a question, and how they are put."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ftops.data.baselines import NearestNeighbour
from ftops.evaluation.ways import Way, say, to_chat
from ftops.records import Message, Prompt, RowFormat
from ftops.spec.evaluate import FewShotCandidate

# Between examples where no stop sequence ends an answer; the answer to a question ends there, too.
GAP = "\n\n###\n\n"


@dataclass(frozen=True, slots=True)
class Example:
    """A training row: its prompt as it was prepared, its answer as a label."""

    prompt: Prompt
    answer: str


def choose_examples(
    rows: Sequence[Example], questions: Sequence[Prompt], wanted: FewShotCandidate, seed: int
) -> Iterator[Sequence[Example]]:
    """For each question the examples that stand before it, the same every time.

    Nearest ones stand with the nearest last, beside the question.
    """
    drawn = random.Random(seed if wanted.seed is None else wanted.seed)
    if wanted.selection == "nearest":
        nearest = NearestNeighbour([say(row.prompt) for row in rows], [row.answer for row in rows])
        for found in nearest.rank([say(question) for question in questions], wanted.examples):
            yield [rows[number] for number in reversed(found)]
        return
    if wanted.selection == "random":
        chosen = drawn.sample(list(rows), min(wanted.examples, len(rows)))
    else:
        chosen = _balance(rows, wanted.examples, drawn)
    for _ in questions:
        yield chosen


def _balance(rows: Sequence[Example], count: int, drawn: random.Random) -> list[Example]:
    """Rows drawn by lot from each class in turn, in a drawn order."""
    classes: dict[str, list[Example]] = {}
    for row in rows:
        classes.setdefault(row.answer, []).append(row)
    order = sorted(classes)
    drawn.shuffle(order)
    order = order[:count]  # of more classes than examples, as many by lot
    for name in order:
        classes[name] = drawn.sample(classes[name], min(count, len(classes[name])))
    chosen: list[Example] = []
    while len(chosen) < min(count, len(rows)) and any(classes[name] for name in order):
        for name in order:
            if classes[name] and len(chosen) < count:
                chosen.append(classes[name].pop())
    drawn.shuffle(chosen)
    return chosen


def put_examples(examples: Sequence[Example], question: Prompt, way: Way) -> Prompt:
    """The question with the examples before it: as turns of a chat, or as text."""
    if way.format is RowFormat.CHAT:
        asked = to_chat(question, way.separator)
        head = tuple(one for one in asked if one.role in ("system", "developer"))
        turns: list[Message] = []
        for example in examples:
            shown = to_chat(example.prompt, way.separator)
            turns += [one for one in shown if one.role not in ("system", "developer")]
            turns.append(Message("assistant", example.answer))
        return (*head, *turns, *asked[len(head) :])
    gap = way.stop or GAP
    shown_texts = [f"{say(one.prompt)} {one.answer}{gap}" for one in examples]
    return "".join([*shown_texts, say(question)])


def find_end(way: Way) -> tuple[str, ...]:
    """What ends an answer to a question with examples before it."""
    if way.format is RowFormat.CHAT:
        return (way.stop,) if way.stop else ()
    return (way.stop or GAP,)
