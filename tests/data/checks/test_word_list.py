"""Rows with words of a list: which are told, and how."""

import os
from pathlib import Path

from ftops.data.check_runner import run_checks
from ftops.data.checks.check import DataTarget
from ftops.data.findings import Finding, Severity
from ftops.data.reading.source import open_source
from ftops.data.screening.word_list import WordList
from tests.data.data_files import chat, pair, preference, write_rows

WORDS = WordList((("en", "damn"), ("de", "mist"), ("zh", "傻瓜")))


def judge(path: Path, processes: int = 1) -> list[Finding]:
    examination = run_checks(
        open_source(path),
        asked=["word-list"],
        processes=processes,
        environ=dict(os.environ),
        words=WORDS,
    )
    verdict = examination.get_result(DataTarget(min_rows=1))
    return [one for one in verdict.findings if one.code == "listed-words"]


def test_a_file_without_the_words_has_no_finding(tmp_path: Path) -> None:
    assert judge(write_rows(tmp_path / "rows.jsonl", [pair("the optimist", "b")])) == []


def test_rows_are_counted_once_and_told_by_language_line_and_word(tmp_path: Path) -> None:
    rows = [
        pair("Damn it, damn", "DAMN"), pair("é\x1e so ein", " Mist"), pair("ok", "fine"),
        "no JSON", pair("这个傻瓜吗", "damn"),
    ]  # fmt: skip
    (found,) = judge(write_rows(tmp_path / "rows.jsonl", rows))
    assert (found.severity, found.count, found.places) == (Severity.WARNING, 3, (1, 2, 5))
    assert found.message == (
        "3 rows: en 2 (lines 1, 5), de 1 (line 2), zh 1 (line 5); 'damn' 2, 'mist' 1, '傻瓜' 1"
    )


def test_messages_of_chats_and_both_answers_of_preferences_are_searched(tmp_path: Path) -> None:
    rows = [chat("a", "b"), chat("damn", "b"), chat("a", "b", "c", "Mist!")]
    (found,) = judge(write_rows(tmp_path / "chats.jsonl", rows))
    assert found.places == (2, 3)
    (found,) = judge(write_rows(tmp_path / "pairs.jsonl", [preference(other="Damn.")]))
    assert found.places == (1,)


def test_several_processes_find_the_same(tmp_path: Path) -> None:
    rows = [pair(f"row {n}", "damn" if n % 7 == 3 else f"{n}") for n in range(400)]
    path = write_rows(tmp_path / "rows.jsonl", [*rows, pair("mist")])
    (one,), (two,) = judge(path, 1), judge(path, 2)
    assert one == two
    assert one.count == 58


def test_nobody_looks_for_words_unless_asked(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [pair("damn")])
    codes = {
        found.code for found in run_checks(open_source(path)).get_result(DataTarget()).findings
    }
    assert "listed-words" not in codes
