"""Reading rows, and errors about bad ones."""

import io
import json
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftops.data.reading.options import MAX_LINE_BYTES, ReadOptions, parse_format
from ftops.data.rows import PromptRow, read_prompts, read_rows
from ftops.errors import DatasetError
from ftops.records import Chat, Message, RowFormat
from tests.data.data_files import (
    call,
    chat,
    get_read_error,
    pair,
    read_all,
    tool,
    write_bytes,
    write_rows,
)

PROPERTY = settings(deadline=None, derandomize=True, database=None, max_examples=200)


def test_completion_rows_are_read_with_their_lines(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", [pair("", " 1"), pair('世界 \\" \\', "é\n")])
    first, second = read_all(path)
    assert (first.line, first.format) == (1, RowFormat.COMPLETION)
    assert (first.prompt, first.completion) == ("", " 1")
    assert (second.line, second.prompt, second.completion) == (2, '世界 \\" \\', "é\n")


def test_chat_rows_split_before_the_last_answer(tmp_path: Path) -> None:
    row = {
        "messages": [
            {"role": "system", "content": "brief"},
            {"role": "user", "name": "ann", "content": [{"type": "text", "text": "a"}] * 2},
            {
                "role": "assistant",
                "content": None,
                "weight": 0,
                "tool_calls": [call("no JSON", "f", "1")],
            },
            {"role": "tool", "content": "42", "tool_call_id": "1"},
            {"role": "assistant", "content": "the end", "weight": 1},
        ],
        "tools": [
            {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
        ],
        "parallel_tool_calls": False,
    }
    (parsed,) = read_all(write_rows(tmp_path / "a.jsonl", [row]))
    assert parsed.format is RowFormat.CHAT
    assert parsed.raw == row
    assert parsed.completion == "the end"
    assert isinstance(parsed.prompt, Chat)
    assert [(message.role, message.content) for message in parsed.prompt.messages] == [
        ("system", "brief"),
        ("user", "aa"),
        ("assistant", ""),
        ("tool", "42"),
    ]
    assert parsed.prompt.options == {
        "tools": row["tools"], "parallel_tool_calls": False
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("nonsense", "not JSON: "),
        ('{"prompt": "a", "completion": "b"', "not JSON: "),
        ('{"prompt": "a", "completion": NaN}', "not JSON: "),
        ('{"prompt": "a", "completion": "\\ud800"}', "an escape is an unpaired surrogate"),
        ("[1, 2]", "a list, not an object in braces"),
        ("[", "not a row: the file must have one JSON object per line, not a list"),
        ("3", "a number, not an object in braces"),
        ('"text"', "text, not an object in braces"),
        ("null", "null, not an object in braces"),
        (pair("a", None), "completion is null"),
        (pair(None, "b"), "prompt is null"),
        (pair("a", 3), "completion is a number, not text"),
        (pair(True, "b"), "prompt is true or false, not text"),
        (pair(["a"], "b"), "prompt is a list, not text"),
        (pair({}, "b"), "prompt is an object, not text"),
        (pair("a", ""), "completion is empty: there is nothing to learn from it"),
        ({"prompt": "a"}, "completion is missing"),
        ({"completion": "a"}, "prompt is missing"),
        ({"text": "a", "label": "b"}, "neither prompt and completion nor messages; it has 'text'"),
        ({}, "neither prompt and completion nor messages; it has no keys"),
        (pair() | {"id": 3, "é": 1}, "unexpected key 'id', 'é'; a row is prompt and completion"),
        ('{"prompt": "a", "prompt": "b", "completion": "c"}', "the key 'prompt' is duplicated"),
        (
            '{"prompt": 1, "prompt": "b\\\\", "completion": "c\\\\"}',
            "the key 'prompt' is duplicated",
        ),
        (
            '{"\\u0070rompt": "a", "prompt": "b", "completion": "c"}',
            "the key 'prompt' is duplicated",
        ),
        (pair("a", "b\0c"), "it holds the character U+0000"),
        (chat("a"), "a chat row; line 1 began with completion rows"),
    ],
)
def test_a_bad_completion_row_is_reported_with_its_line_and_reason(
    tmp_path: Path, line: object, reason: str
) -> None:
    head, problem = get_read_error(write_rows(tmp_path / "a.jsonl", [pair(), line, pair()]))
    assert head == "a.jsonl: 1 of 3 rows are bad"
    assert problem.startswith(f"a.jsonl:2: {reason}")


def chat_with_message(**fields: object) -> dict[str, object]:
    return {
        "messages": [
            {"role": "user", "content": "a"} | fields,
            {"role": "assistant", "content": "b"},
        ]
    }


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({"messages": None}, "messages is null, not a list"),
        ({"messages": []}, "messages is empty"),
        ({"messages": ["a"]}, "messages[0] is text, not an object"),
        ({"messages": [{"content": "a"}]}, "messages[0].role is missing"),
        ({"messages": [{"role": "assistant"}]}, "messages[0].content is missing"),
        (
            chat_with_message(role="boss"),
            "messages[0].role is 'boss'; it is one of assistant, developer,",
        ),
        (chat_with_message(role=3), "messages[0].role is a number; it is one of"),
        (chat_with_message(role=["user"]), "messages[0].role is a list; it is one of"),
        (chat_with_message(content=None), "messages[0].content is null"),
        (chat_with_message(content=3), "messages[0].content is a number, not text"),
        (
            chat_with_message(content=[{"type": "image_url"}]),
            "messages[0].content[0] is not a text part",
        ),
        (chat_with_message(content=[{"text": "a"}]), "messages[0].content[0].type is missing"),
        (chat_with_message(mood="good"), "messages[0] has the unexpected key 'mood'"),
        (chat_with_message(weight=2), "messages[0].weight is neither 0 nor 1"),
        (chat_with_message(weight=True), "messages[0].weight is neither 0 nor 1"),
        (chat_with_message(weight=0.5), "messages[0].weight is neither 0 nor 1"),
        (chat_with_message(name=3), "messages[0].name is a number, not text"),
        (chat_with_message(content="\0"), "it holds the character U+0000"),
        (chat("a", "b") | {"prompt": "p"}, "unexpected key 'prompt'; a chat row is messages"),
        ({"messages": [{"role": "user", "content": "a"}]}, "the last message is not the assistant"),
        (chat("a", ""), "the last message has no text"),
        (chat("a", None), "messages[1].content is null"),
        (chat("a", "b") | {"tools": [tool(a=json.loads("[" * 70 + "]" * 70))]}, "nested deeper"),
        ('{"messages": [], "messages": [{"role": "assistant", "content": "a"}]}', "the key 'mess"),
        ('{"messages": [{"role": "user", "role": "assistant", "content": "a"}]}', "the key 'role'"),
        (pair(), "a completion row; line 1 began with chat rows"),
    ],
)
def test_a_bad_chat_row_is_reported_with_its_line_and_reason(
    tmp_path: Path, line: object, reason: str
) -> None:
    head, problem = get_read_error(write_rows(tmp_path / "a.jsonl", [chat("a", "b"), line]))
    assert head == "a.jsonl: 1 of 2 rows are bad"
    assert problem.startswith(f"a.jsonl:2: {reason}")


