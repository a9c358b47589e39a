"""`ftops data convert`: formats of rows and files."""

import json
from pathlib import Path
from typing import Any

from tests.cli.running import ftops
from tests.data.data_files import (
    call,
    chat,
    chat_with_calls,
    message_list,
    pair,
    preference,
    tool,
    write_rows,
)


def read(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_table_becomes_json_lines_and_back(tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    table.write_text('prompt,completion\n"a, ""b""\nc",ä\nd,e\n', encoding="utf-8")
    lines = tmp_path / "a.jsonl"
    result = ftops("data", "convert", table, "-o", lines)
    assert result.code == 0, result.err
    assert "2 rows of completion" in result.out
    assert read(lines) == [pair('a, "b"\nc', "ä"), pair("d", "e")]
    second_table = tmp_path / "b.csv"
    assert ftops("data", "convert", lines, "-o", second_table).code == 0
    assert second_table.read_bytes() == table.read_bytes()


def test_pairs_become_chats_without_separator_and_stop_and_with_a_system_message(
    tmp_path: Path,
) -> None:
    rows = [pair(f"{n}? ->", f" {chr(97 + n)} is {n} END") for n in range(20)]
    path, out = write_rows(tmp_path / "a.jsonl", rows), tmp_path / "b.jsonl"
    result = ftops("data", "convert", path, "-o", out, "--to", "chat", "--system", "Be brief.")
    assert result.code == 0, result.err
    assert "without the separator ' ->'" in result.out
    assert read(out)[3] == {
        "messages": [
            *message_list("Be brief.", "system"),
            *message_list("3?", "user"),
            *message_list("d is 3"),
        ]
    }


def test_chats_of_one_question_become_pairs(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", [chat("a", "b"), chat("c", "d")])
    out = tmp_path / "b.csv"
    assert ftops("data", "convert", path, "-o", out, "--to", "completion").code == 0
    assert out.read_text() == "prompt,completion\na,b\nc,d\n"


def test_rows_that_do_not_fit_a_pair_are_errors_with_their_lines(tmp_path: Path) -> None:
    rows = [
        chat("a", "b"),
        chat("a", "b", "c", "d"),
        {
            "messages": [
                *message_list("s", "system"),
                *message_list("a", "user"),
                *message_list("b"),
            ]
        },
        chat("a", "b") | {"tools": []},
        {"messages": [*message_list("a", "user"), *message_list("b", weight=1)]},
        chat_with_calls(call({}), tools=[tool()]),
    ]
    path, out = write_rows(tmp_path / "a.jsonl", rows), tmp_path / "b.jsonl"
    result = ftops("data", "convert", path, "-o", out, "--to", "completion")
    assert result.code == 1
    assert "5 of 6 rows are bad" in result.err
    assert "a.jsonl:2: only a chat of one question" in result.err
    assert "a.jsonl:3: a pair has no place for the system message" in result.err
    assert "a.jsonl:4: a pair of prompt and completion has no place for tools" in result.err
    assert "a.jsonl:5: a message has more than role and content" in result.err
    assert "a.jsonl:6: messages[1] calls a tool, and a pair has no place for calls" in result.err
    assert not out.exists()
    write_rows(path, rows[2:3])
    converted = ftops("data", "convert", path, "-o", out, "--to", "completion", "--drop-system")
    assert converted.code == 0, converted.err
    assert read(out) == [pair("a", "b")]


def test_a_preference_becomes_its_preferred_chat_and_no_row_becomes_a_preference(
    tmp_path: Path,
) -> None:
    path, out = write_rows(tmp_path / "a.jsonl", [preference()]), tmp_path / "b.jsonl"
    refused = ftops("data", "convert", path, "-o", out, "--to", "chat")
    assert refused.code == 1
    assert "a.jsonl:1: a chat has one answer, and no place for non_preferred_output" in refused.err
    assert not out.exists()
    drop = ("--drop", "non_preferred_output")
    assert ftops("data", "convert", path, "-o", out, "--to", "chat", *drop).code == 0
    assert read(out) == [
        {"messages": [*message_list("Where is the key?", "user"), *message_list("On the hook.")]}
    ]
    pairs = write_rows(tmp_path / "c.jsonl", [pair("a", "b")])
    result = ftops("data", "convert", pairs, "-o", tmp_path / "d.jsonl", "--to", "preference")
    assert result.code == 1
    assert "one answer, and a preference needs two" in result.err


def test_chats_as_csv_and_other_suffixes_are_refused(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", [chat("a", "b")])
    result = ftops("data", "convert", path, "-o", tmp_path / "b.csv")
    assert result.code == 1
    assert "--to completion" in result.err
    assert not (tmp_path / "b.csv").exists()
    assert "Name it .jsonl or .csv" in ftops("data", "convert", path, "-o", tmp_path / "b.xls").err
    assert (
        "unknown row format"
        in ftops("data", "convert", path, "-o", tmp_path / "b.jsonl", "--to", "chats").err
    )
    assert "never changed" in ftops("data", "convert", path, "-o", path, "--force").err


def test_bad_rows_are_refused_and_standard_input_is_read(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    result = ftops("data", "convert", "-", "-o", out, stdin="prompt,completion\na,\n")
    assert result.code == 1
    assert "standard input:2: completion is empty" in result.err
    assert not out.exists()
    good = ftops("data", "convert", "-", "-o", out, "--json", stdin="prompt,completion\na,b\n")
    assert good.document["rows"] == 1
    assert read(out) == [pair("a", "b")]


def test_named_keys_and_columns_are_dropped(tmp_path: Path) -> None:
    table, out = tmp_path / "a.csv", tmp_path / "b.jsonl"
    table.write_text("prompt,completion,weight,id\na,b,0.5,1\n", encoding="utf-8")
    assert "the column weight would be lost" in ftops("data", "convert", table, "-o", out).err
    assert not out.exists()
    assert ftops("data", "convert", table, "-o", out, "--drop", "weight").code == 0
    rows = write_rows(tmp_path / "c.jsonl", [pair("a", "b") | {"weight": 2, "mood": "wary"}])
    result = ftops("data", "convert", rows, "-o", out, "--force", "--drop", "weight,mood")
    assert result.code == 0, result.err
    assert read(out) == [pair("a", "b")]
    refused = ftops("data", "convert", rows, "-o", out, "--force", "--drop", "prompt")
    assert "--drop prompt: rows require this key" in refused.err
