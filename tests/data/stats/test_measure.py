"""All figures of a source, from one pass."""

from pathlib import Path

from ftops.data.reading.source import open_source
from ftops.data.stats.measure import measure_source
from ftops.data.tokens.estimate import Estimator
from tests.data.data_files import chat, pair, write_rows


def test_figures_are_those_of_the_good_rows(tmp_path: Path) -> None:
    rows = [pair("where is the key ->", " on the hook"), pair("a", ""), "nonsense"] * 2
    source = open_source(write_rows(tmp_path / "rows.jsonl", rows))
    figures = measure_source(source, [Estimator("o200k_base"), Estimator("r50k_base")])
    tally = figures.tally
    assert (figures.verdict.rows, tally.bad_rows) == (2, 4)
    assert list(tally.prompts) == [19, 19]
    assert list(tally.completions) == [12, 12]
    assert list(tally.tokens) == ["o200k_base", "r50k_base"]
    assert list(tally.tokens["o200k_base"].lengths) == [8, 8]
    assert list(tally.tokens["o200k_base"].answers) == [3, 3]
    assert (tally.words.total, tally.words.counts["the"]) == (14, 4)
    assert dict(tally.tongues.languages) == {"English": 2}


def test_of_chats_all_that_the_assistant_says_is_learned(tmp_path: Path) -> None:
    source = open_source(write_rows(tmp_path / "c.jsonl", [chat("a" * 42, "b" * 42)] * 3))
    tokens = measure_source(source, [Estimator("o200k_base")]).tally.tokens["o200k_base"]
    assert list(tokens.lengths) == [29] * 3
    assert list(tokens.answers) == [10] * 3


def test_a_source_without_rows_has_figures_too(tmp_path: Path) -> None:
    source = open_source(write_rows(tmp_path / "empty.jsonl", []))
    figures = measure_source(source, [Estimator("")])
    assert (figures.verdict.rows, figures.tally.tokens) == (0, {})