def test_all_bad_rows_are_counted_and_the_first_ten_shown(tmp_path: Path) -> None:
    rows = [pair("a", None) if number % 2 else pair() for number in range(50)]
    lines = get_read_error(write_rows(tmp_path / "a.jsonl", rows))
    assert lines[0] == "a.jsonl: 25 of 50 rows are bad"
    assert lines[1] == "a.jsonl:2: completion is null"
    assert lines[10] == "a.jsonl:20: completion is null"
    assert lines[11:] == ["… and 15 more"]


def test_bad_utf_8_is_reported_with_its_byte(tmp_path: Path) -> None:
    good = orjson.dumps(pair())
    path = write_bytes(tmp_path, good + b"\n" + good.replace(b'"p"', b'"caf\xe9"') + b"\n")
    assert get_read_error(path)[1] == "train.jsonl:2: not UTF-8: byte 0xe9 at byte 15 of the line"


def test_blank_lines_are_refused_between_rows_and_accepted_at_the_end(tmp_path: Path) -> None:
    good = orjson.dumps(pair())
    assert len(read_all(write_bytes(tmp_path, good + b"\n\n \r\n\n"))) == 1
    assert len(read_all(write_bytes(tmp_path, good))) == 1
    lines = get_read_error(write_bytes(tmp_path, b"\n" + good + b"\n\n\t\n" + good))
    assert lines[1:] == [f"train.jsonl:{number}: the line is blank" for number in (1, 3, 4)]


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(tmp_path: Path) -> None:
    path = write_bytes(
        tmp_path, b"\xef\xbb\xbf" + b"\r\n".join([orjson.dumps(pair())] * 3) + b"\r\n"
    )
    assert [row.line for row in read_all(path)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file holds no rows"),
        (b"\n \n\n", "the file holds no rows"),
        (b"\xef\xbb\xbf", "the file holds no rows"),
        (
            b"\x1f\x8b\x08",
            "the compressed file is truncated or damaged:"
            " Compressed file ended before the end-of-stream marker was reached",
        ),
        (b"PK\x03\x04", "cannot read the workbook: File is not a zip file"),
    ],
)
def test_a_file_without_rows_is_reported(tmp_path: Path, data: bytes, reason: str) -> None:
    assert get_read_error(write_bytes(tmp_path, data)) == [f"train.jsonl: {reason}"]


