"""`ftops data convert`: shapes and kinds of file."""

import json
from pathlib import Path
from typing import Any

from tests.cli.running import ftops
from tests.data.data_files import call, calling, chat, pair, preference, said, tool, write_rows


def read(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_table_becomes_json_lines_and_back(tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    table.write_text('prompt,completion\n"a, ""b""\nc",ä\nd,e\n', encoding="utf-8")
    lines = tmp_path / "a.jsonl"
    answer = ftops("data", "convert", table, "-o", lines)
    assert answer.code == 0, answer.err
    assert "2 rows of completion" in answer.out
    assert read(lines) == [pair('a, "b"\nc', "ä"), pair("d", "e")]
    again = tmp_path / "b.csv"
    assert ftops("data", "convert", lines, "-o", again).code == 0
    assert again.read_bytes() == table.read_bytes()


def test_pairs_become_chats_without_their_marks_and_with_a_system_message(tmp_path: Path) -> None:
    rows = [pair(f"{n}? ->", f" {chr(97 + n)} is {n} END") for n in range(20)]
    path, out = write_rows(tmp_path / "a.jsonl", rows), tmp_path / "b.jsonl"
    answer = ftops("data", "convert", path, "-o", out, "--to", "chat", "--system", "Be brief.")
    assert answer.code == 0, answer.err
    assert "without the separator ' ->'" in answer.out
    assert read(out)[3] == {
        "messages": [*said("Be brief.", "system"), *said("3?", "user"), *said("d is 3")]
    }


def test_chats_of_one_question_become_pairs(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", [chat("a", "b"), chat("c", "d")])
    out = tmp_path / "b.csv"
    assert ftops("data", "convert", path, "-o", out, "--to", "completion").code == 0
    assert out.read_text() == "prompt,completion\na,b\nc,d\n"


def test_what_a_pair_has_no_place_for_is_an_error_with_its_lines(tmp_path: Path) -> None:
    rows = [
        chat("a", "b"),
        chat("a", "b", "c", "d"),
        {"messages": [*said("s", "system"), *said("a", "user"), *said("b")]},
        chat("a", "b") | {"tools": []},
        {"messages": [*said("a", "user"), *said("b", weight=1)]},
        calling(call({}), tools=[tool()]),
    ]
    path, out = write_rows(tmp_path / "a.jsonl", rows), tmp_path / "b.jsonl"
    answer = ftops("data", "convert", path, "-o", out, "--to", "completion")
    assert answer.code == 1
    assert "5 of 6 rows are bad" in answer.err
    assert "a.jsonl:2: only a chat of one question" in answer.err
    assert "a.jsonl:3: a pair has no place for the system message" in answer.err
    assert "a.jsonl:4: a pair of prompt and completion has no place for tools" in answer.err
    assert "a.jsonl:5: a message has more than role and content" in answer.err
    assert "a.jsonl:6: messages[1] calls a tool, and a pair has no place for calls" in answer.err
    assert not out.exists()
    write_rows(path, rows[2:3])
    given = ftops("data", "convert", path, "-o", out, "--to", "completion", "--drop-system")
    assert given.code == 0, given.err
    assert read(out) == [pair("a", "b")]


def test_a_preference_becomes_the_chat_that_is_preferred_and_nothing_becomes_one(
    tmp_path: Path,
) -> None:
    path, out = write_rows(tmp_path / "a.jsonl", [preference()]), tmp_path / "b.jsonl"
    refused = ftops("data", "convert", path, "-o", out, "--to", "chat")
    assert refused.code == 1
    assert "a.jsonl:1: a chat has one answer, and no place for non_preferred_output" in refused.err
    assert not out.exists()
    drop = ("--drop", "non_preferred_output")
    assert ftops("data", "convert", path, "-o", out, "--to", "chat", *drop).code == 0
    assert read(out) == [{"messages": [*said("Where is the key?", "user"), *said("On the hook.")]}]
    pairs = write_rows(tmp_path / "c.jsonl", [pair("a", "b")])
    answer = ftops("data", "convert", pairs, "-o", tmp_path / "d.jsonl", "--to", "preference")
    assert answer.code == 1
    assert "one answer, and a preference needs two" in answer.err


def test_chats_are_no_csv_and_other_endings_are_refused(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", [chat("a", "b")])
    answer = ftops("data", "convert", path, "-o", tmp_path / "b.csv")
    assert answer.code == 1
    assert "--to completion" in answer.err
    assert not (tmp_path / "b.csv").exists()
    assert "Name it .jsonl or .csv" in ftops("data", "convert", path, "-o", tmp_path / "b.xls").err
    assert (
        "unknown row format"
        in ftops("data", "convert", path, "-o", tmp_path / "b.jsonl", "--to", "chats").err
    )
    assert "never changed" in ftops("data", "convert", path, "-o", path, "--force").err


def test_bad_rows_stop_it_and_standard_input_is_taken(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    answer = ftops("data", "convert", "-", "-o", out, stdin="prompt,completion\na,\n")
    assert answer.code == 1
    assert "standard input:2: completion is empty" in answer.err
    assert not out.exists()
    good = ftops("data", "convert", "-", "-o", out, "--json", stdin="prompt,completion\na,b\n")
    assert good.document["rows"] == 1
    assert read(out) == [pair("a", "b")]


def test_a_key_or_a_column_that_is_named_is_left_out(tmp_path: Path) -> None:
    table, out = tmp_path / "a.csv", tmp_path / "b.jsonl"
    table.write_text("prompt,completion,weight,id\na,b,0.5,1\n", encoding="utf-8")
    assert "the column weight would be lost" in ftops("data", "convert", table, "-o", out).err
    assert not out.exists()
    assert ftops("data", "convert", table, "-o", out, "--drop", "weight").code == 0
    rows = write_rows(tmp_path / "c.jsonl", [pair("a", "b") | {"weight": 2, "mood": "wary"}])
    answer = ftops("data", "convert", rows, "-o", out, "--force", "--drop", "weight,mood")
    assert answer.code == 0, answer.err
    assert read(out) == [pair("a", "b")]
    refused = ftops("data", "convert", rows, "-o", out, "--force", "--drop", "prompt")
    assert "--drop prompt: rows require this key" in refused.err
