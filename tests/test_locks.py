"""Locks that are released when their process ends."""

import subprocess
import sys
from pathlib import Path

import pytest

from ftops.errors import StorageError
from ftops.locks import hold_lock, is_locked

HOLD = (
    "import sys; from pathlib import Path; from ftops.locks import hold_lock\n"
    "with hold_lock(Path(sys.argv[1])) as held: print(held, flush=True); sys.stdin.read()"
)


def test_a_lock_excludes_others_until_it_is_released(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "lock"
    with hold_lock(path) as first:
        assert first
        assert is_locked(path)
        with hold_lock(path) as second:
            assert not second
    assert not is_locked(path)


def test_a_lock_without_a_holder_is_free(tmp_path: Path) -> None:
    assert not is_locked(tmp_path / "none")
    assert not (tmp_path / "none").exists()
    (tmp_path / "lock").touch()
    assert not is_locked(tmp_path / "lock")


def test_a_killed_process_releases_its_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        assert is_locked(path)
        other.kill()
    assert not is_locked(path)


def test_a_lock_file_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    with pytest.raises(StorageError, match="lock: cannot write: it is a folder"):
        is_locked(tmp_path / "lock")