def test_a_path_that_is_not_a_file_is_reported(tmp_path: Path) -> None:
    for path, reason in (
        (tmp_path / "missing.jsonl", "there is no such file"),
        (tmp_path, "this folder is not a Hugging Face dataset"),
        (Path("/dev/null"), "not a regular file"),
        (write_bytes(tmp_path, b"x") / "deeper", "cannot be read"),
    ):
        with pytest.raises(DatasetError, match=reason):
            read_all(path)


def test_a_line_that_is_too_long_is_refused_and_reading_continues(tmp_path: Path) -> None:
    good = orjson.dumps(pair())
    for size in (MAX_LINE_BYTES + 1, 3 * MAX_LINE_BYTES):
        lines = get_read_error(
            write_bytes(tmp_path, good + b"\n" + b"x" * size + b"\nnonsense\n" + good)
        )
        assert lines[0] == "train.jsonl: 2 of 4 rows are bad"
        assert lines[1] == "train.jsonl:2: the line is longer than 8 MiB"
        assert lines[2].startswith("train.jsonl:3: not JSON")
    lines = get_read_error(write_bytes(tmp_path, b"x" * (2 * MAX_LINE_BYTES)))
    assert lines[1:] == ["train.jsonl:1: the line is longer than 8 MiB"]


def test_a_line_of_exactly_the_limit_is_read(tmp_path: Path) -> None:
    empty = len(orjson.dumps(pair("")))
    line = orjson.dumps(pair("x" * (MAX_LINE_BYTES - empty)))
    rows = read_all(write_bytes(tmp_path, line + b"\n" + orjson.dumps(pair())))
    assert [len(str(row.prompt)) for row in rows] == [MAX_LINE_BYTES - empty, 1]


def test_good_rows_are_returned_before_the_error_about_bad_ones(tmp_path: Path) -> None:
    rows = read_rows(write_rows(tmp_path / "a.jsonl", [pair(), "nonsense", pair()]))
    assert [next(rows).line, next(rows).line] == [1, 3]
    with pytest.raises(DatasetError):
        next(rows)


@PROPERTY
@given(data=st.binary(max_size=120) | st.lists(
    st.sampled_from([b"{", b"}", b'"prompt"', b'"completion"', b":", b",", b'"a"', b"\\", b'"',
                     b"\n", b'{"prompt":"a","completion":"b"}', b"[", b"]", b'"messages"', b"1"]),
    max_size=16).map(b"".join))  # fmt: skip
def test_arbitrary_bytes_give_rows_or_a_dataset_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = write_bytes(tmp_path_factory.getbasetemp(), data)
    try:
        rows = read_all(path)
    except DatasetError as error:
        assert error.message.startswith(str(path))
    else:
        assert rows
        assert all(row.completion for row in rows)


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
ESCAPED = st.text('"\\/{}:, promt', max_size=20)
ROWS = st.lists(st.tuples(TEXT | ESCAPED, (TEXT | ESCAPED).filter(bool)), min_size=1, max_size=5)


