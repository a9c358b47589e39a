"""Small training data with something to learn: which of the words red, green and blue is named."""

import json
from collections.abc import Mapping, Sequence

_COLOURS = ("red", "green", "blue")
_THINGS = ("door", "cup", "boat", "hat", "lamp", "chair", "bird", "road", "ball", "coat")


def sentences(n: int = 60) -> list[dict[str, str]]:
    """Rows whose completion is the colour in the prompt; all three come equally often."""
    return [
        {
            "prompt": f"The {_THINGS[i // 3 % 10]} number {i} is {_COLOURS[i % 3]} ->",
            "completion": f" {_COLOURS[i % 3]}",
        }
        for i in range(n)
    ]


def yes_or_no(n: int = 60) -> list[dict[str, str]]:
    """The same sentences; whether they are about something red."""
    return [
        {**row, "completion": " yes" if row["completion"] == " red" else " no"}
        for row in sentences(n)
    ]


def as_lines(rows: Sequence[Mapping[str, object]]) -> str:
    """JSONL."""
    return "".join(json.dumps(row) + "\n" for row in rows)
