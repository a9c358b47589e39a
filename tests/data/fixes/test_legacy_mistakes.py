"""Cases that the legacy tool gets wrong, found by running it."""

from pathlib import Path

import pytest

from ftops.data.checks.check import CLASSIFICATION, GENERATION
from tests.data.data_files import pair, write_rows
from tests.data.fixes.preparation import prepare_path, prepare_rows

SEPARATOR = "\n\n###\n\n"


def make_rows(count: int = 40) -> list[object]:
    return [pair(f"{n}?{SEPARATOR}", f" {chr(97 + n % 26)} is {n} END") for n in range(count)]


@pytest.mark.parametrize("before", [pair(f"0?{SEPARATOR}", " a is 0 END"), pair("empty", "")])
@pytest.mark.parametrize("position", [10, 40])
def test_only_the_long_row_is_dropped_after_a_duplicate_or_an_empty_row(
    tmp_path: Path, before: object, position: int
) -> None:
    """Also near the end, where the legacy tool raises a KeyError."""
    good_rows = make_rows()
    long_row = pair("x" * 11_000 + SEPARATOR, " y END")
    rows = [good_rows[0], before, *good_rows[1:position], long_row, *good_rows[position:]]
    preparation = prepare_rows(tmp_path, rows, most_characters=10_000)
    assert preparation.rows == good_rows
    assert preparation.count("drop-long-rows") == 1


def test_a_class_that_is_a_prefix_of_another_keeps_its_name(tmp_path: Path) -> None:
    rows = [pair(f"{n}?{SEPARATOR}", ("positive", "positive_strong")[n % 2]) for n in range(400)]
    preparation = prepare_rows(tmp_path, rows, skip=["encode-labels", "add-leading-space"])
    assert {completion for _, completion in preparation.pairs} == {"positive", "positive_strong"}
    encoded = prepare_rows(tmp_path, rows)
    assert {completion for _, completion in encoded.pairs} == {" 1", " 2"}


def test_a_completion_that_is_the_common_prefix_is_not_emptied(tmp_path: Path) -> None:
    rows = [
        pair(f"{n}?{SEPARATOR}", "It is so" if n == 7 else f"It is so, {chr(97 + n % 26)} {n}")
        for n in range(60)
    ]
    preparation = prepare_rows(tmp_path, rows)
    assert "remove-completion-prefix" not in preparation.codes
    assert preparation.pairs[7][1] == " It is so\n"


def test_numbered_classes_keep_their_names(tmp_path: Path) -> None:
    rows = [pair(f"{n}?{SEPARATOR}", f" class_{n % 3 + 1}") for n in range(400)]
    assert prepare_rows(tmp_path, rows, skip=["encode-labels"]).rows == rows
    steps = prepare_rows(tmp_path, rows).draft.plan.steps
    (step,) = [item for item in steps if item.code == "encode-labels"]
    assert step.values == {"labels": {" class_1": " 1", " class_2": " 2", " class_3": " 3"}}


def test_repeated_long_answers_are_not_classes_unless_the_user_sets_the_task(
    tmp_path: Path,
) -> None:
    prefix = "You find it in the settings, below the second heading, where it says advanced: "
    rows = [pair(f"How do I do {n}?", f"{prefix}{chr(97 + n % 15)}") for n in range(60)]
    path = write_rows(tmp_path / "faq.jsonl", rows)
    assert prepare_path(path).draft.verdict.task == GENERATION
    assert prepare_path(path, task=CLASSIFICATION).draft.verdict.task == CLASSIFICATION
    short = [pair(f"How do I do {n}?", f"answer {chr(97 + n % 15)}") for n in range(60)]
    assert prepare_rows(tmp_path, short).draft.verdict.task == CLASSIFICATION
    assert prepare_rows(tmp_path, short, task=GENERATION).draft.verdict.task == GENERATION


def test_null_and_missing_keys_never_become_training_text(tmp_path: Path) -> None:
    rows = [*make_rows(), pair("a", None), pair(None, "b"), {"prompt": "c"}, {"completion": "d"}]
    preparation = prepare_rows(tmp_path, rows)
    assert preparation.rows == make_rows()
    text = (tmp_path / "out.jsonl").read_text()
    assert not any(word in text for word in ("None", "nan", "null"))


def test_cells_such_as_none_or_na_stay_text(tmp_path: Path) -> None:
    table = tmp_path / "cells.csv"
    words = ("NA", "None", "null", "nan", "1.50", "true")
    lines = [f"{n} is what,{words[n % 6]} {n}" for n in range(60)]
    table.write_text("\n".join(["prompt,completion", *lines, "last,NA"]) + "\n")
    skipped = ["add-separator", "add-stop", "add-leading-space"]
    preparation = prepare_path(table, skip=skipped)
    assert [completion for _, completion in preparation.pairs] == [
        *(f"{words[n % 6]} {n}" for n in range(60)), "NA",
    ]  # fmt: skip


def test_one_row_after_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"prompt": "a", "completion": "b"}\n')
    assert len(prepare_path(path).rows) == 1


def test_extra_keys_are_dropped_without_output_on_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        pair(f"{n}?{SEPARATOR}", f" {chr(97 + n % 26)} is {n} END") | {"id": n} for n in range(40)
    ]
    preparation = prepare_rows(tmp_path, rows)
    assert preparation.rows == make_rows()
    assert preparation.count("drop-extra-keys") == 40
    assert capsys.readouterr().err == ""
