"""Marks of rows, honoured when data is prepared."""

from pathlib import Path

import pytest

from ftops.data.annotations import (
    Annotation,
    AnnotationLabel,
    format_rows_to_fix,
    match_annotations,
)
from ftops.data.reading.source import open_source
from ftops.data.rows import read_rows, row_id
from ftops.errors import DatasetError
from ftops.records import PlanStep
from tests.data.data_files import chat, pair, write_rows
from tests.data.fixes.trials import run_steps, try_all

DROP, FIX, KEEP = (
    Annotation(AnnotationLabel.DROP),
    Annotation(AnnotationLabel.FIX),
    Annotation(AnnotationLabel.KEEP),
)
MARK = "\n\n###\n\n"


def ids(path: Path) -> list[str]:
    return [row_id(row) for row in read_rows(path)]


def test_marks_tell_what_is_dropped_what_waits_and_what_is_gone(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [pair(f"{n}") for n in range(9)])
    names = ids(path)
    marks = {names[1]: DROP, names[2]: KEEP, "0" * 16: DROP}
    marks |= {names[n]: FIX for n in (3, 4, 5, 6, 7, 8)}
    found = match_annotations(open_source(path), marks, "marks")
    assert set(found.dropped) == {names[1], "0" * 16}
    assert found.absent == 1
    assert format_rows_to_fix(found, "line") == "6 rows are annotated fix: lines 4, 5, 6, 7, 8, …"


def test_a_row_that_was_mended_has_no_mark_any_more(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [pair("a"), pair("b")])
    marks = {ids(path)[0]: FIX}
    assert format_rows_to_fix(match_annotations(open_source(path), marks, "m"), "line") == (
        "1 row is annotated fix: line 1"
    )
    write_rows(path, [pair("a, mended"), pair("b")])
    found = match_annotations(open_source(path), marks, "m")
    assert (format_rows_to_fix(found, "line"), found.absent) == ("", 1)


def test_more_marks_than_a_plan_holds_are_refused(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [pair()])
    marks = {f"{n:016x}": DROP for n in range(10_001)}
    with pytest.raises(
        DatasetError, match=r"10,001 rows are annotated drop, and a plan holds 10,000"
    ):
        match_annotations(open_source(path), marks, "m")


def test_marked_rows_go_before_any_other_fix_and_wherever_they_stand(tmp_path: Path) -> None:
    rows = [pair(f"{n}, is it?{MARK}", (" yes", " no")[n % 2]) for n in range(400)]
    odd = pair("odd" + MARK, " an odd label of its own")
    path = write_rows(tmp_path / "rows.jsonl", [odd, *rows])
    marked = match_annotations(open_source(path), {ids(path)[0]: DROP}, "marks")
    trial = try_all(tmp_path, [odd, *rows], marked=marked)
    assert trial.codes == ["drop-annotated"]  # and no map of labels, which the odd one asked for
    assert trial.rows == rows
    (step,) = trial.found.plan.steps[:1]
    assert run_steps(tmp_path, [*rows[:3], odd, rows[5]], step) == [*rows[:3], rows[5]]


def test_marked_chats_go_too(tmp_path: Path) -> None:
    chats = [chat("a", "b"), chat("c", "d")]
    path = write_rows(tmp_path / "rows.jsonl", chats)
    step = PlanStep("drop-annotated", {"rows": [*ids(path)[:1]]})
    assert run_steps(tmp_path, chats, step) == chats[1:]


def test_marks_can_be_skipped(tmp_path: Path) -> None:
    rows = [pair(f"{n}{MARK}", f" {n}\n") for n in range(20)]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    marked = match_annotations(open_source(path), {ids(path)[0]: DROP}, "marks")
    assert len(try_all(tmp_path, rows, marked=marked, skip=["drop-annotated"]).rows) == 20
    assert len(try_all(tmp_path, rows, marked=marked).rows) == 19
