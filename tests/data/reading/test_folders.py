"""Folders as data: datasets, and other folders."""

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


def get_source_error(folder: Path) -> str:
    with pytest.raises(DatasetError) as caught:
        open_source(folder, ReadOptions())
    assert caught.value.hint
    return caught.value.message


def test_parquet_files_are_assigned_to_splits_by_names_or_folders(tmp_path: Path) -> None:
    make_files(
        tmp_path, "data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet",
        "other/test/0000.parquet", "README.md", ".cache/old/train.parquet",
    )  # fmt: skip
    splits = list_splits("it", tmp_path)
    assert {name: len(files) for name, files in splits.items()} == {"train": 2, "test": 1}
    assert select_split("it", list(splits), None) == "train"


def test_a_folder_that_is_not_a_dataset_is_refused(tmp_path: Path) -> None:
    make_files(tmp_path, "rows.jsonl", "deep/deeper/deepest/train.parquet")
    assert "not a Hugging Face dataset" in get_source_error(tmp_path)
    with pytest.raises(DatasetError) as caught:
        open_source(tmp_path, ReadOptions())
    assert caught.value.hint == f"Name the data file itself, such as {tmp_path / 'rows.jsonl'}."


def test_the_search_in_a_folder_with_many_files_is_bounded(tmp_path: Path) -> None:
    make_files(tmp_path, *[f"{n % 10}/{n}.parquet" for n in range(50)])
    assert len(list_splits("it", tmp_path, most_entries=60)) == 10
    with pytest.raises(DatasetError, match="more than 59 files and is not a dataset"):
        list_splits("it", tmp_path, most_entries=59)


def test_a_link_in_a_folder_is_not_followed(tmp_path: Path) -> None:
    make_files(tmp_path, "one/train.parquet")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "link").symlink_to(tmp_path / "one")
    assert "not a Hugging Face dataset" in get_source_error(tmp_path / "two")


def test_a_state_file_without_data_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{}")
    assert "state.json: does not list the data files" in get_source_error(tmp_path)