@PROPERTY
@given(rows=ROWS, ascii_only=st.booleans())
def test_good_completion_rows_round_trip(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], ascii_only: bool
) -> None:
    lines = [json.dumps(pair(*row), ensure_ascii=ascii_only).encode() for row in rows]
    path = write_bytes(tmp_path_factory.getbasetemp(), b"\n".join(lines))
    assert [(row.prompt, row.completion) for row in read_all(path)] == rows


@PROPERTY
@given(rows=ROWS, key=st.sampled_from(["prompt", "completion"]), value=TEXT | ESCAPED)
def test_a_duplicate_key_is_always_found(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], key: str, value: str
) -> None:
    line = json.dumps({key: value})[:-1] + ", " + json.dumps(pair(*rows[0]))[1:]
    path = write_bytes(tmp_path_factory.getbasetemp(), line.encode())
    assert get_read_error(path)[1] == f"train.jsonl:1: the key '{key}' is duplicated"


@PROPERTY
@given(rows=ROWS, tools=st.lists(st.dictionaries(TEXT | ESCAPED, TEXT | ESCAPED, max_size=3)))
def test_good_chat_rows_round_trip(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str]],
    tools: list[dict[str, str]],
) -> None:
    offered = [tool(f"f{number}", **properties) for number, properties in enumerate(tools)]
    raws = [chat(*row) | ({"tools": offered} if tools else {}) for row in rows]
    path = write_bytes(
        tmp_path_factory.getbasetemp(), b"\n".join(json.dumps(raw).encode() for raw in raws)
    )
    assert [row.raw for row in read_all(path)] == raws


def read(text: str, **names: str) -> list[PromptRow]:
    kind = parse_format(names.pop("format", None))
    options = ReadOptions(format=kind, prompt=names.pop("prompt", None))
    return read_prompts(None, options, stdin=io.BytesIO(text.encode()))


def test_prompts_are_read_without_their_completions() -> None:
    text = '{"prompt": "a"}\n{"prompt": "b", "completion": 5, "id": 7}\n'
    assert read(text) == [PromptRow(1, "a"), PromptRow(2, "b")]


def test_the_prompt_of_a_chat_ends_before_its_last_answer() -> None:
    user, assistant = {"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}
    rows = [
        {"messages": [user]},
        {"messages": [user, assistant]},
        {"messages": [user, assistant, user], "id": 1},
        {"input": {"messages": [user]}, "preferred_output": [assistant]},
    ]
    prompts = read("\n".join(map(json.dumps, rows)))
    question, answer = Message("user", "u"), Message("assistant", "a")
    assert [row.prompt for row in prompts] == [
        Chat((question,)),
        Chat((question,)),
        Chat((question, answer, question)),
        Chat((question,)),
    ]


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("Prompt;x\na;1\nb;2\n", {}),
        ("q,x\na,1\nb,2\n", {"prompt": "q"}),
        ("a\nb\n", {"format": "txt"}),
        ('[{"prompt": "a"}, {"prompt": "b"}]', {}),
        ('{"q": "a"}\n{"q": "b"}\n', {"prompt": "{q}"}),
    ],
)
def test_prompts_are_read_from_every_file_format(text: str, options: dict[str, str]) -> None:
    assert [row.prompt for row in read(text, **options)] == ["a", "b"]


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
def test_a_bad_prompt_is_reported_with_its_line_and_reason(row: str, reason: str) -> None:
    with pytest.raises(DatasetError, match=rf"1 of 2 rows are bad(.|\n)*:2: .*{reason}"):
        read(f'{{"prompt": "good"}}\n{row}\n')


def test_a_file_without_rows_and_a_table_without_prompts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no column for the prompt"):
        read("question,label\na,1\n")
    path = tmp_path / "empty.jsonl"
    path.write_text("\n")
    with pytest.raises(DatasetError):
        read_prompts(path)
