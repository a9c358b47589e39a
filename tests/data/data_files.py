"""Data files for the tests of `ftops.data`, and the errors of the reader about them."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from ftops.data.reading.options import AS_IS, ReadOptions
from ftops.data.rows import Row, read_rows
from ftops.errors import DatasetError


def write_rows(path: Path, rows: Sequence[object]) -> Path:
    """Write each of `rows` to a line of `path`: text unchanged, anything else as JSON."""
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def write_bytes(folder: Path, data: bytes) -> Path:
    """Write `data` to train.jsonl in `folder`."""
    path = folder / "train.jsonl"
    path.write_bytes(data)
    return path


def read_all(path: Path) -> list[Row]:
    """All rows of a valid file."""
    return list(read_rows(path))


def get_read_error(path: Path) -> list[str]:
    """The lines of the DatasetError about `path`, without its folder."""
    with pytest.raises(DatasetError) as caught:
        list(read_rows(path, ReadOptions(layout=AS_IS)))
    return caught.value.message.replace(f"{path.parent}/", "").splitlines()


def pair(prompt: object = "p", completion: object = "c") -> dict[str, object]:
    """A completion row."""
    return {"prompt": prompt, "completion": completion}


def chat(*contents: object, role: str = "user") -> dict[str, object]:
    """A chat row: one message for each content, the last one from the assistant."""
    roles = [role] * (len(contents) - 1) + ["assistant"]
    return {
        "messages": [
            {"role": name, "content": content}
            for name, content in zip(roles, contents, strict=True)
        ]
    }


def tool(name: str = "send", **properties: object) -> dict[str, object]:
    """A tool with these parameters, all required."""
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


def call(arguments: object, name: str = "send", id: str = "call_1") -> dict[str, object]:
    """A tool call; arguments that are text are not encoded."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {"id": id, "type": "function", "function": {"name": name, "arguments": text}}


def chat_with_calls(
    *calls: object, question: str = "Send it.", **more: object
) -> dict[str, object]:
    """A chat that ends with these tool calls; `more` are further keys of the row."""
    message = {"role": "assistant", "tool_calls": list(calls)}
    return {"messages": [{"role": "user", "content": question}, message], **more}


def call_row(arguments: object) -> dict[str, object]:
    """A chat with a call of a tool with these arguments, its answer and a last message."""
    function = {"name": "send", "arguments": json.dumps(arguments)}
    return {
        "messages": [
            {"role": "user", "content": "Send it."},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
            },
            {"role": "tool", "content": "sent", "tool_call_id": "call_1"},
            {"role": "assistant", "content": "Done."},
        ]
    }


def message_list(text: object, role: str = "assistant", **more: object) -> list[object]:
    """A list with one message."""
    return [{"role": role, "content": text, **more}]


def preference(
    preferred: str = "On the hook.", other: str = "Look yourself.", **changes: object
) -> dict[str, object]:
    """A preference row: two answers to one question."""
    return {
        "input": {"messages": message_list("Where is the key?", "user")},
        "preferred_output": message_list(preferred),
        "non_preferred_output": message_list(other),
        **changes,
    }
