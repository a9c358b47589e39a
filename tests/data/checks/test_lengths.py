"""Rows that are too long, too short, or have no trained text."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from ftops.capabilities import BatchRule, EpochRule
from ftops.data.batch_parser import BatchParser
from ftops.data.check_runner import run_checks
from ftops.data.checks.check import CheckContext, DataTarget
from ftops.data.checks.size import Lengths
from ftops.data.findings import Finding
from ftops.data.profile import DatasetProfile, TokenLimit
from ftops.data.reading.source import open_source
from ftops.data.tokens.counter import VocabularyCounter
from tests.data.data_files import chat, pair, write_rows


class WordCounter:
    """Counts words exactly."""

    vocabulary, method, error = "words", "counted in words", 0.0

    def count(self, texts: Iterable[str]) -> list[int]:
        return [len(text.split()) for text in texts]


class WordLengths(Lengths):
    """The check with an exact counter."""

    @staticmethod
    def open_counter(token_limit: TokenLimit) -> VocabularyCounter:
        return WordCounter()


def get_findings(
    folder: Path, rows: Sequence[object], token_limit: TokenLimit | None = None, separator: str = ""
) -> dict[str, Finding]:
    """The findings about lengths, with words as tokens."""
    profile = DatasetProfile(separator=separator, token_limit=token_limit or TokenLimit())
    check = WordLengths(profile)
    parser = BatchParser()
    for batch in open_source(write_rows(folder / "rows.jsonl", rows)).batches():
        check.add(parser.parse(batch))
    context = CheckContext(profile, DataTarget(), len(rows), "generation")
    return {finding.code: finding for finding in check.findings(context)}


def test_rows_over_the_limit_are_counted_with_the_vocabulary(tmp_path: Path) -> None:
    rows = [pair("one two three", " four"), pair("one two", " three four five"), pair("a b", " c")]
    finding = get_findings(tmp_path, rows, TokenLimit(limit=4))["over-limit"]
    assert finding.places == (2,)
    assert finding.message == "1 row is longer than 4 tokens (counted in words)"
    assert "over-limit" not in get_findings(tmp_path, rows, TokenLimit(limit=5))
    assert "over-limit" not in get_findings(tmp_path, rows)


def test_a_prompt_that_fills_the_limit_is_reported(tmp_path: Path) -> None:
    findings = get_findings(
        tmp_path, [pair("one two three four", " five")] * 2, TokenLimit(limit=4)
    )
    assert findings["over-limit"].message.endswith("; the prompt alone fills that in 2")


def test_the_extra_tokens_of_messages_count(tmp_path: Path) -> None:
    row = chat("what is it", "a thing")
    assert "over-limit" not in get_findings(tmp_path, [row], TokenLimit(limit=14))
    assert get_findings(tmp_path, [row], TokenLimit(limit=13))["over-limit"].count == 1


@pytest.mark.parametrize(("letters", "is_over"), [(7_000, False), (20_000, True)])
def test_an_estimate_reports_only_rows_clearly_over_the_limit(
    tmp_path: Path, letters: int, is_over: bool
) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [pair("word " * (letters // 5), " so")])
    source = open_source(path)
    result = run_checks(source, token_limit=TokenLimit(limit=2_048)).get_result(DataTarget())
    findings = [finding for finding in result.findings if finding.code == "over-limit"]
    assert bool(findings) is is_over
    assert not findings or "estimated from the letters, within 50%" in findings[0].message


def test_long_rows_in_other_scripts_are_found_by_their_bytes(tmp_path: Path) -> None:
    token_limit = TokenLimit(limit=1_000, vocabulary="r50k_base")
    path = write_rows(tmp_path / "rows.jsonl", [pair("世" * 1_100, "界")])
    findings = (
        run_checks(open_source(path), token_limit=token_limit).get_result(DataTarget()).findings
    )
    assert "over-limit" in {finding.code for finding in findings}


def test_very_short_rows_are_reported_without_counting_the_separator(tmp_path: Path) -> None:
    rows = [pair("a ->", "b"), pair("2 + 2 is ->", " 4")]
    findings = get_findings(tmp_path, rows, separator=" ->")
    assert findings["very-short"].places == (1,)
    assert "very-short" not in get_findings(tmp_path, rows[1:], separator=" ->")


def test_empty_prompts_are_reported_if_others_have_text(tmp_path: Path) -> None:
    rows = [pair("what is it? ->", " this"), pair(" ->", " that"), pair("", " those")]
    assert get_findings(tmp_path, rows, separator=" ->")["empty-prompts"].places == (2, 3)
    assert "empty-prompts" not in get_findings(tmp_path, rows[1:], separator=" ->")
    assert "empty-prompts" not in get_findings(tmp_path, rows[:1], separator=" ->")


def test_a_chat_without_trained_messages_is_reported(tmp_path: Path) -> None:
    untrained, partly_trained = (
        chat("a question", "answer"),
        chat("a question", "answer", "more", "answer"),
    )
    untrained["messages"][-1]["weight"] = 0  # type: ignore[index]
    partly_trained["messages"][-1]["weight"] = 0  # type: ignore[index]
    partly_trained["messages"][1]["role"] = "assistant"  # type: ignore[index]
    findings = get_findings(tmp_path, [chat("a question", "answer"), untrained, partly_trained])
    assert findings["no-trained-message"].places == (2,)


def test_prompts_much_longer_than_their_completions_are_reported(tmp_path: Path) -> None:
    assert "few-trained-characters" in get_findings(
        tmp_path, [pair("x" * 999, "y"), pair("x" * 400, "y")]
    )
    assert "few-trained-characters" not in get_findings(tmp_path, [pair("x" * 90, "y")])


def test_auto_values_are_estimated_from_the_number_of_rows(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [pair(f"question {n}", "a") for n in range(1000)])
    target = DataTarget(
        auto_epochs=EpochRule(target=3, least_seen=100, most_seen=25_000, most=25),
        auto_batch=BatchRule(share=0.002, most=256),
    )
    result = run_checks(open_source(path)).get_result(target)
    assert (result.auto_epochs, result.auto_batch) == (3, 2)
    rule = BatchRule(share=0.002, most=256)
    assert [rule.estimate(rows) for rows in (1, 11_200, 10_000_000)] == [1, 22, 256]
