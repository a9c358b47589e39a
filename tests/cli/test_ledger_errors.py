"""Errors of the ledger and its disk: a message, a next step, and nothing is lost."""

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


def overwrite_content(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[100:] = b"\xab" * (len(content) - 100)
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir(mode=0o755)
    (path / "mine").write_text("kept")


def replace_by_broken_link(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.parent / "gone" / "ledger.db")


def set_later_version(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
        connection.commit()


def create_earlier_schema(path: Path) -> None:
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for name in ("migrations", "runs", "calls"):
            connection.execute(f"CREATE TABLE {name} (id TEXT PRIMARY KEY)")
        connection.commit()
    path.chmod(0o600)


def write_invalid_value(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE runs SET created_at = 'yesterday'")
        connection.commit()


@pytest.mark.parametrize(
    ("damage", "kind", "words"),
    [
        (overwrite_content, "LedgerError", "damaged"),
        (truncate, "LedgerError", "damaged"),
        (replace_by_folder, "StorageError", "it is a folder"),
        (replace_by_broken_link, "StorageError", "No such file"),
        (set_later_version, "LedgerTooNew", "version 99"),
        (create_earlier_schema, "LedgerError", "an earlier ftops"),
        (write_invalid_value, "LedgerError", "damaged"),
    ],
)
def test_each_damage_is_a_known_error_with_a_next_step_and_changes_nothing(
    temporary_home: Path, damage: Callable[[Path], None], kind: str, words: str
) -> None:
    path = make_ledger(temporary_home)
    damage(path)
    before = list_files(temporary_home)
    result = ftops("runs", "--json")
    assert (result.code, result.error["type"]) == (1, kind)
    assert words in str(result.error["message"])
    assert result.error["hint"]
    assert list_files(temporary_home) == before


def list_files(home: Path) -> dict[str, tuple[int, bytes]]:
    """Mode and content of everything in the home."""
    return {
        str(path): (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in sorted(home.rglob("*"))
        if not path.name.endswith(("-wal", "-shm"))
    }


def test_a_read_only_home_is_a_known_error_and_keeps_its_ledger(
    temporary_home: Path,
) -> None:
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("root may write everywhere")
    path = make_ledger(temporary_home)
    before = path.read_bytes()
    path.chmod(0o400)
    temporary_home.chmod(0o500)
    # Root ignores file modes unless it drops this capability.
    prefix = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    process = subprocess.run([*prefix, *RUNS], capture_output=True, text=True, check=False)
    temporary_home.chmod(0o700)
    assert process.returncode == 1
    assert "permission is denied" in process.stderr
    assert "next: " in process.stderr
    assert "Traceback" not in process.stderr
    assert path.read_bytes() == before


def test_a_full_disk_is_a_known_error_and_the_ledger_stays_usable(
    temporary_home: Path,
) -> None:
    command = ["bash", "-c", 'ulimit -f 16; exec "$@"', "bash", *RUNS]  # in KiB, for each file
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 1
    assert "disk" in process.stderr
    assert "next: " in process.stderr
    assert "Traceback" not in process.stderr
    assert ftops("runs", "--json").out == "[]\n"


def test_an_empty_file_becomes_a_ledger(temporary_home: Path) -> None:
    temporary_home.mkdir()
    (temporary_home / "ledger.db").touch()
    assert ftops("runs", "--json").out == "[]\n"
