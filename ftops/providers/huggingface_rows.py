"""Training rows in the formats of TRL.

TRL takes chats, and prompts with completions, as they are. A preference row has the chat before
the answer as `prompt`, and one message each as `chosen` and `rejected`.
https://huggingface.co/docs/trl/dataset_formats
"""

from pathlib import Path
from typing import cast

import orjson

from ftops.errors import DatasetError
from ftops.files import open_atomic
from ftops.records import Json
from ftops.rows.messages import JsonObject
from ftops.text import format_count

_SHOWN_ROWS = 10


def check_rows(path: Path) -> None:
    """Raise DatasetError for messages with the weight 0, which TRL would train on."""
    with path.open("rb") as source:
        rows = [number for number, line in enumerate(source, 1) if _has_unweighted(line)]
    if rows:
        shown = ", ".join(map(str, rows[:_SHOWN_ROWS]))
        raise DatasetError(
            f"{format_count(len(rows), 'row')} (the first: {shown}) have messages with the weight"
            " 0, and TRL has no weights of messages",
            hint="Remove these messages, or train at a provider that takes weights; nothing was"
            " sent.",
        )


def write_preferences(path: Path, target: Path) -> None:
    """Write the preference rows of `path` to `target` in TRL's format, atomically."""
    with path.open("rb") as source, open_atomic(target) as stream:
        for line in source:
            row = render_preference(orjson.loads(line))
            stream.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))


def render_preference(row: JsonObject) -> JsonObject:
    """A prepared preference row in TRL's format; tools stay beside the prompt."""
    chat = cast(JsonObject, row["input"])
    rendered: JsonObject = {
        "prompt": chat["messages"],
        "chosen": row["preferred_output"],
        "rejected": row["non_preferred_output"],
    }
    if "tools" in chat:
        rendered["tools"] = chat["tools"]
    return rendered


def _has_unweighted(line: bytes) -> bool:
    if b'"weight"' not in line:
        return False
    messages: Json = orjson.loads(line).get("messages")
    return isinstance(messages, list) and any(
        isinstance(message, dict) and message.get("weight") == 0 for message in messages
    )
