"""Files are checked once, by the upload or by the first job that trains on them."""

import os
from pathlib import Path

import pytest

from ftops.engine.training_file import InvalidTrainingFile
from ftops.engine.validation import FileSummaries


def write_rows(path: Path, count: int, completion: str = "b") -> Path:
    path.write_text(f'{{"prompt": "a", "completion": "{completion}"}}\n' * count)
    return path


def test_a_job_that_trains_on_a_link_to_an_uploaded_file_does_not_parse_it_again(
    tmp_path: Path,
) -> None:
    uploaded, linked = write_rows(tmp_path / "uploaded", 3), tmp_path / "linked"
    summaries = FileSummaries()
    summary = summaries.check(uploaded)
    linked.hardlink_to(uploaded)
    status = uploaded.stat()
    uploaded.write_bytes(b"x" * status.st_size)  # which a second parse would refuse
    os.utime(uploaded, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert summaries.check(linked) is summary


def test_a_file_that_changed_is_parsed_again(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "file", 3)
    summaries = FileSummaries()
    assert summaries.check(path).rows == 3
    write_rows(path, 2)
    assert summaries.check(path).rows == 2
    path.write_bytes(b"{")
    with pytest.raises(InvalidTrainingFile, match="line 1"):
        summaries.check(path)


def test_summaries_with_long_answers_are_not_kept(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "file", 1, "b" * 200_000)
    summaries = FileSummaries()
    assert summaries.check(path) is not summaries.check(path)
