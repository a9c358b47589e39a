"""A row cut into what the model reads and what it learns to say."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from ftops.data.rows import Row
from ftops.data.tokens.estimate import TOKENS_A_CHAT, TOKENS_A_MESSAGE
from ftops.records import Json, RowFormat
from ftops.rows.messages import JsonObject, message_text
from ftops.rows.tools import write_calls, write_tools


@dataclass(frozen=True, slots=True)
class Piece:
    """A text with its role; `trained` when the model learns to say it.

    `marks` are tokens beside those of the text: who speaks, where a message ends.
    """

    role: str
    text: str
    trained: bool
    marks: int = 0


def cut_row(row: Row) -> list[Piece]:
    """The pieces of a row in the order in which the model reads them.

    Of a preference, both answers are learned from: the one to be said rather than the other.
    """
    if row.format is RowFormat.COMPLETION:
        return [
            Piece("prompt", str(row.raw["prompt"]), trained=False),
            Piece("completion", str(row.raw["completion"]), trained=True),
        ]
    if row.format is RowFormat.CHAT:
        return [*_cut_tools(row.raw), *_cut_chat(cast("list[JsonObject]", row.raw["messages"]))]
    asked = cast(JsonObject, row.raw["input"])
    answers = [
        Piece(name, message_text(message), trained=True, marks=TOKENS_A_MESSAGE)
        for name, key in (("preferred", "preferred_output"), ("other", "non_preferred_output"))
        for message in cast("list[JsonObject]", row.raw[key])
    ]
    chat = _cut_chat(cast("list[JsonObject]", asked["messages"]), learned=False)
    return [*_cut_tools(asked), *chat, *answers]


def _cut_tools(raw: Mapping[str, Json]) -> Iterator[Piece]:
    """The tools that a chat may use, as JSON: how they are written out is the provider's own."""
    for key, text in write_tools(raw).items():
        yield Piece(key, text, trained=False)


def _cut_chat(messages: list[JsonObject], *, learned: bool = True) -> Iterator[Piece]:
    begin = TOKENS_A_CHAT
    for message in messages:
        role = cast(str, message["role"])
        trained = learned and role == "assistant" and message.get("weight", 1) != 0
        text = message_text(message) + write_calls(message, verbatim=True)
        yield Piece(role, text, trained, TOKENS_A_MESSAGE + begin)
        begin = 0
