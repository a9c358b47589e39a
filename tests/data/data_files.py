"""Data files for the tests of this room, and what the reader says about them."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from ftops.data.reading.options import AS_IS, ReadOptions
from ftops.data.rows import Row, read_rows
from ftops.errors import DatasetError


def write_rows(path: Path, rows: Sequence[object]) -> Path:
    """Put each of `rows` on a line of `path`: text as it is, anything else as JSON."""
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def write_bytes(folder: Path, data: bytes) -> Path:
    """Put `data` at train.jsonl in `folder`."""
    path = folder / "train.jsonl"
    path.write_bytes(data)
    return path


def read_all(path: Path) -> list[Row]:
    """All rows of a good file."""
    return list(read_rows(path))


def refusal(path: Path) -> list[str]:
    """The lines of the DatasetError about `path`, with its folder left out of them."""
    with pytest.raises(DatasetError) as caught:
        list(read_rows(path, ReadOptions(layout=AS_IS)))
    return caught.value.message.replace(f"{path.parent}/", "").splitlines()


def pair(prompt: object = "p", completion: object = "c") -> dict[str, object]:
    """A completion row."""
    return {"prompt": prompt, "completion": completion}


def chat(*contents: object, role: str = "user") -> dict[str, object]:
    """A chat row: one message a content, the last one the assistant's."""
    roles = [role] * (len(contents) - 1) + ["assistant"]
    return {
        "messages": [
            {"role": name, "content": content}
            for name, content in zip(roles, contents, strict=True)
        ]
    }


def tool(name: str = "send", **properties: object) -> dict[str, object]:
    """A tool whose parameters are these; all of them are required."""
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


def call(arguments: object, name: str = "send", id: str = "call_1") -> dict[str, object]:
    """A call of a tool; text for arguments is taken as it is."""
    written = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {"id": id, "type": "function", "function": {"name": name, "arguments": written}}


def calling(*calls: object, question: str = "Send it.", **more: object) -> dict[str, object]:
    """A chat that ends with these calls, as `more` says of its tools."""
    answer = {"role": "assistant", "tool_calls": list(calls)}
    return {"messages": [{"role": "user", "content": question}, answer], **more}


def call_row(arguments: object) -> dict[str, object]:
    """A chat in which a tool is called with these arguments."""
    called = {"name": "send", "arguments": json.dumps(arguments)}
    return {
        "messages": [
            {"role": "user", "content": "Send it."},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "call_1", "type": "function", "function": called}],
            },
            {"role": "tool", "content": "sent", "tool_call_id": "call_1"},
            {"role": "assistant", "content": "Done."},
        ]
    }


def said(text: object, role: str = "assistant", **more: object) -> list[object]:
    """A list of one message."""
    return [{"role": role, "content": text, **more}]


def preference(
    preferred: str = "On the hook.", other: str = "Look yourself.", **changes: object
) -> dict[str, object]:
    """A preference row: two answers to the question where the key is."""
    return {
        "input": {"messages": said("Where is the key?", "user")},
        "preferred_output": said(preferred),
        "non_preferred_output": said(other),
        **changes,
    }
