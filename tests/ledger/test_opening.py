"""The ledger file is created, shared between processes, or refused."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ftops.errors import LedgerError, LedgerTooNew, StorageError
from ftops.ledger.file import APPLICATION_ID, VERSION, read_version
from ftops.ledger.ledger import Ledger
from ftops.records import Stage
from tests.fakes import FakeClock
from tests.ledger.rows import make_run


def test_a_new_ledger_has_its_application_id_and_version(tmp_path: Path) -> None:
    Ledger(tmp_path / "ledger.db", FakeClock()).close()
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        names = ("application_id", "user_version", "journal_mode")
        values = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]
    connection.close()
    assert values == [APPLICATION_ID, VERSION, "wal"]


def test_a_reopened_ledger_has_what_was_written(tmp_path: Path) -> None:
    first = Ledger(tmp_path / "ledger.db", FakeClock())
    run = first.add_run(make_run(), if_absent=False)
    first.close()
    second = Ledger(tmp_path / "ledger.db", FakeClock())
    assert second.get_run(run.id) == run
    second.close()


def test_only_the_owner_can_read_file_and_folder(tmp_path: Path) -> None:
    path = tmp_path / "home" / "ledger.db"
    ledger = Ledger(path, FakeClock())
    ledger.add_run(make_run(), if_absent=False)
    modes = {item.name: item.stat().st_mode & 0o777 for item in path.parent.iterdir()}
    ledger.close()
    assert modes["ledger.db"] == 0o600
    assert set(modes.values()) == {0o600}
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_ledger_that_others_can_read_becomes_private(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    Ledger(path, FakeClock()).close()
    path.chmod(0o644)
    Ledger(path, FakeClock()).close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_ledger_of_a_later_version_is_refused_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    Ledger(path, FakeClock()).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(LedgerTooNew, match="version 99") as caught:
        Ledger(path, FakeClock())
    assert "Upgrade ftops" in caught.value.hint
    assert path.read_bytes() == before


def make_earlier_ledger(path: Path) -> None:
    """A ledger in the format before the first release."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE migrations (version INTEGER PRIMARY KEY)")
        connection.execute("INSERT INTO migrations VALUES (5)")
        for name in ("runs", "stages", "events", "calls", "uploads", "models"):
            connection.execute(f"CREATE TABLE {name} (id TEXT PRIMARY KEY)")
        connection.execute("INSERT INTO runs VALUES ('run-20261101-0900-abcd')")
    connection.close()


def make_unversioned_ledger(path: Path) -> None:
    """A ledger with a version that was never released."""
    Ledger(path, FakeClock()).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 0")
    connection.close()


