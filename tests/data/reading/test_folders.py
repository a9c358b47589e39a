"""Folders that are named as data: data sets, and all the others."""

from pathlib import Path

import pytest

from ftops.data.reading.arrow import list_splits, select_split
from ftops.data.reading.options import ReadOptions
from ftops.data.reading.source import open_source
from ftops.errors import DatasetError


def make_files(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def refuse(folder: Path) -> str:
    with pytest.raises(DatasetError) as refused:
        open_source(folder, ReadOptions())
    assert refused.value.hint
    return refused.value.message


def test_parquet_files_are_splits_by_their_names_or_folders(tmp_path: Path) -> None:
    make_files(
        tmp_path, "data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet",
        "other/test/0000.parquet", "README.md", ".cache/old/train.parquet",
    )  # fmt: skip
    splits = list_splits("it", tmp_path)
    assert {name: len(files) for name, files in splits.items()} == {"train": 2, "test": 1}
    assert select_split("it", list(splits), None) == "train"


def test_a_folder_that_is_no_data_set_is_refused(tmp_path: Path) -> None:
    make_files(tmp_path, "rows.jsonl", "deep/deeper/deepest/train.parquet")
    assert "not a Hugging Face dataset" in refuse(tmp_path)
    with pytest.raises(DatasetError) as refused:
        open_source(tmp_path, ReadOptions())
    assert refused.value.hint == f"Name the data file itself, such as {tmp_path / 'rows.jsonl'}."


def test_a_folder_of_very_many_files_is_left_after_a_bounded_look(tmp_path: Path) -> None:
    make_files(tmp_path, *[f"{n % 10}/{n}.parquet" for n in range(50)])
    assert len(list_splits("it", tmp_path, most_entries=60)) == 10
    with pytest.raises(DatasetError, match="more than 59 files and is not a dataset"):
        list_splits("it", tmp_path, most_entries=59)


def test_a_link_in_a_folder_is_not_followed(tmp_path: Path) -> None:
    make_files(tmp_path, "one/train.parquet")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "link").symlink_to(tmp_path / "one")
    assert "not a Hugging Face dataset" in refuse(tmp_path / "two")


def test_a_state_that_names_no_files_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{}")
    assert "state.json: does not list the data files" in refuse(tmp_path)
