"""Rows that are too long, too short, or teach nothing."""

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
    """Counts words, exactly."""

    vocabulary, method, error = "words", "counted in words", 0.0

    def count(self, texts: Iterable[str]) -> list[int]:
        return [len(text.split()) for text in texts]


class WordLengths(Lengths):
    """The check with an exact counter at hand."""

    @staticmethod
    def open_counter(token_limit: TokenLimit) -> VocabularyCounter:
        return WordCounter()


def find(
    folder: Path, rows: Sequence[object], token_limit: TokenLimit | None = None, separator: str = ""
) -> dict[str, Finding]:
    """The findings about lengths; tokens are words."""
    profile = DatasetProfile(separator=separator, token_limit=token_limit or TokenLimit())
    check = WordLengths(profile)
    parser = BatchParser()
    for batch in open_source(write_rows(folder / "rows.jsonl", rows)).batches():
        check.add(parser.parse(batch))
    context = CheckContext(profile, DataTarget(), len(rows), "generation")
    return {found.code: found for found in check.findings(context)}


def test_rows_over_the_limit_are_counted_with_the_vocabulary(tmp_path: Path) -> None:
    rows = [pair("one two three", " four"), pair("one two", " three four five"), pair("a b", " c")]
    found = find(tmp_path, rows, TokenLimit(limit=4))["over-limit"]
    assert found.places == (2,)
    assert found.message == "1 row is longer than 4 tokens (counted in words)"
    assert "over-limit" not in find(tmp_path, rows, TokenLimit(limit=5))
    assert "over-limit" not in find(tmp_path, rows)


def test_a_prompt_that_leaves_no_room_for_its_answer_is_told(tmp_path: Path) -> None:
    found = find(tmp_path, [pair("one two three four", " five")] * 2, TokenLimit(limit=4))
    assert found["over-limit"].message.endswith("; the prompt alone fills that in 2")


def test_what_a_message_costs_beside_its_text_counts(tmp_path: Path) -> None:
    row = chat("what is it", "a thing")
    assert "over-limit" not in find(tmp_path, [row], TokenLimit(limit=14))
    assert find(tmp_path, [row], TokenLimit(limit=13))["over-limit"].count == 1


@pytest.mark.parametrize(("letters", "long"), [(7_000, False), (20_000, True)])
def test_by_estimate_only_what_is_clearly_over_is_named(
    tmp_path: Path, letters: int, long: bool
) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [pair("word " * (letters // 5), " so")])
    source = open_source(path)
    verdict = run_checks(source, token_limit=TokenLimit(limit=2_048)).get_result(DataTarget())
    found = [one for one in verdict.findings if one.code == "over-limit"]
    assert bool(found) is long
    assert not found or "estimated from the letters, within 50%" in found[0].message


def test_long_rows_in_other_scripts_are_found_by_their_bytes(tmp_path: Path) -> None:
    token_limit = TokenLimit(limit=1_000, vocabulary="r50k_base")
    path = write_rows(tmp_path / "rows.jsonl", [pair("世" * 1_100, "界")])
    findings = (
        run_checks(open_source(path), token_limit=token_limit).get_result(DataTarget()).findings
    )
    assert "over-limit" in {one.code for one in findings}


def test_rows_with_hardly_any_text_are_named_without_their_separator(tmp_path: Path) -> None:
    rows = [pair("a ->", "b"), pair("2 + 2 is ->", " 4")]
    found = find(tmp_path, rows, separator=" ->")
    assert found["very-short"].places == (1,)
    assert "very-short" not in find(tmp_path, rows[1:], separator=" ->")


def test_prompts_that_say_nothing_are_named_where_others_do(tmp_path: Path) -> None:
    rows = [pair("what is it? ->", " this"), pair(" ->", " that"), pair("", " those")]
    assert find(tmp_path, rows, separator=" ->")["empty-prompts"].places == (2, 3)
    assert "empty-prompts" not in find(tmp_path, rows[1:], separator=" ->")
    assert "empty-prompts" not in find(tmp_path, rows[:1], separator=" ->")


def test_a_chat_in_which_nothing_counts_is_named(tmp_path: Path) -> None:
    idle, half = chat("a question", "answer"), chat("a question", "answer", "more", "answer")
    idle["messages"][-1]["weight"] = 0  # type: ignore[index]
    half["messages"][-1]["weight"] = 0  # type: ignore[index]
    half["messages"][1]["role"] = "assistant"  # type: ignore[index]
    found = find(tmp_path, [chat("a question", "answer"), idle, half])
    assert found["no-trained-message"].places == (2,)


def test_prompts_that_dwarf_their_completions_are_told(tmp_path: Path) -> None:
    assert "few-trained-characters" in find(tmp_path, [pair("x" * 999, "y"), pair("x" * 400, "y")])
    assert "few-trained-characters" not in find(tmp_path, [pair("x" * 90, "y")])


def test_what_auto_becomes_is_known_from_the_number_of_rows(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [pair(f"question {n}", "a") for n in range(1000)])
    target = DataTarget(
        auto_epochs=EpochRule(target=3, least_seen=100, most_seen=25_000, most=25),
        auto_batch=BatchRule(share=0.002, most=256),
    )
    verdict = run_checks(open_source(path)).get_result(target)
    assert (verdict.auto_epochs, verdict.auto_batch) == (3, 2)
    rule = BatchRule(share=0.002, most=256)
    assert [rule.estimate(rows) for rows in (1, 11_200, 10_000_000)] == [1, 22, 256]
