"""Files are written atomically."""

import errno
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ftops.errors import StorageError
from ftops.files import (
    append_file,
    make_private_dir,
    open_atomic,
    remove_parts,
    remove_path,
    rename_dir,
    sha256_file,
    storage_error,
    write_atomic,
)


def test_a_written_file_is_private_and_the_only_one_in_its_folder(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a" / "key", b"secret")
    assert (tmp_path / "a" / "key").read_bytes() == b"secret"
    assert stat.S_IMODE((tmp_path / "a" / "key").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["key"]


def test_a_file_keeps_its_old_content_when_writing_fails(tmp_path: Path) -> None:
    target = tmp_path / "results.csv"
    write_atomic(target, b"old")
    with pytest.raises(ValueError, match="half-way"), open_atomic(target) as stream:
        stream.write(b"new, but not all of it")
        raise ValueError("half-way")
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["results.csv"]


def test_the_error_about_a_full_disk_names_the_path_and_the_old_content_stays(
    tmp_path: Path,
) -> None:
    target = tmp_path / "results.csv"
    write_atomic(target, b"old")
    disk_error = pytest.raises(StorageError, match=r"results\.csv: cannot write: the disk is full")
    with disk_error, open_atomic(target):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert target.read_bytes() == b"old"


def test_the_error_about_a_folder_that_cannot_be_created_names_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="file"):
        make_private_dir(tmp_path / "file" / "below")


def test_an_unknown_error_keeps_the_message_of_the_system() -> None:
    assert (
        "Bad file descriptor"
        in storage_error(OSError(errno.EBADF, "Bad file descriptor"), Path("x")).message
    )


def test_a_private_folder_is_accessible_only_to_its_owner(tmp_path: Path) -> None:
    folder = make_private_dir(tmp_path / "home" / "runs" / "run-1")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.parents[:2])}
    assert modes == {0o700}


def test_a_renamed_folder_keeps_its_files(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "weights").write_bytes(b"1")
    rename_dir(tmp_path / "part", tmp_path / "whole")
    assert (tmp_path / "whole" / "weights").read_bytes() == b"1"


def test_the_hash_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_file(tmp_path / "abc") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def test_only_the_temporary_files_of_the_path_are_removed(tmp_path: Path) -> None:
    for name in (".a.x1y2.part", ".ab.x1y2.part", "a", ".a"):
        (tmp_path / name).touch()
    remove_parts(tmp_path / "a")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a", ".ab.x1y2.part", "a"]


@pytest.mark.parametrize(
    "other_file_system", [False, True], ids=["same disk", "another file system"]
)
def test_a_file_is_appended_completely(tmp_path: Path, other_file_system: bool) -> None:
    memory = Path("/dev/shm")
    if other_file_system and not memory.is_dir():
        pytest.skip("there is no other file system here")
    content = bytes(range(256)) * 12_000  # more than two pieces
    with tempfile.TemporaryDirectory(dir=memory if other_file_system else tmp_path) as name:
        source = Path(name, "source")
        source.write_bytes(content)
        with open_atomic(tmp_path / "joined") as target:
            target.write(b"begin")
            for _ in range(2):
                with source.open("rb", buffering=0) as stream:
                    append_file(stream, target, len(content))
            target.write(b"end")
    assert (tmp_path / "joined").read_bytes() == b"begin" + content + content + b"end"


def test_files_folders_links_and_missing_paths_are_removed(tmp_path: Path) -> None:
    file, folder, link = tmp_path / "file", tmp_path / "folder", tmp_path / "link"
    file.touch()
    (folder / "inner").mkdir(parents=True)
    link.symlink_to(folder)
    remove_path(link)
    assert folder.is_dir()
    for path in (file, folder, tmp_path / "nothing"):
        remove_path(path)
    assert list(tmp_path.iterdir()) == []


WRITER = """
import sys
from pathlib import Path
from ftops.files import open_atomic
with open_atomic(Path(sys.argv[1])) as stream:
    stream.write(b"rows of " + sys.argv[2].encode())
    stream.flush()
    print("writing", flush=True)
    sys.stdin.read(1)
"""


def start_writer(path: Path, name: str) -> "subprocess.Popen[bytes]":
    """Start a process that writes `path` and waits for a byte before it finishes."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"writing\n"
    return writer


def list_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_next_write_removes_only_the_temporary_file_of_a_killed_writer(
    tmp_path: Path,
) -> None:
    path = tmp_path / "rows.jsonl"
    others = [".rows.jsonl.part", ".rows.jsonl.backup01.part~", ".other.abcd1234.part", "rows.part"]
    for name in others:
        (tmp_path / name).write_bytes(b"kept")
    (tmp_path / ".rows.jsonl.linked__.part").symlink_to(tmp_path / "rows.part")
    with start_writer(path, "the dead") as writer:
        assert len(list_names(tmp_path)) == len(others) + 2
        writer.kill()
    write_atomic(path, b"new")
    assert list_names(tmp_path) == sorted([*others, ".rows.jsonl.linked__.part", "rows.jsonl"])


def test_a_running_writer_of_the_same_file_is_not_affected(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with start_writer(path, "the living") as writer:
        write_atomic(path, b"new")
        assert path.read_bytes() == b"new"
        assert len(list_names(tmp_path)) == 2
        writer.communicate(b"x", timeout=30)
        assert writer.returncode == 0
    assert path.read_bytes() == b"rows of the living"
    assert list_names(tmp_path) == ["rows.jsonl"]
