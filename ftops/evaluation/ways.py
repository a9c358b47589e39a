"""How a model is asked, and how its answers are read: each learned of rows of some shape."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ftops.records import Message, Prompt, RowFormat
from ftops.text import to_nfc


@dataclass(frozen=True, slots=True)
class Way:
    """The shape of prompts, what each ends with, what an answer ends with, what it stands for.

    `labels` names for what a model answers the label that it stands for, where numbers stand for
    labels. Candidates are compared in labels, whatever each of them says for one.
    """

    format: RowFormat = RowFormat.CHAT
    separator: str = ""
    stop: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    def read(self, text: str) -> str:
        """What counts of an answer: all before the stop sequence, as the label it stands for.

        It is in NFC: answers that look the same are the same.
        """
        answer = (text.split(self.stop, 1)[0] if self.stop else text).strip()
        return to_nfc(self.labels.get(answer, answer))

    def ask(self, prompt: Prompt, given: "Way") -> Prompt:
        """A prompt of rows that were made for `given`, as this one takes it."""
        if self.format is RowFormat.CHAT:
            return to_chat(prompt, given.separator)
        text = prompt.removesuffix(given.separator) if isinstance(prompt, str) else say(prompt)
        return text if text.endswith(self.separator) else text + self.separator


def instruct(prompt: Prompt, instructions: str | None) -> Prompt:
    """The prompt with instructions before all else: first in the system message, or as a line.

    What a chat's own system message says is kept, after them.
    """
    if not instructions:
        return prompt
    if isinstance(prompt, str):
        return f"{instructions.rstrip()}\n{prompt}"
    if prompt and prompt[0].role in ("system", "developer"):
        first = replace(prompt[0], content=f"{instructions.rstrip()}\n\n{prompt[0].content}")
        return (first, *prompt[1:])
    return (Message("system", instructions), *prompt)


def to_chat(prompt: Prompt, separator: str) -> tuple[Message, ...]:
    """The prompt as a chat; a text becomes what the user says."""
    if isinstance(prompt, str):
        return (Message("user", prompt.removesuffix(separator).strip()),)
    return prompt


def say(prompt: Prompt) -> str:
    """The words of a prompt, without who says them."""
    if isinstance(prompt, str):
        return prompt
    return "\n".join(message.content for message in prompt)
