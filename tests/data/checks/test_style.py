"""Prompts that are lists of fields, and validation data that differs from the training data."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from ftops.data.check_runner import run_checks
from ftops.data.check_set import CheckSet
from ftops.data.checks.check import DataTarget
from ftops.data.findings import Finding
from ftops.data.leakage import check_drift
from ftops.data.reading.source import open_source
from ftops.data.words import is_field_list, list_words
from tests.data.data_files import pair, write_rows

LISTS = (
    "Product:laptop.Brand:Dell",
    "Product: laptop, Brand: Dell, Price: 900 euros",
    "name : Ada\nborn : 1815\ncity : London",
    "产品:笔记本\n品牌:戴尔",
)
SENTENCES = (
    "A laptop that is made by Dell.",
    "Note: this is a sentence that only begins with a word and a colon.",
    "See https://firma.de/a, and http://firma.de/b for more.",
    "It is 10:30 now, and at 11:45 we go.",
    "Context: the quick brown fox jumps over the lazy dog.\nQuestion: who jumps over whom there?",
    "He said: yes, and she said: no, and then nobody said anything.",
    "",
)
ENGLISH = "the old house by the river was sold again in spring to a young family with two dogs"
GERMAN = "das alte haus am fluss wurde im frühjahr wieder an eine junge familie verkauft mit hund"


@pytest.mark.parametrize("text", LISTS)
def test_names_with_short_values_are_field_lists(text: str) -> None:
    assert is_field_list(text)


@pytest.mark.parametrize("text", SENTENCES)
def test_sentences_are_not_field_lists(text: str) -> None:
    assert not is_field_list(text)


def test_field_lists_get_a_warning_that_recommends_sentences(
    tmp_path: Path,
) -> None:
    def get_findings(prompts: Sequence[str]) -> dict[str, Finding]:
        rows = [pair(f"{prompts[n % len(prompts)]}{n} ->", f" a {n}") for n in range(60)]
        source = open_source(write_rows(tmp_path / "rows.jsonl", rows))
        return {
            finding.code: finding
            for finding in run_checks(source).get_result(DataTarget()).findings
        }

    finding = get_findings([*LISTS, SENTENCES[0]])["field-list-prompts"]
    assert finding.message == "80% of the first prompts are lists of fields"
    assert "sentences" in finding.advice
    assert "field-list-prompts" not in get_findings(SENTENCES[:3])


def test_words_of_any_script_are_counted() -> None:
    assert list_words("Größe 42, don't!") == ["größe", "don", "t"]
    assert list_words("日本 und 한국") == ["日", "本", "und", "한", "국"]


def run_file_checks(path: Path, texts: Sequence[str], processes: int = 1) -> CheckSet:
    rows = [pair(text, f" answer {number}") for number, text in enumerate(texts)]
    source = open_source(write_rows(path, rows))
    return run_checks(source, asked=["validation"], processes=processes, environ=dict(os.environ))


def vary_words(text: str, count: int, start: int = 0) -> list[str]:
    words = text.split()
    return [
        f"{' '.join(words[number % 5 :])} {' '.join(words[: number % 7])} {number}"
        for number in range(start, start + count)
    ]


def get_drift(folder: Path, training: Sequence[str], held_out: Sequence[str]) -> dict[str, Finding]:
    training_checks, held_out_checks = (
        run_file_checks(folder / "train.jsonl", training),
        run_file_checks(folder / "held.jsonl", held_out),
    )
    return {finding.code: finding for finding in check_drift(training_checks, held_out_checks)}


def test_similar_validation_data_has_no_drift(tmp_path: Path) -> None:
    assert get_drift(tmp_path, vary_words(ENGLISH, 300), vary_words(ENGLISH, 60, 300)) == {}


def test_drift_of_vocabulary_and_of_lengths_is_distinguished(tmp_path: Path) -> None:
    assert set(get_drift(tmp_path, vary_words(ENGLISH, 300), vary_words(GERMAN, 60))) == {
        "vocabulary-drift"
    }
    longer = [f"{text} {text} {text}" for text in vary_words(ENGLISH, 60, 300)]
    findings = get_drift(tmp_path, vary_words(ENGLISH, 300), longer)
    assert set(findings) == {"length-drift"}
    assert findings["length-drift"].message.startswith("prompts have ")


def test_few_rows_have_no_drift(tmp_path: Path) -> None:
    assert get_drift(tmp_path, vary_words(ENGLISH, 300), vary_words(GERMAN, 40)) == {}


def test_the_sample_does_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    texts = vary_words(ENGLISH, 9000)
    held_out = run_file_checks(tmp_path / "held.jsonl", vary_words(GERMAN, 3000))
    findings = []
    for processes in (1, 2, 3):
        training = run_file_checks(tmp_path / "train.jsonl", texts, processes)
        findings.append(list(check_drift(training, held_out)))
    assert findings[0]
    assert findings[0] == findings[1] == findings[2]
