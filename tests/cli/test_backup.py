"""`ftops backup` and `ftops restore`."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ftops.clock import SystemClock
from ftops.ledger.ledger import Ledger
from ftops.locks import hold_lock
from tests.cli.running import ftops
from tests.ledger.rows import make_run


def add_run(home: Path, number: int) -> None:
    with closing(Ledger(home / "ledger.db", SystemClock())) as ledger:
        ledger.add_run(make_run(number), if_absent=False)


def list_runs(home: Path) -> set[str]:
    with closing(Ledger(home / "ledger.db", SystemClock())) as ledger:
        return {run.id for run in ledger.list_runs()}


FIRST, SECOND = make_run(1).id, make_run(2).id


@pytest.fixture
def home(temporary_home: Path) -> Path:
    add_run(temporary_home, 1)
    return temporary_home


def test_a_backup_is_a_private_file_with_everything_committed(home: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    with closing(
        Ledger(home / "ledger.db", SystemClock())
    ) as ledger:  # its write-ahead log is not merged yet
        ledger.add_run(make_run(2), if_absent=False)
        assert ftops("backup", copy).code == 0
    assert copy.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(copy)) as connection:
        rows = connection.execute("SELECT id FROM runs ORDER BY id").fetchall()
    assert rows == [(FIRST,), (SECOND,)]


def test_a_restore_replaces_the_ledger_and_keeps_the_former_one(home: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    ftops("backup", copy)
    add_run(home, 2)
    result = ftops("restore", copy, "--json")
    assert result.code == 0
    assert result.document["runs"] == 1
    assert list_runs(home) == {FIRST}
    former = Path(str(result.document["former"]))
    former.rename(tmp_path / "ledger.db")
    assert list_runs(tmp_path) == {FIRST, SECOND}


def test_the_error_about_a_damaged_ledger_names_the_restore_that_fixes_it(
    home: Path, tmp_path: Path
) -> None:
    copy, path = tmp_path / "copy.db", home / "ledger.db"
    ftops("backup", copy)
    path.write_bytes(path.read_bytes()[:5000])
    assert "ftops restore FILE" in ftops("runs").err
    assert ftops("restore", copy).code == 0
    assert list_runs(home) == {FIRST}


def test_an_interrupted_restore_can_be_repeated(home: Path, tmp_path: Path) -> None:
    copy, path = tmp_path / "copy.db", home / "ledger.db"
    ftops("backup", copy)
    path.rename(home / "ledger.db.former")
    (home / "ledger.db.restoring").write_bytes(b"half")
    assert ftops("restore", copy).code == 0
    assert list_runs(home) == {FIRST}
    assert not (home / "ledger.db.restoring").exists()


@pytest.mark.parametrize("content", [b"", b"text", b"SQLite format 3\0" + b"\xab" * 4000])
def test_a_file_that_is_not_a_ledger_is_refused_and_nothing_changes(
    home: Path, tmp_path: Path, content: bytes
) -> None:
    copy = tmp_path / "copy.db"
    copy.write_bytes(content)
    result = ftops("restore", copy)
    assert result.code == 1
    assert "cannot be restored" in result.err
    assert {file.name for file in home.glob("ledger.db*")} == {"ledger.db"}
    assert list_runs(home) == {FIRST}


def test_another_database_and_a_missing_file_are_refused(home: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE notes (text TEXT)")
        connection.commit()
    assert "not a ledger of ftops" in ftops("restore", other).err
    missing = ftops("restore", tmp_path / "missing.db")
    assert (missing.code, "there is no such file" in missing.err) == (1, True)
    assert list_runs(home) == {FIRST}


def test_a_restore_is_refused_during_a_run(home: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    ftops("backup", copy)
    with hold_lock(home / "runs" / FIRST / "lock"):
        result = ftops("restore", copy)
    assert (result.code, f"{FIRST} runs in another process" in result.err) == (1, True)


def test_a_backup_overwrites_only_with_force_and_needs_a_ledger(home: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    copy.write_text("mine")
    assert ftops("backup", copy).code == 1
    assert copy.read_text() == "mine"
    assert ftops("backup", copy, "--force").code == 0
    assert ftops("backup", home / "ledger.db", "--force").code == 1
    (home / "ledger.db").unlink()
    assert "there is no ledger" in ftops("backup", copy, "--force").err