@pytest.mark.parametrize("make", [make_earlier_ledger, make_unversioned_ledger])
def test_a_ledger_of_an_earlier_format_is_refused_unchanged_with_a_hint(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    path = tmp_path / "ledger.db"
    make(path)
    before = path.read_bytes()
    with pytest.raises(LedgerError, match="an earlier ftops") as caught:
        Ledger(path, FakeClock())
    assert str(path) in caught.value.message
    assert "`ftops adopt JOB_ID`" in caught.value.hint
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["ledger.db"]


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE albums (title TEXT)")
    connection.close()
    with pytest.raises(LedgerError, match="not a ledger of ftops"):
        Ledger(path, FakeClock())


def test_a_file_that_is_no_database_is_reported_as_damaged(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"this is not SQLite, " * 500)
    with pytest.raises(LedgerError, match="damaged") as caught:
        Ledger(path, FakeClock())
    assert str(path) in caught.value.message
    assert "backup" in caught.value.hint


def test_damage_found_while_reading_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = Ledger(path, FakeClock())
    for number in range(200):
        ledger.add_run(make_run(number, key=f"key-{number}"), if_absent=False)
    ledger.close()
    content = bytearray(path.read_bytes())
    content[8192:] = b"\xab" * (len(content) - 8192)
    path.write_bytes(content)
    with pytest.raises(LedgerError, match="damaged"):
        broken = Ledger(path, FakeClock())
        try:
            broken.list_runs()
        finally:
            broken.close()


def test_a_damaged_document_in_a_row_is_a_clear_error(ledger: Ledger) -> None:
    run = ledger.add_run(make_run(), if_absent=False)
    with sqlite3.connect(ledger.path) as connection:
        connection.execute("UPDATE runs SET spec_json = '{'")
    connection.close()
    with pytest.raises(LedgerError, match="damaged"):
        ledger.get_run(run.id)


def test_a_folder_that_cannot_be_created_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file is in the way")
    with pytest.raises(StorageError, match="home"):
        Ledger(tmp_path / "home" / "ledger.db", FakeClock())


def test_a_read_only_folder_is_a_storage_error(tmp_path: Path) -> None:
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("root may write everywhere")
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o500)
    script = (
        "import sys; from pathlib import Path; from ftops.clock import SystemClock;"
        " from ftops.errors import StorageError; from ftops.ledger.ledger import Ledger\n"
        "try: Ledger(Path(sys.argv[1]), SystemClock())\n"
        "except StorageError as error: print('refused:', error.message)"
    )
    # Root ignores file modes unless it drops its capabilities.
    drop_capabilities = (
        ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    )
    command = [*drop_capabilities, sys.executable, "-c", script, str(home / "ledger.db")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    home.chmod(0o700)
    assert done.stdout.startswith("refused:"), done.stderr
    assert "permission is denied" in done.stdout


def test_a_ledger_held_by_another_process_is_an_error_after_a_timeout(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    Ledger(path, FakeClock()).close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    ledger = Ledger(path, FakeClock(), busy_timeout_s=0.05)
    with pytest.raises(LedgerError, match=r"another process has held the ledger for 0\.05 s"):
        ledger.add_run(make_run(), if_absent=False)
    other.execute("ROLLBACK")
    ledger.add_run(make_run(), if_absent=False)  # the ledger still works
    other.close()
    ledger.close()


def test_a_ledger_held_by_another_process_while_it_is_opened_is_an_error(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(LedgerError, match="another process has held") as caught:
        Ledger(tmp_path / "ledger.db", FakeClock(), busy_timeout_s=0.05)
    assert "End the other process" in caught.value.hint
    other.execute("ROLLBACK")
    other.close()
    Ledger(tmp_path / "ledger.db", FakeClock()).close()


def test_a_full_disk_is_reported_and_changes_nothing(tmp_path: Path) -> None:
    script = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from ftops.errors import StorageError; from ftops.ledger.ledger import Ledger\n"
        "from tests.fakes import FakeClock; from tests.ledger.rows import make_run\n"
        "ledger = Ledger(Path(sys.argv[1]), FakeClock())\n"
        "ledger.add_run(make_run(0, key='first'), if_absent=False)\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "written = 1\n"
        "try:\n"
        "    while True:\n"
        "        ledger.add_run(make_run(written, key=f'{written}' * 2000), if_absent=False)\n"
        "        written += 1\n"
        "except StorageError as error: print('refused:', written, error.message)\n"
    )
    path = tmp_path / "ledger.db"
    command = [sys.executable, "-c", script, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("refused:"), done.stderr
    assert "disk" in done.stdout
    reopened = Ledger(path, FakeClock())
    assert len(reopened.list_runs()) == int(done.stdout.split()[1])
    reopened.close()


def test_threads_share_one_ledger(ledger: Ledger) -> None:
    def work(number: int) -> None:
        for step in range(10):
            index = number * 10 + step
            ledger.add_run(make_run(index, key=f"key-{index}"), if_absent=False)
            ledger.list_runs(limit=3)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ledger.list_runs()) == 40


@pytest.mark.parametrize("statement", range(3))
def test_a_ledger_that_another_process_creates_between_two_looks_is_no_foreign_file(
    tmp_path: Path, statement: int
) -> None:
    path = tmp_path / "ledger.db"

    class Creating(sqlite3.Connection):
        """Another connection creates the ledger before the statement of this number."""

        executed = 0

        def execute(self, sql: str, /, *values: object) -> sqlite3.Cursor:
            if self.executed == statement:
                Ledger(path, FakeClock()).close()
            self.executed += 1
            return super().execute(sql, *values)  # type: ignore[arg-type]

    connection = sqlite3.connect(path, factory=Creating)
    read_version(connection, path)
    assert connection.executed == 3
    assert read_version(connection, path) == VERSION
    connection.close()


def test_processes_that_create_the_same_ledger_at_once_all_succeed(tmp_path: Path) -> None:
    path = tmp_path / "home" / "ledger.db"
    script = (
        "import sys; from pathlib import Path; from ftops.clock import SystemClock\n"
        "from ftops.ledger.ledger import Ledger; from tests.ledger.rows import make_run\n"
        "ledger = Ledger(Path(sys.argv[1]), SystemClock())\n"
        "ledger.add_run(make_run(int(sys.argv[2]), key='same'), if_absent=True)"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(path), str(number)], stderr=subprocess.PIPE
        )
        for number in range(4)
    ]
    errors = [child.communicate()[1].decode() for child in children]
    assert errors == [""] * 4
    ledger = Ledger(path, FakeClock())
    assert len(ledger.list_runs()) == 1
    ledger.close()


def test_a_ledger_of_version_1_is_upgraded_with_its_content(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = Ledger(path, FakeClock())
    run = ledger.add_run(make_run(), if_absent=False)
    ledger.close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "DROP TABLE deployments; ALTER TABLE stages RENAME TO new;"
            " CREATE TABLE stages (run_id TEXT NOT NULL REFERENCES runs (id), stage TEXT NOT NULL"
            " CHECK (stage IN ('prepare', 'upload', 'create', 'follow', 'results', 'evaluate')),"
            " status TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, started_at TEXT,"
            " finished_at TEXT, detail_json TEXT NOT NULL DEFAULT '{}', error TEXT,"
            " PRIMARY KEY (run_id, stage)) WITHOUT ROWID;"
            " INSERT INTO stages SELECT * FROM new; DROP TABLE new; PRAGMA user_version = 1"
        )
    reopened = Ledger(path, FakeClock())
    assert reopened.get_run(run.id) == run
    assert len(reopened.list_stages(run.id)) == len(Stage) - 1
    deploys = reopened.add_run(make_run(2, key="other"), if_absent=False, deploys=True)
    assert [record.stage for record in reopened.list_stages(deploys.id)] == list(Stage)
    assert reopened.list_deployments() == []
    assert reopened.list_damages() == []
    reopened.close()
