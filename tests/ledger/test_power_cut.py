"""After a power cut at any write the ledger opens, is intact, and holds every completed change.

At most the change in progress may be there in addition, and then whole. Only the last events, and
that they were shown, may be missing: never a change without the changes before it.
"""

import contextlib
import random
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import get_args

import pytest

from ftops.clock import Clock
from ftops.ledger.file import UNFLUSHED, Change
from ftops.ledger.ledger import Ledger
from ftops.runs.context import RunContext
from ftops.runs.open_run import cancel_run, drive, open_run
from tests.fakes import FakeClock
from tests.ledger.history import STEPS, Content, read_all
from tests.ledger.write_log import Disk, WriteLog, find_library, recording
from tests.runs.bench import Recorder, write_job
from tests.runs.fake_provider import FakeProvider

LIBRARY = find_library()
needs_library = pytest.mark.skipif(
    LIBRARY is None, reason="Python's SQLite library is not accessible"
)


class LoggedLedger(Ledger):
    """A ledger that records each completed commit and the content of the file after it."""

    def __init__(self, path: Path, clock: Clock, log: WriteLog, contents: list[Content]) -> None:
        self._log, self._contents = log, contents
        super().__init__(path, clock)

    @contextlib.contextmanager
    def _changing(self, change: Change) -> Iterator[sqlite3.Connection]:
        with super()._changing(change) as connection:
            yield connection
        self._log.done += 1
        if change not in UNFLUSHED:
            self._log.safe = self._log.done
        self._contents.append(read_all(self.path))


class UnflushedLedger(LoggedLedger):
    """A ledger that flushes no commit to the disk."""

    _unflushed = frozenset(get_args(Change))


def run_commands(folder: Path, kind: type[LoggedLedger]) -> tuple[WriteLog, list[Content]]:
    """Two runs by three commands; the log, and the content of the ledger after each commit."""
    assert LIBRARY is not None
    clock = FakeClock()
    contents: list[Content] = [{}]
    path = folder / "home" / "ledger.db"
    provider = FakeProvider(folder / "provider", clock)
    with recording(LIBRARY) as log:
        for number in range(3):
            ledger = kind(path, clock, log, contents)
            context = RunContext(ledger, provider, clock, folder / "home", Recorder())
            if number == 0:
                drive(open_run(write_job(folder), context), context)
                with contextlib.closing(sqlite3.connect(path)) as other:
                    # As another command does from time to time; the log then starts again.
                    other.execute("PRAGMA wal_checkpoint(PASSIVE)")
            elif number == 1:
                drive(open_run(write_job(folder, seed=7), context), context, detach=True)
            else:
                cancel_run(ledger.list_runs()[0], context)
            ledger.close()
    return log, contents


def list_losses(log: WriteLog, contents: list[Content], folder: Path) -> Iterator[str]:
    """Every state of the disk, at any write, that differs from the history so far."""
    disk, rng = Disk(), random.Random(7)
    known: dict[frozenset[tuple[str, bytes]], Content | str] = {}
    for number, change in enumerate(log.changes):
        disk.add(change)
        states = {
            "all": disk.read_all_files(),
            "flushed": disk.read_flushed(),
            "torn": disk.read_torn(rng) | {"ledger.db-shm": rng.randbytes(40_000)},
        }
        for name, files in states.items():
            state = frozenset(files.items())
            content = known[state] if state in known else open_copy(files, folder)
            if name == "flushed":  # it stays the same until the next flush
                known[state] = content
            if content not in contents[change.safe : change.done + 2]:
                reason = content if isinstance(content, str) else "not the history"
                yield f"write {number} ({change.kind} {change.name}), {name}: {reason}"


def open_copy(files: Mapping[str, bytes], folder: Path) -> Content | str:
    """The content of a copy of a ledger; an error message when it cannot be read."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    try:
        return read_all(folder / "ledger.db")
    except (sqlite3.Error, AssertionError) as error:
        return f"{type(error).__name__}: {error}"


@needs_library
def test_a_power_cut_at_any_write_loses_no_completed_change(
    tmp_path: Path,
) -> None:
    log, contents = run_commands(tmp_path / "runs", LoggedLedger)
    assert log.done == len(contents) - 1 > 40
    kinds = {(change.kind, change.name) for change in log.changes}
    assert {("write", "ledger.db"), ("write", "ledger.db-wal"), ("sync", "ledger.db")} <= kinds
    assert list(list_losses(log, contents, tmp_path / "copy")) == []


@needs_library
def test_unflushed_commits_are_detected_as_losses(tmp_path: Path) -> None:
    log, contents = run_commands(tmp_path / "runs", UnflushedLedger)
    losses = list_losses(log, contents, tmp_path / "copy")
    assert any("flushed: not the history" in loss for loss in losses)


def test_a_log_cut_at_any_byte_holds_its_complete_changes(
    tmp_path: Path,
) -> None:
    path = tmp_path / "runs" / "ledger.db"
    log = path.with_name("ledger.db-wal")
    ledger = Ledger(path, FakeClock())
    sizes, contents = [log.stat().st_size], [read_all(path)]
    for _, change in STEPS:
        change(ledger)
        sizes.append(log.stat().st_size)
        contents.append(read_all(path))
    files = {"ledger.db": path.read_bytes(), "ledger.db-wal": log.read_bytes()}
    ledger.close()
    rng = random.Random(7)
    cuts = {size + offset for size in sizes for offset in (-1, 0, 1)}
    cuts |= {rng.randrange(sizes[0], sizes[-1]) for _ in range(100)}
    for cut in sorted(cut for cut in cuts if cut >= sizes[0]):
        cut_files = {**files, "ledger.db-wal": files["ledger.db-wal"][:cut]}
        complete = sum(size <= cut for size in sizes) - 1
        assert open_copy(cut_files, tmp_path / "copy") == contents[complete], cut
