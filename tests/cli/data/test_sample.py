"""`ftops data sample` and `ftops data diff`."""

import json
from pathlib import Path

import pytest

from tests.cli.running import ftops, write_rows


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "rows.jsonl", 30)


def read_annotations(path: Path) -> list[dict[str, str]]:
    file = path.with_name("rows.jsonl.annotations.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_rows_are_printed_with_the_ids_of_annotations(path: Path) -> None:
    result = ftops("data", "sample", path, "-n", "3")
    assert result.code == 0
    assert "3 of 30 rows; 0 annotated" in result.out
    ids = ftops("data", "sample", path, "-n", "3", "--quiet").out.split()
    assert len(ids) == 3
    assert all(row_id in result.out for row_id in ids)
    assert ftops("data", "sample", path, "--annotate", f"{ids[0]}=drop").code == 0
    assert read_annotations(path) == [{"row": ids[0], "label": "drop"}]
    second = ftops("data", "sample", path, "-n", "3")
    assert f"{ids[0]}  drop" in second.out
    unannotated = ftops("data", "sample", path, "-n", "30", "--unannotated", "--quiet").out.split()
    assert len(unannotated) == 29
    assert ids[0] not in unannotated


def test_a_review_stores_each_answer(path: Path) -> None:
    result = ftops("data", "sample", path, "-n", "4", "--review", stdin="k\n\nf too short\nq\n")
    assert result.code == 0
    assert [(item["label"], item.get("note")) for item in read_annotations(path)] == [
        ("keep", None), ("fix", "too short")
    ]  # fmt: skip
    assert "4 of 30 rows; 2 annotated" in result.out


def test_a_page_is_written_with_the_rows(path: Path, tmp_path: Path) -> None:
    page = tmp_path / "sample.html"
    result = ftops("data", "sample", path, "--html", page, "--json")
    assert result.document["page"] == str(page)
    text = page.read_text()
    assert "row 1" in text
    assert "rows.jsonl.annotations.jsonl" in text


def test_data_is_not_overwritten_by_a_page_or_annotations(path: Path) -> None:
    before = path.read_bytes()
    assert "the page must end in .html" in ftops("data", "sample", path, "--html", path).err
    refused = ftops(
        "data", "sample", path, "--annotations", path, "--annotate", "9f86d081884c7d65=drop"
    )
    assert refused.code == 1
    assert "rows.jsonl:1: unknown key 'completion'" in refused.err
    assert path.read_bytes() == before


def test_invalid_annotations_are_refused_and_nothing_is_written(path: Path) -> None:
    for annotation in ("x=drop", "9f86d081884c7d65=bad", "9f86d081884c7d65"):
        result = ftops("data", "sample", path, "--annotate", annotation)
        assert result.code == 2
        assert f"--annotate {annotation}" in result.err
    assert not path.with_name("rows.jsonl.annotations.jsonl").exists()


def test_a_diff_shows_rows_and_classes(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "new.jsonl"
    lines = path.read_text().splitlines()
    lines[0] = lines[0].replace('" 0"', '" 1"')
    other.write_text("\n".join([*lines[:-1], '{"prompt": "new one", "completion": " 2"}']))
    result = ftops("data", "diff", path, other)
    assert result.code == 0
    assert "30 rows before, 30 now; 28 are the same" in result.out
    assert "1 same prompt, other completion\n  - 1: row 0 |  0\n  + 1: row 0 |  1" in result.out
    assert "' 0': 10 (33.3%) -> 9 (30.0%)" in result.out
    document = ftops("data", "diff", path, other, "--json").document
    assert document["answered"] == document["added"] == document["removed"] == 1
    quiet = ftops("data", "diff", path, path, "--quiet").out
    assert quiet.splitlines()[:2] == ["same 30", "added 0"]


def test_edited_rows_are_shown_at_the_difference(tmp_path: Path) -> None:
    words = " ".join(f"word{n}" for n in range(80))
    old, new = tmp_path / "old.jsonl", tmp_path / "new.jsonl"
    for path, word in ((old, "before"), (new, "after")):
        row = {"prompt": f"{words} {word} {words}", "completion": f"it was {word}"}
        path.write_text(f"{json.dumps(row)}\n")
    out = ftops("data", "diff", old, new).out
    lines = [line for line in out.splitlines() if line.startswith(("  - 1", "  + 1"))]
    assert [" before " in lines[0], " after " in lines[1]] == [True, True]
    assert all("…" in line and len(line) < 230 for line in lines)
