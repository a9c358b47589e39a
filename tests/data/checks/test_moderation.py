"""Rows that a judge takes for harmful: which are told, and how."""

from collections.abc import Sequence
from pathlib import Path

from ftops.data.checks.moderation import check_moderation
from ftops.data.findings import Finding, Severity
from ftops.data.reading.source import open_source
from ftops.data.screening.moderation import ModerationCache, Moderator
from tests.data.data_files import chat, pair, preference, write_rows


def judge(tmp_path: Path, rows: Sequence[object]) -> list[Finding]:
    def say(texts: Sequence[str]) -> list[tuple[str, ...]]:
        return [tuple(word for word in ("hate", "violence") if word in text) for text in texts]

    court = Moderator(say, ModerationCache(tmp_path / "home", "me"), lambda _: None)
    return list(
        check_moderation(open_source(write_rows(tmp_path / "rows.jsonl", rows)), court.judge)
    )


def test_a_harmless_file_has_no_finding(tmp_path: Path) -> None:
    assert judge(tmp_path, [pair("a", "b"), pair("a", "c")]) == []


def test_rows_are_counted_once_with_their_categories_and_lines_and_without_their_texts(
    tmp_path: Path,
) -> None:
    rows = [
        pair("ok", "ok"), pair("much violence", "violence"), "no JSON", pair("hate", "violence"),
        *[pair(f"{number} violence", "x") for number in range(3)],
    ]  # fmt: skip
    (found,) = judge(tmp_path, rows)
    assert (found.code, found.severity) == ("flagged-content", Severity.WARNING)
    assert (found.count, found.places) == (5, (2, 4, 5, 6, 7))
    assert found.message == "5 rows: violence 5 (lines 2, 4, 5, …), hate 1 (line 4)"
    assert "much" not in found.message + found.advice


def test_every_message_of_a_chat_is_judged(tmp_path: Path) -> None:
    rows = [chat("a", "b"), chat("hate", "b", "c", "d"), chat("a", "b", "c", "violence")]
    (found,) = judge(tmp_path, rows)
    assert found.places == (2, 3)


def test_both_answers_of_a_preference_are_judged(tmp_path: Path) -> None:
    rows = [preference("a", "b"), preference("hate", "b"), preference("a", "violence")]
    (found,) = judge(tmp_path, rows)
    assert found.places == (2, 3)
