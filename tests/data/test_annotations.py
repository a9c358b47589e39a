"""Annotations of rows, and their effect when data is prepared."""

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
from tests.data.fixes.preparation import prepare_rows, run_steps

DROP, FIX, KEEP = (
    Annotation(AnnotationLabel.DROP),
    Annotation(AnnotationLabel.FIX),
    Annotation(AnnotationLabel.KEEP),
)
SEPARATOR = "\n\n###\n\n"


def list_ids(path: Path) -> list[str]:
    return [row_id(row) for row in read_rows(path)]


def test_annotations_list_dropped_rows_rows_to_fix_and_absent_rows(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [pair(f"{n}") for n in range(9)])
    names = list_ids(path)
    annotations = {names[1]: DROP, names[2]: KEEP, "0" * 16: DROP}
    annotations |= {names[n]: FIX for n in (3, 4, 5, 6, 7, 8)}
    annotated = match_annotations(open_source(path), annotations, "marks")
    assert set(annotated.dropped) == {names[1], "0" * 16}
    assert annotated.absent == 1
    assert (
        format_rows_to_fix(annotated, "line") == "6 rows are annotated fix: lines 4, 5, 6, 7, 8, …"
    )


def test_a_changed_row_has_no_annotation(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [pair("a"), pair("b")])
    annotations = {list_ids(path)[0]: FIX}
    assert format_rows_to_fix(match_annotations(open_source(path), annotations, "m"), "line") == (
        "1 row is annotated fix: line 1"
    )
    write_rows(path, [pair("a, mended"), pair("b")])
    annotated = match_annotations(open_source(path), annotations, "m")
    assert (format_rows_to_fix(annotated, "line"), annotated.absent) == ("", 1)


def test_more_annotations_than_a_plan_can_have_are_refused(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [pair()])
    annotations = {f"{n:016x}": DROP for n in range(10_001)}
    with pytest.raises(
        DatasetError, match=r"10,001 rows are annotated drop, and a plan holds 10,000"
    ):
        match_annotations(open_source(path), annotations, "m")


def test_annotated_rows_are_dropped_before_any_other_fix(tmp_path: Path) -> None:
    rows = [pair(f"{n}, is it?{SEPARATOR}", (" yes", " no")[n % 2]) for n in range(400)]
    odd = pair("odd" + SEPARATOR, " an odd label of its own")
    path = write_rows(tmp_path / "rows.jsonl", [odd, *rows])
    annotated = match_annotations(open_source(path), {list_ids(path)[0]: DROP}, "marks")
    preparation = prepare_rows(tmp_path, [odd, *rows], marked=annotated)
    assert preparation.codes == ["drop-annotated"]  # and no label map, which the odd row would need
    assert preparation.rows == rows
    (step,) = preparation.draft.plan.steps[:1]
    assert run_steps(tmp_path, [*rows[:3], odd, rows[5]], step) == [*rows[:3], rows[5]]


def test_annotated_chats_are_dropped(tmp_path: Path) -> None:
    chats = [chat("a", "b"), chat("c", "d")]
    path = write_rows(tmp_path / "rows.jsonl", chats)
    step = PlanStep("drop-annotated", {"rows": [*list_ids(path)[:1]]})
    assert run_steps(tmp_path, chats, step) == chats[1:]


def test_annotations_can_be_skipped(tmp_path: Path) -> None:
    rows = [pair(f"{n}{SEPARATOR}", f" {n}\n") for n in range(20)]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    annotated = match_annotations(open_source(path), {list_ids(path)[0]: DROP}, "marks")
    assert len(prepare_rows(tmp_path, rows, marked=annotated, skip=["drop-annotated"]).rows) == 20
    assert len(prepare_rows(tmp_path, rows, marked=annotated).rows) == 19
