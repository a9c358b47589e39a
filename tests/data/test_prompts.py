"""Rows that are to be answered."""

import io
import json
from pathlib import Path

import pytest

from ftops.data.prompts import PromptRow, read_prompts
from ftops.data.reading.options import ReadOptions, parse_format
from ftops.errors import DatasetError
from ftops.records import Message


def read(text: str, **said: str) -> list[PromptRow]:
    kind = parse_format(said.pop("format", None))
    options = ReadOptions(format=kind, prompt=said.pop("prompt", None))
    return read_prompts(None, options, stdin=io.BytesIO(text.encode()))


def test_a_prompt_is_enough_and_what_was_answered_is_left_out() -> None:
    text = '{"prompt": "a"}\n{"prompt": "b", "completion": 5, "id": 7}\n'
    assert read(text) == [PromptRow(1, "a"), PromptRow(2, "b")]


def test_a_chat_is_asked_up_to_its_last_answer() -> None:
    user, said = {"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}
    rows = [
        {"messages": [user]},
        {"messages": [user, said]},
        {"messages": [user, said, user], "id": 1},
        {"input": {"messages": [user]}, "preferred_output": [said]},
    ]
    questions = read("\n".join(map(json.dumps, rows)))
    asked, answered = Message("user", "u"), Message("assistant", "a")
    assert [one.prompt for one in questions] == [
        (asked,),
        (asked,),
        (asked, answered, asked),
        (asked,),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Prompt;x\na;1\nb;2\n", {}),
        ("q,x\na,1\nb,2\n", {"prompt": "q"}),
        ("a\nb\n", {"format": "txt"}),
        ('[{"prompt": "a"}, {"prompt": "b"}]', {}),
        ('{"q": "a"}\n{"q": "b"}\n', {"prompt": "{q}"}),
    ],
)
def test_the_kind_of_file_does_not_matter(text: str, said: dict[str, str]) -> None:
    assert [one.prompt for one in read(text, **said)] == ["a", "b"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("7", "not an object"),
        ('{"text": "x"}', "neither prompt nor messages"),
        ('{"prompt": null}', "prompt is null"),
        ('{"messages": []}', "not a list of messages"),
        ('{"messages": [{"role": "assistant", "content": "x"}]}', "nothing to ask"),
        ('{"messages": [{"content": "x"}]}', "role"),
        ('{"prompt": "x"', "JSON"),
    ],
)
def test_a_bad_row_is_named_with_its_line_and_its_reason(row: str, reason: str) -> None:
    with pytest.raises(DatasetError, match=rf"1 of 2 rows are bad(.|\n)*:2: .*{reason}"):
        read(f'{{"prompt": "good"}}\n{row}\n')


def test_a_file_without_rows_and_a_table_without_prompts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no column for the prompt"):
        read("question,label\na,1\n")
    path = tmp_path / "empty.jsonl"
    path.write_text("\n")
    with pytest.raises(DatasetError):
        read_prompts(path)
