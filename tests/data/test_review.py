"""The sample, its page, and the file of annotations."""

import json
import re
from pathlib import Path

import pytest

from ftops.data.annotations import Annotation, AnnotationLabel, read_annotations, write_annotations
from ftops.data.reading.options import ReadOptions
from ftops.data.review import draw_sample, render_page
from ftops.data.rows import read_rows, row_id
from ftops.errors import DatasetError
from tests.data.data_files import (
    call,
    call_row,
    chat,
    chat_with_calls,
    pair,
    preference,
    write_rows,
)

ID = "9f86d081884c7d65"


def draw_ids(path: Path, count: int = 10, seed: int = 1, **more: set[str]) -> list[str]:
    return [row.id for row in draw_sample(path, ReadOptions(), count, seed, **more).rows]


def test_the_sample_depends_on_rows_and_seed_and_not_on_their_order(tmp_path: Path) -> None:
    rows = [pair(f"row {n}") for n in range(200)]
    path = write_rows(tmp_path / "one.jsonl", rows)
    reversed_path = write_rows(
        tmp_path / "other.jsonl", [{**row, "x": 1} and row for row in rows[::-1]]
    )
    assert len(draw_ids(path)) == 10
    assert draw_ids(path) == draw_ids(reversed_path)[::-1]
    assert draw_ids(path) != draw_ids(path, seed=2)
    assert set(draw_ids(path)) < set(draw_ids(path, 11))


def test_rows_are_in_the_order_of_the_file_with_their_lines(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [pair(f"row {n}") for n in range(50)])
    sample = draw_sample(path, ReadOptions(), 5, 1)
    lines = [row.line for row in sample.rows]
    assert lines == sorted(lines)
    assert all(row.parts[0] == ("prompt", f"row {row.line - 1}") for row in sample.rows)
    assert sample.total == 50


def test_a_duplicate_row_is_sampled_once(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [pair(f"row {n % 3}") for n in range(30)])
    assert len(draw_ids(path)) == len(set(draw_ids(path))) == 3
    assert len(draw_ids(path, without={draw_ids(path)[0]})) == 2


def test_messages_are_shown_with_their_roles(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [chat("hi", "there")])
    assert draw_sample(path, ReadOptions(), 1, 1).rows[0].parts == (
        ("user", "hi"), ("assistant", "there")
    )  # fmt: skip
    path = write_rows(tmp_path / "rows.jsonl", [preference()])
    assert [name for name, _ in draw_sample(path, ReadOptions(), 1, 1).rows[0].parts] == [
        "user", "preferred", "not preferred"
    ]  # fmt: skip


def test_tool_calls_are_shown_in_their_messages(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [call_row({"to": "me"}), chat_with_calls(call({}))])
    sample = draw_sample(path, ReadOptions(), 2, 1).rows
    assert sample[0].parts[1] == ("assistant", '[{"name":"send","arguments":{"to":"me"}}]')
    assert sample[1].parts[-1] == ("assistant", '[{"name":"send","arguments":{}}]')


def test_bad_rows_are_reported_and_good_ones_sampled(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [pair("a"), "nonsense"])
    sample = draw_sample(path, ReadOptions(), 5, 1)
    assert len(sample.rows) == 1
    assert "1 of 2 rows are bad" in sample.problem
    with pytest.raises(DatasetError):
        draw_sample(write_rows(tmp_path / "rows.jsonl", ["nonsense"]), ReadOptions(), 5, 1)


def test_a_row_id_depends_only_on_the_content(tmp_path: Path) -> None:
    path = write_rows(
        tmp_path / "rows.jsonl",
        ['{"prompt": "a", "completion": "b"}', '{"completion":"b","prompt":"a"}'],
    )
    assert {row_id(row) for row in read_rows(path)} == {"1ea9cdbbe8027a63"}


def test_texts_are_escaped_on_the_page(tmp_path: Path) -> None:
    text = "</script><script>alert(1)</script><!-- & @DATA@"
    path = write_rows(tmp_path / "rows.jsonl", [pair(text)])
    sample = draw_sample(path, ReadOptions(), 1, 1)
    annotations = {sample.rows[0].id: Annotation(AnnotationLabel.FIX, text)}
    page = render_page(
        sample, annotations, name=text, unit="row", annotations_file=tmp_path / "m.jsonl"
    )
    assert page.count("</script>") == 2
    assert "alert(1)</" not in page
    assert not re.search(r"(?:src|href)\s*=\s*\"http", page)
    match = re.search(r'id="data">(.*?)</script>', page, re.S)
    assert match is not None
    data = json.loads(match.group(1))
    assert data["rows"][0]["parts"][0] == ["prompt", text]
    assert data["annotations"][sample.rows[0].id] == {"label": "fix", "note": text}


def test_hidden_characters_are_shown_on_the_page_and_notes_are_unchanged(tmp_path: Path) -> None:
    text = "pay \u202e100\u2066 \x9b31m \u200f\u061c\u2028 \x07 end"
    shown = r"pay \u202e100\u2066 \u009b31m \u200f\u061c\u2028 \u0007 end"
    path = write_rows(tmp_path / "rows.jsonl", [pair(text, "a\tb\nc")])
    sample = draw_sample(path, ReadOptions(), 1, 1)
    annotations = {sample.rows[0].id: Annotation(AnnotationLabel.FIX, text)}
    page = render_page(
        sample, annotations, name=text, unit="row", annotations_file=tmp_path / f"{text}.jsonl"
    )
    assert not re.search(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]", page
    )
    match = re.search(r'id="data">(.*?)</script>', page, re.S)
    assert match is not None
    data = json.loads(match.group(1))
    assert data["rows"][0]["parts"] == [["prompt", shown], ["completion", "a\tb\nc"]]
    assert data["rows"][0]["note"] == data["name"] == shown
    assert data["annotations"][sample.rows[0].id]["note"] == text


def test_annotations_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "marks.jsonl"
    annotations = {
        ID: Annotation(AnnotationLabel.DROP, "two\nquestions"),
        ID[::-1]: Annotation(AnnotationLabel.KEEP),
    }
    write_annotations(path, annotations)
    assert read_annotations(path) == annotations
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
def test_an_invalid_annotation_is_refused_with_its_line(
    tmp_path: Path, line: str, reason: str
) -> None:
    path = tmp_path / "marks.jsonl"
    path.write_text(f'{{"row": "{ID}", "label": "keep"}}\n{line}\n')
    with pytest.raises(DatasetError, match=r"marks.jsonl:2: ") as caught:
        read_annotations(path)
    assert reason in caught.value.message
