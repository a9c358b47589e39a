"""What the legacy tool got wrong, found by running it, and what is right."""

from pathlib import Path

import pytest

from ftops.data.checks.check import CLASSIFICATION, GENERATION
from tests.data.data_files import pair, write_rows
from tests.data.fixes.trials import try_all, try_file

MARK = "\n\n###\n\n"


def answers(count: int = 40) -> list[object]:
    return [pair(f"{n}?{MARK}", f" {chr(97 + n % 26)} is {n} END") for n in range(count)]


@pytest.mark.parametrize("before", [pair(f"0?{MARK}", " a is 0 END"), pair("empty", "")])
@pytest.mark.parametrize("at", [10, 40])
def test_a_duplicate_or_empty_row_before_a_long_row_does_not_save_it_and_costs_no_other(
    tmp_path: Path, before: object, at: int
) -> None:
    """Also near the end, where the legacy tool fell with a KeyError."""
    good = answers()
    long = pair("x" * 11_000 + MARK, " y END")
    rows = [good[0], before, *good[1:at], long, *good[at:]]
    trial = try_all(tmp_path, rows, most_characters=10_000)
    assert trial.rows == good
    assert trial.count("drop-long-rows") == 1


def test_classes_of_which_one_begins_the_other_keep_their_names(tmp_path: Path) -> None:
    rows = [pair(f"{n}?{MARK}", ("positive", "positive_strong")[n % 2]) for n in range(400)]
    trial = try_all(tmp_path, rows, skip=["encode-labels", "add-leading-space"])
    assert {completion for _, completion in trial.pairs} == {"positive", "positive_strong"}
    mapped = try_all(tmp_path, rows)
    assert {completion for _, completion in mapped.pairs} == {" 1", " 2"}


def test_a_completion_that_is_the_common_beginning_of_all_is_not_emptied(tmp_path: Path) -> None:
    rows = [
        pair(f"{n}?{MARK}", "It is so" if n == 7 else f"It is so, {chr(97 + n % 26)} {n}")
        for n in range(60)
    ]
    trial = try_all(tmp_path, rows)
    assert "remove-completion-prefix" not in trial.codes
    assert trial.pairs[7][1] == " It is so\n"


def test_numbered_classes_do_not_lose_their_name_silently(tmp_path: Path) -> None:
    rows = [pair(f"{n}?{MARK}", f" class_{n % 3 + 1}") for n in range(400)]
    assert try_all(tmp_path, rows, skip=["encode-labels"]).rows == rows
    steps = try_all(tmp_path, rows).found.plan.steps
    (step,) = [one for one in steps if one.code == "encode-labels"]
    assert step.values == {"labels": {" class_1": " 1", " class_2": " 2", " class_3": " 3"}}


def test_long_answers_that_repeat_are_no_classes_and_the_user_may_overrule(
    tmp_path: Path,
) -> None:
    long = "You find it in the settings, below the second heading, where it says advanced: "
    rows = [pair(f"How do I do {n}?", f"{long}{chr(97 + n % 15)}") for n in range(60)]
    path = write_rows(tmp_path / "faq.jsonl", rows)
    assert try_file(path).found.verdict.task == GENERATION
    assert try_file(path, task=CLASSIFICATION).found.verdict.task == CLASSIFICATION
    short = [pair(f"How do I do {n}?", f"answer {chr(97 + n % 15)}") for n in range(60)]
    assert try_all(tmp_path, short).found.verdict.task == CLASSIFICATION
    assert try_all(tmp_path, short, task=GENERATION).found.verdict.task == GENERATION


def test_null_and_missing_keys_never_become_training_text(tmp_path: Path) -> None:
    rows = [*answers(), pair("a", None), pair(None, "b"), {"prompt": "c"}, {"completion": "d"}]
    trial = try_all(tmp_path, rows)
    assert trial.rows == answers()
    text = (tmp_path / "out.jsonl").read_text()
    assert not any(word in text for word in ("None", "nan", "null"))


def test_cells_that_say_none_or_na_are_text_and_stay(tmp_path: Path) -> None:
    table = tmp_path / "cells.csv"
    words = ("NA", "None", "null", "nan", "1.50", "true")
    lines = [f"{n} is what,{words[n % 6]} {n}" for n in range(60)]
    table.write_text("\n".join(["prompt,completion", *lines, "last,NA"]) + "\n")
    kept = ["add-separator", "add-stop", "add-leading-space"]
    trial = try_file(table, skip=kept)
    assert [completion for _, completion in trial.pairs] == [
        *(f"{words[n % 6]} {n}" for n in range(60)), "NA",
    ]  # fmt: skip


def test_one_row_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"prompt": "a", "completion": "b"}\n')
    assert len(try_file(path).rows) == 1


def test_extra_columns_are_left_out_without_a_word_on_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [pair(f"{n}?{MARK}", f" {chr(97 + n % 26)} is {n} END") | {"id": n} for n in range(40)]
    trial = try_all(tmp_path, rows)
    assert trial.rows == answers()
    assert trial.count("drop-extra-keys") == 40
    assert capsys.readouterr().err == ""
