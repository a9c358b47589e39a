"""Evaluation rows that are training rows are detected and reported."""

import json
from pathlib import Path

from ftops.data.leakage import LeakedRows, LeakIndex, detect_leaked_rows

LONG = "The committee voted on the new budget for schools and hospitals late on {} evening"
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")


def write(path: Path, rows: list[tuple[str, str]]) -> Path:
    lines = [json.dumps({"prompt": prompt, "completion": answer}) for prompt, answer in rows]
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def find_leak(training: Path, held_out: Path) -> LeakedRows:
    return detect_leaked_rows(LeakIndex.read(training), held_out)


def test_the_same_rows_are_found_with_their_lines(tmp_path: Path) -> None:
    training = write(tmp_path / "train.jsonl", [(f"row {n}", "1") for n in range(20)])
    held_out = write(tmp_path / "test.jsonl", [("new", "1"), ("row 7", "1"), ("row 8", "2")])
    leak = find_leak(training, held_out)
    assert leak.lines == {2, 3}
    text = leak.say("test.jsonl")
    assert text.startswith("leak: 2 rows of test.jsonl are training rows: lines 2, 3 (")
    assert "the same as one of the training rows" in text
    assert "asked as in one of the training rows" in text


def test_all_lines_are_listed_and_only_the_first_are_shown(tmp_path: Path) -> None:
    rows = [(f"row {n}", "1") for n in range(50)]
    leak = find_leak(write(tmp_path / "a.jsonl", rows), write(tmp_path / "b.jsonl", rows))
    assert leak.lines == set(range(1, 51))
    assert "lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, … (" in leak.say("b.jsonl")


def test_near_duplicates_are_found(tmp_path: Path) -> None:
    others = [(f"An entirely different sentence about {n} boats at sea", "1") for n in range(40)]
    training = write(tmp_path / "a.jsonl", [(LONG.format("Monday"), "1"), *others])
    held_out = write(tmp_path / "b.jsonl", [(LONG.format("Sunday"), "1"), ("Nothing like it", "1")])
    leak = find_leak(training, held_out)
    assert leak.lines == {1}
    assert "nearly like" in leak.sentences[0]


def test_different_rows_do_not_leak(tmp_path: Path) -> None:
    training = write(tmp_path / "a.jsonl", [("one", "1"), ("two", "2")])
    leak = find_leak(training, write(tmp_path / "b.jsonl", [("three", "1")]))
    assert (leak.lines, leak.sentences) == (frozenset(), ())
