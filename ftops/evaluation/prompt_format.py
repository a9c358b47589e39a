"""The prompt format of a model, which is the format of its training rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ftops.records import Chat, Message, Prompt, RowFormat
from ftops.text import to_nfc


@dataclass(frozen=True, slots=True)
class PromptFormat:
    """The row format, the separator after the prompt, the stop sequence and the label map.

    `label_map` maps the numbers that the model generates to labels, if labels are encoded, because
    candidates are compared by labels.
    """

    row_format: RowFormat = RowFormat.CHAT
    separator: str = ""
    stop: str | None = None
    label_map: Mapping[str, str] = field(default_factory=dict)

    def parse(self, text: str) -> str:
        """The label in a response: the text before the stop sequence, decoded, in NFC."""
        answer = (text.split(self.stop, 1)[0] if self.stop else text).strip()
        return to_nfc(self.label_map.get(answer, answer))

    def convert(self, prompt: Prompt, source: "PromptFormat") -> Prompt:
        """Convert a prompt from the format `source` to this format."""
        if self.row_format is RowFormat.CHAT:
            return to_chat(prompt, source.separator)
        text = to_text(prompt).removesuffix(source.separator)
        return text if text.endswith(self.separator) else text + self.separator


def add_instructions(prompt: Prompt, instructions: str | None) -> Prompt:
    """The prompt with instructions before it: in the system message of a chat, or as a line.

    The content of an existing system message follows the instructions.
    """
    if not instructions:
        return prompt
    if isinstance(prompt, str):
        return f"{instructions.rstrip()}\n{prompt}"
    messages = prompt.messages
    if messages and messages[0].role in ("system", "developer"):
        first = replace(messages[0], content=f"{instructions.rstrip()}\n\n{messages[0].content}")
        return replace(prompt, messages=(first, *messages[1:]))
    return replace(prompt, messages=(Message("system", instructions), *messages))


def to_chat(prompt: Prompt, separator: str) -> Chat:
    """The prompt as a chat; a text becomes a user message."""
    if isinstance(prompt, str):
        return Chat((Message("user", prompt.removesuffix(separator).strip()),))
    return prompt


def to_text(prompt: Prompt) -> str:
    """The prompt as text: the contents of its messages, without roles."""
    if isinstance(prompt, str):
        return prompt
    return "\n".join(message.content for message in prompt.messages)
