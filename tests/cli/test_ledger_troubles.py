"""Whatever is wrong with the ledger or its disk: a known error, a next step, nothing lost."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ftops.ledger.ledger import Ledger
from tests.cli.running import ftops
from tests.fakes import FakeClock
from tests.ledger.rows import make_run

RUNS = [sys.executable, "-m", "ftops", "runs", "--json"]


def make_ledger(home: Path) -> Path:
    """A ledger with one run."""
    ledger = Ledger(home / "ledger.db", FakeClock())
    ledger.add_run(make_run(), if_absent=False)
    ledger.close()
    return home / "ledger.db"


def spoil(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[100:] = b"\xab" * (len(content) - 100)
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir(mode=0o755)
    (path / "mine").write_text("kept")


def replace_by_link_to_nowhere(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.parent / "gone" / "ledger.db")


def make_later(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
        connection.commit()


def make_earlier(path: Path) -> None:
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for name in ("migrations", "runs", "calls"):
            connection.execute(f"CREATE TABLE {name} (id TEXT PRIMARY KEY)")
        connection.commit()
    path.chmod(0o600)


def put_nonsense_into_a_row(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE runs SET created_at = 'yesterday'")
        connection.commit()


@pytest.mark.parametrize(
    ("trouble", "kind", "words"),
    [
        (spoil, "LedgerError", "damaged"),
        (cut, "LedgerError", "damaged"),
        (replace_by_folder, "StorageError", "it is a folder"),
        (replace_by_link_to_nowhere, "StorageError", "No such file"),
        (make_later, "LedgerTooNew", "version 99"),
        (make_earlier, "LedgerError", "an earlier ftops"),
        (put_nonsense_into_a_row, "LedgerError", "damaged"),
    ],
)
def test_each_trouble_is_a_known_error_with_a_next_step_and_changes_nothing(
    temporary_home: Path, trouble: Callable[[Path], None], kind: str, words: str
) -> None:
    path = make_ledger(temporary_home)
    trouble(path)
    before = look(temporary_home)
    answer = ftops("runs", "--json")
    assert (answer.code, answer.error["type"]) == (1, kind)
    assert words in str(answer.error["message"])
    assert answer.error["hint"]
    assert look(temporary_home) == before


def look(home: Path) -> dict[str, tuple[int, bytes]]:
    """Mode and content of everything in the home."""
    return {
        str(path): (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in sorted(home.rglob("*"))
        if not path.name.endswith(("-wal", "-shm"))
    }


def test_a_home_that_may_only_be_read_is_a_known_error_and_keeps_its_ledger(
    temporary_home: Path,
) -> None:
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("root may write everywhere")
    path = make_ledger(temporary_home)
    before = path.read_bytes()
    path.chmod(0o400)
    temporary_home.chmod(0o500)
    # Root passes over modes unless it gives that power up.
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    done = subprocess.run([*drop, *RUNS], capture_output=True, text=True, check=False)
    temporary_home.chmod(0o700)
    assert done.returncode == 1
    assert "permission is denied" in done.stderr
    assert "next: " in done.stderr
    assert "Traceback" not in done.stderr
    assert path.read_bytes() == before


def test_a_full_disk_is_a_known_error_and_the_next_command_finds_a_whole_ledger(
    temporary_home: Path,
) -> None:
    line = ["bash", "-c", 'ulimit -f 16; exec "$@"', "bash", *RUNS]  # in KiB, for each file
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "disk" in done.stderr
    assert "next: " in done.stderr
    assert "Traceback" not in done.stderr
    assert ftops("runs", "--json").out == "[]\n"


def test_an_empty_file_becomes_a_ledger(temporary_home: Path) -> None:
    temporary_home.mkdir()
    (temporary_home / "ledger.db").touch()
    assert ftops("runs", "--json").out == "[]\n"
