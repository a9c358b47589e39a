"""`ftops data split`."""

import gzip
import json
from pathlib import Path

from tests.cli.running import ftops, write_rows


def test_split_writes_files_next_to_the_data_and_shows_their_sizes(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", 300)
    before = path.read_bytes()
    result = ftops("data", "split", path, "--test", "30")
    assert result.code == 0
    assert "validation         60 rows   20.0%" in result.out
    names = {"rows.jsonl", "rows_train.jsonl", "rows_validation.jsonl", "rows_test.jsonl"}
    assert {entry.name for entry in tmp_path.iterdir()} == names
    assert len((tmp_path / "rows_train.jsonl").read_text().splitlines()) == 210
    assert path.read_bytes() == before


def test_nothing_is_overwritten_without_force(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", 300)
    first = ftops("data", "split", path, "--quiet")
    assert first.out.splitlines() == [
        str(tmp_path / "rows_train.jsonl"), str(tmp_path / "rows_validation.jsonl")
    ]  # fmt: skip
    held_out = (tmp_path / "rows_validation.jsonl").read_bytes()
    refused = ftops("data", "split", path, "--seed", "1")
    assert refused.code == 1
    assert "there already" in refused.err
    assert (tmp_path / "rows_validation.jsonl").read_bytes() == held_out
    assert ftops("data", "split", path, "--seed", "1", "--force").code == 0
    assert (tmp_path / "rows_validation.jsonl").read_bytes() != held_out


def test_only_the_suffix_of_the_name_is_removed(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.v2.jsonl", 300)
    compressed = tmp_path / "rows.v3.jsonl.gz"
    compressed.write_bytes(gzip.compress(path.read_bytes()))
    for file, name in ((path, "rows.v2_train.jsonl"), (compressed, "rows.v3_train.jsonl")):
        assert ftops("data", "split", file).code == 0
        assert (tmp_path / name).exists()


def test_json_rows_may_have_a_column_for_groups(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [
        {"prompt": f"row {n}", "completion": f" {n % 2}", "author": f"author {n % 20}"}
        for n in range(200)
    ]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    result = ftops("data", "split", path, "--group", "author", "--json")
    assert result.code == 0
    assert result.document["groups"] == 20
    held_out = (tmp_path / "rows_validation.jsonl").read_text().splitlines()
    authors = {int(json.loads(line)["prompt"].removeprefix("row ")) % 20 for line in held_out}
    assert len(held_out) == 10 * len(authors)


def test_standard_input_is_refused_by_commands_that_read_twice() -> None:
    for words in (("split", "-"), ("baseline", "-", "-"), ("sample", "-"), ("diff", "-", "-")):
        result = ftops("data", *words, stdin="")
        assert result.code == 1
        assert "this command reads its input more than once" in result.err


def test_split_as_json_counts_classes_in_each_part(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", 300)
    document = ftops("data", "split", path, "--json", "-o", tmp_path / "parts").document
    parts = document["parts"]
    assert isinstance(parts, list)
    assert [part["classes"] for part in parts if isinstance(part, dict)] == [
        {" 0": 80, " 1": 80, " 2": 80}, {" 0": 20, " 1": 20, " 2": 20}
    ]  # fmt: skip
    assert (tmp_path / "parts" / "rows_train.jsonl").exists()
