"""The sample, its page, and the file of marks."""

import json
import re
from pathlib import Path

import pytest

from ftops.data.annotations import Annotation, AnnotationLabel, read_annotations, write_annotations
from ftops.data.reading.options import ReadOptions
from ftops.data.review import draw_sample, render_page
from ftops.data.rows import read_rows, row_id
from ftops.errors import DatasetError
from tests.data.data_files import call, call_row, calling, chat, pair, preference, write_rows

ID = "9f86d081884c7d65"


def ids(path: Path, count: int = 10, seed: int = 1, **more: set[str]) -> list[str]:
    return [row.id for row in draw_sample(path, ReadOptions(), count, seed, **more).rows]


def test_the_sample_depends_on_rows_and_seed_and_not_on_their_order(tmp_path: Path) -> None:
    rows = [pair(f"row {n}") for n in range(200)]
    one = write_rows(tmp_path / "one.jsonl", rows)
    other = write_rows(tmp_path / "other.jsonl", [{**row, "x": 1} and row for row in rows[::-1]])
    assert len(ids(one)) == 10
    assert ids(one) == ids(other)[::-1]
    assert ids(one) != ids(one, seed=2)
    assert set(ids(one)) < set(ids(one, 11))


def test_rows_are_in_the_order_of_the_file_with_their_lines(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [pair(f"row {n}") for n in range(50)])
    drawn = draw_sample(path, ReadOptions(), 5, 1)
    lines = [row.line for row in drawn.rows]
    assert lines == sorted(lines)
    assert all(row.parts[0] == ("prompt", f"row {row.line - 1}") for row in drawn.rows)
    assert drawn.total == 50


def test_a_row_that_stands_there_twice_is_drawn_once(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [pair(f"row {n % 3}") for n in range(30)])
    assert len(ids(path)) == len(set(ids(path))) == 3
    assert len(ids(path, without={ids(path)[0]})) == 2


def test_other_shapes_are_shown_by_who_says_what(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [chat("hi", "there")])
    assert draw_sample(path, ReadOptions(), 1, 1).rows[0].parts == (
        ("user", "hi"), ("assistant", "there")
    )  # fmt: skip
    path = write_rows(tmp_path / "rows.jsonl", [preference()])
    assert [name for name, _ in draw_sample(path, ReadOptions(), 1, 1).rows[0].parts] == [
        "user", "preferred", "not preferred"
    ]  # fmt: skip


def test_calls_of_tools_are_shown_where_they_are_made(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [call_row({"to": "me"}), calling(call({}))])
    drawn = draw_sample(path, ReadOptions(), 2, 1).rows
    assert drawn[0].parts[1] == ("assistant", '[{"name":"send","arguments":{"to":"me"}}]')
    assert drawn[1].parts[-1] == ("assistant", '[{"name":"send","arguments":{}}]')


def test_bad_rows_are_mentioned_and_the_good_ones_drawn(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [pair("a"), "nonsense"])
    drawn = draw_sample(path, ReadOptions(), 5, 1)
    assert len(drawn.rows) == 1
    assert "1 of 2 rows are bad" in drawn.problem
    with pytest.raises(DatasetError):
        draw_sample(write_rows(tmp_path / "rows.jsonl", ["nonsense"]), ReadOptions(), 5, 1)


def test_an_id_is_that_of_the_content_and_stays_the_same_for_ever(tmp_path: Path) -> None:
    path = write_rows(
        tmp_path / "rows.jsonl",
        ['{"prompt": "a", "completion": "b"}', '{"completion":"b","prompt":"a"}'],
    )
    assert {row_id(row) for row in read_rows(path)} == {"1ea9cdbbe8027a63"}


def test_no_text_can_leave_its_place_on_the_page(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script><!-- & @DATA@"
    path = write_rows(tmp_path / "rows.jsonl", [pair(evil)])
    drawn = draw_sample(path, ReadOptions(), 1, 1)
    marks = {drawn.rows[0].id: Annotation(AnnotationLabel.FIX, evil)}
    page = render_page(drawn, marks, name=evil, unit="row", annotations_file=tmp_path / "m.jsonl")
    assert page.count("</script>") == 2
    assert "alert(1)</" not in page
    assert not re.search(r"(?:src|href)\s*=\s*\"http", page)
    found = re.search(r'id="data">(.*?)</script>', page, re.S)
    assert found is not None
    data = json.loads(found.group(1))
    assert data["rows"][0]["parts"][0] == ["prompt", evil]
    assert data["annotations"][drawn.rows[0].id] == {"label": "fix", "note": evil}


def test_hidden_characters_are_shown_on_the_page_and_notes_are_kept(tmp_path: Path) -> None:
    evil = "pay \u202e100\u2066 \x9b31m \u200f\u061c\u2028 \x07 end"
    shown = r"pay \u202e100\u2066 \u009b31m \u200f\u061c\u2028 \u0007 end"
    path = write_rows(tmp_path / "rows.jsonl", [pair(evil, "a\tb\nc")])
    drawn = draw_sample(path, ReadOptions(), 1, 1)
    marks = {drawn.rows[0].id: Annotation(AnnotationLabel.FIX, evil)}
    page = render_page(
        drawn, marks, name=evil, unit="row", annotations_file=tmp_path / f"{evil}.jsonl"
    )
    assert not re.search(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]", page
    )
    found = re.search(r'id="data">(.*?)</script>', page, re.S)
    assert found is not None
    data = json.loads(found.group(1))
    assert data["rows"][0]["parts"] == [["prompt", shown], ["completion", "a\tb\nc"]]
    assert data["rows"][0]["note"] == data["name"] == shown
    assert data["annotations"][drawn.rows[0].id]["note"] == evil


def test_marks_come_back_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "marks.jsonl"
    marks = {
        ID: Annotation(AnnotationLabel.DROP, "two\nquestions"),
        ID[::-1]: Annotation(AnnotationLabel.KEEP),
    }
    write_annotations(path, marks)
    assert read_annotations(path) == marks
    with path.open("a") as stream:
        stream.write(f'\n{{"row": "{ID}", "label": "fix"}}\n')
    assert read_annotations(path)[ID] == Annotation(AnnotationLabel.FIX)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("nonsense", "not JSON: "),
        ("[]", "not an object"),
        ('{"row": "1", "label": "fix"}', "row is '1'"),
        (f'{{"row": "{ID}", "label": "bad"}}', "label is 'bad'"),
        (f'{{"row": "{ID}", "label": []}}', "label is"),
        (f'{{"row": "{ID}"}}', "label is None"),
        (f'{{"row": "{ID}", "label": "fix", "note": 1}}', "note is 1"),
        (f'{{"row": "{ID}", "label": "fix", "why": ""}}', "unknown key 'why'"),
    ],
)
def test_what_is_no_mark_is_refused_with_its_line(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "marks.jsonl"
    path.write_text(f'{{"row": "{ID}", "label": "keep"}}\n{line}\n')
    with pytest.raises(DatasetError, match=r"marks.jsonl:2: ") as caught:
        read_annotations(path)
    assert reason in caught.value.message
