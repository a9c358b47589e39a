"""Prompts that are lists of fields, and validation data that is unlike the training data."""

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
def test_names_with_short_values_are_a_list_of_fields(text: str) -> None:
    assert is_field_list(text)


@pytest.mark.parametrize("text", SENTENCES)
def test_sentences_are_none(text: str) -> None:
    assert not is_field_list(text)


def test_lists_of_fields_are_warned_about_with_the_advice_to_write_sentences(
    tmp_path: Path,
) -> None:
    def codes(prompts: Sequence[str]) -> dict[str, Finding]:
        rows = [pair(f"{prompts[n % len(prompts)]}{n} ->", f" a {n}") for n in range(60)]
        source = open_source(write_rows(tmp_path / "rows.jsonl", rows))
        return {one.code: one for one in run_checks(source).get_result(DataTarget()).findings}

    found = codes([*LISTS, SENTENCES[0]])["field-list-prompts"]
    assert found.message == "80% of the first prompts are lists of fields"
    assert "sentences" in found.advice
    assert "field-list-prompts" not in codes(SENTENCES[:3])


def test_words_of_any_script_are_counted() -> None:
    assert list_words("Größe 42, don't!") == ["größe", "don", "t"]
    assert list_words("日本 und 한국") == ["日", "本", "und", "한", "국"]


def look(path: Path, texts: Sequence[str], processes: int = 1) -> CheckSet:
    rows = [pair(text, f" answer {number}") for number, text in enumerate(texts)]
    source = open_source(write_rows(path, rows))
    return run_checks(source, asked=["validation"], processes=processes, environ=dict(os.environ))


def vary(text: str, count: int, start: int = 0) -> list[str]:
    words = text.split()
    return [
        f"{' '.join(words[number % 5 :])} {' '.join(words[: number % 7])} {number}"
        for number in range(start, start + count)
    ]


def drift(folder: Path, training: Sequence[str], held: Sequence[str]) -> dict[str, Finding]:
    known, other = look(folder / "train.jsonl", training), look(folder / "held.jsonl", held)
    return {one.code: one for one in check_drift(known, other)}


def test_validation_data_of_the_same_kind_has_not_drifted(tmp_path: Path) -> None:
    assert drift(tmp_path, vary(ENGLISH, 300), vary(ENGLISH, 60, 300)) == {}


def test_other_words_and_other_lengths_are_told_apart(tmp_path: Path) -> None:
    assert set(drift(tmp_path, vary(ENGLISH, 300), vary(GERMAN, 60))) == {"vocabulary-drift"}
    longer = [f"{text} {text} {text}" for text in vary(ENGLISH, 60, 300)]
    found = drift(tmp_path, vary(ENGLISH, 300), longer)
    assert set(found) == {"length-drift"}
    assert found["length-drift"].message.startswith("prompts have ")


def test_a_few_rows_are_not_judged(tmp_path: Path) -> None:
    assert drift(tmp_path, vary(ENGLISH, 300), vary(GERMAN, 40)) == {}


def test_the_sample_is_the_same_however_the_file_is_read(tmp_path: Path) -> None:
    texts = vary(ENGLISH, 9000)
    held = look(tmp_path / "held.jsonl", vary(GERMAN, 3000))
    found = []
    for processes in (1, 2, 3):
        known = look(tmp_path / "train.jsonl", texts, processes)
        found.append(list(check_drift(known, held)))
    assert found[0]
    assert found[0] == found[1] == found[2]
