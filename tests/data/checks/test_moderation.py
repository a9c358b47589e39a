"""Rows that a moderation endpoint flags, or that have words of a list."""

import os
from collections.abc import Sequence
from pathlib import Path

from ftops.data.check_runner import run_checks
from ftops.data.checks.check import DataTarget
from ftops.data.checks.moderation import check_moderation
from ftops.data.findings import Finding, Severity
from ftops.data.reading.source import open_source
from ftops.data.screening.moderation import ModerationCache, Moderator
from ftops.data.screening.word_list import WordList
from tests.data.data_files import chat, pair, preference, write_rows

WORDS = WordList((("en", "damn"), ("de", "mist"), ("zh", "傻瓜")))


def check_rows(tmp_path: Path, rows: Sequence[object]) -> list[Finding]:
    def moderate(texts: Sequence[str]) -> list[tuple[str, ...]]:
        return [tuple(word for word in ("hate", "violence") if word in text) for text in texts]

    moderator = Moderator(moderate, ModerationCache(tmp_path / "home", "me"), lambda _: None)
    return list(
        check_moderation(open_source(write_rows(tmp_path / "rows.jsonl", rows)), moderator.judge)
    )


def test_a_file_without_flagged_rows_has_no_finding(tmp_path: Path) -> None:
    assert check_rows(tmp_path, [pair("a", "b"), pair("a", "c")]) == []


def test_flagged_rows_are_counted_once_and_listed_without_their_texts(
    tmp_path: Path,
) -> None:
    rows = [
        pair("ok", "ok"), pair("much violence", "violence"), "no JSON", pair("hate", "violence"),
        *[pair(f"{number} violence", "x") for number in range(3)],
    ]  # fmt: skip
    (finding,) = check_rows(tmp_path, rows)
    assert (finding.code, finding.severity) == ("flagged-content", Severity.WARNING)
    assert (finding.count, finding.places) == (5, (2, 4, 5, 6, 7))
    assert finding.message == "5 rows: violence 5 (lines 2, 4, 5, …), hate 1 (line 4)"
    assert "much" not in finding.message + finding.advice


def test_every_message_of_a_chat_is_moderated(tmp_path: Path) -> None:
    rows = [chat("a", "b"), chat("hate", "b", "c", "d"), chat("a", "b", "c", "violence")]
    (finding,) = check_rows(tmp_path, rows)
    assert finding.places == (2, 3)


def test_both_answers_of_a_preference_are_moderated(tmp_path: Path) -> None:
    rows = [preference("a", "b"), preference("hate", "b"), preference("a", "violence")]
    (finding,) = check_rows(tmp_path, rows)
    assert finding.places == (2, 3)


def list_word_findings(path: Path, processes: int = 1) -> list[Finding]:
    check_set = run_checks(
        open_source(path),
        asked=["word-list"],
        processes=processes,
        environ=dict(os.environ),
        words=WORDS,
    )
    result = check_set.get_result(DataTarget(min_rows=1))
    return [finding for finding in result.findings if finding.code == "listed-words"]


def test_a_file_without_listed_words_has_no_finding(tmp_path: Path) -> None:
    assert (
        list_word_findings(write_rows(tmp_path / "rows.jsonl", [pair("the optimist", "b")])) == []
    )


def test_rows_with_listed_words_are_counted_by_language_line_and_word(tmp_path: Path) -> None:
    rows = [
        pair("Damn it, damn", "DAMN"), pair("é\x1e so ein", " Mist"), pair("ok", "fine"),
        "no JSON", pair("这个傻瓜吗", "damn"),
    ]  # fmt: skip
    (finding,) = list_word_findings(write_rows(tmp_path / "rows.jsonl", rows))
    assert (finding.severity, finding.count, finding.places) == (Severity.WARNING, 3, (1, 2, 5))
    assert finding.message == (
        "3 rows: en 2 (lines 1, 5), de 1 (line 2), zh 1 (line 5); 'damn' 2, 'mist' 1, '傻瓜' 1"
    )


def test_messages_of_chats_and_both_answers_of_preferences_are_searched(tmp_path: Path) -> None:
    rows = [chat("a", "b"), chat("damn", "b"), chat("a", "b", "c", "Mist!")]
    (finding,) = list_word_findings(write_rows(tmp_path / "chats.jsonl", rows))
    assert finding.places == (2, 3)
    (finding,) = list_word_findings(
        write_rows(tmp_path / "pairs.jsonl", [preference(other="Damn.")])
    )
    assert finding.places == (1,)


def test_several_processes_find_the_same(tmp_path: Path) -> None:
    rows = [pair(f"row {n}", "damn" if n % 7 == 3 else f"{n}") for n in range(400)]
    path = write_rows(tmp_path / "rows.jsonl", [*rows, pair("mist")])
    (single,), (parallel,) = list_word_findings(path, 1), list_word_findings(path, 2)
    assert single == parallel
    assert single.count == 58


def test_words_are_searched_only_on_request(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [pair("damn")])
    codes = {
        finding.code for finding in run_checks(open_source(path)).get_result(DataTarget()).findings
    }
    assert "listed-words" not in codes
