"""Few-shot prompts: which training rows are the examples of a prompt, and how they are put."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ftops.data.baselines import NearestNeighbour
from ftops.data.rows import read_rows
from ftops.evaluation.prompt_format import PromptFormat, to_chat, to_text
from ftops.records import Message, Prompt, RowFormat
from ftops.spec.evaluate import FewShotCandidate

# Between examples where no stop sequence ends an answer; the response then ends there, too.
GAP = "\n\n###\n\n"


@dataclass(frozen=True, slots=True)
class FewShotExample:
    """A training row: its prepared prompt, and its answer as a label."""

    prompt: Prompt
    answer: str


def read_examples(path: Path, prompt_format: PromptFormat) -> list[FewShotExample]:
    """The training rows, with answers as labels."""
    return [
        FewShotExample(row.prompt, prompt_format.parse(row.completion)) for row in read_rows(path)
    ]


def select_examples(
    rows: Sequence[FewShotExample], prompts: Sequence[Prompt], spec: FewShotCandidate, seed: int
) -> Iterator[Sequence[FewShotExample]]:
    """The examples for each prompt, the same for the same seed.

    Of the nearest rows, the most similar is last, next to the prompt.
    """
    generator = random.Random(seed if spec.seed is None else spec.seed)
    if spec.selection == "nearest":
        nearest = NearestNeighbour(
            [to_text(row.prompt) for row in rows], [row.answer for row in rows]
        )
        for numbers in nearest.rank([to_text(prompt) for prompt in prompts], spec.examples):
            yield [rows[number] for number in reversed(numbers)]
        return
    if spec.selection == "random":
        selected = generator.sample(list(rows), min(spec.examples, len(rows)))
    else:
        selected = _select_balanced(rows, spec.examples, generator)
    for _ in prompts:
        yield selected


def _select_balanced(
    rows: Sequence[FewShotExample], count: int, generator: random.Random
) -> list[FewShotExample]:
    """A stratified random sample: rows of each class in turn, in random order."""
    classes: dict[str, list[FewShotExample]] = {}
    for row in rows:
        classes.setdefault(row.answer, []).append(row)
    order = sorted(classes)
    generator.shuffle(order)
    order = order[:count]  # of more classes than examples, a random sample
    for name in order:
        classes[name] = generator.sample(classes[name], min(count, len(classes[name])))
    selected: list[FewShotExample] = []
    while len(selected) < min(count, len(rows)) and any(classes[name] for name in order):
        for name in order:
            if classes[name] and len(selected) < count:
                selected.append(classes[name].pop())
    generator.shuffle(selected)
    return selected


def build_prompt(
    examples: Sequence[FewShotExample], prompt: Prompt, prompt_format: PromptFormat
) -> Prompt:
    """The prompt with the examples before it: as turns of a chat, or as text."""
    if prompt_format.row_format is RowFormat.CHAT:
        chat = to_chat(prompt, prompt_format.separator)
        head = tuple(message for message in chat if message.role in ("system", "developer"))
        turns: list[Message] = []
        for example in examples:
            messages = to_chat(example.prompt, prompt_format.separator)
            turns += [
                message for message in messages if message.role not in ("system", "developer")
            ]
            turns.append(Message("assistant", example.answer))
        return (*head, *turns, *chat[len(head) :])
    gap = prompt_format.stop or GAP
    texts = [f"{to_text(example.prompt)} {example.answer}{gap}" for example in examples]
    return "".join([*texts, to_text(prompt)])


def list_stops(prompt_format: PromptFormat) -> tuple[str, ...]:
    """The stop sequences of a response to a few-shot prompt."""
    if prompt_format.row_format is RowFormat.CHAT:
        return (prompt_format.stop,) if prompt_format.stop else ()
    return (prompt_format.stop or GAP,)
