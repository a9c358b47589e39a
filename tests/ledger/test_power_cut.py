"""A power cut at any write: the ledger opens, is sound, and holds every change that had returned.

At most the one change that was under way may be there in addition, and then whole. Only the last
events, and that they were shown, may be missing: never one change without those before it.
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
needs_library = pytest.mark.skipif(LIBRARY is None, reason="Python's SQLite cannot be reached")


class Watched(Ledger):
    """Notes in the log when a commit has returned, and what the file then holds."""

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


class Careless(Watched):
    """A ledger that leaves it to the system when its commits reach the disk."""

    _unflushed = frozenset(get_args(Change))


def live(folder: Path, kind: type[Watched]) -> tuple[WriteLog, list[Content]]:
    """Two runs by three commands; the log, and what the ledger held after each commit."""
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
                    # As another command does from time to time; the log then begins anew.
                    other.execute("PRAGMA wal_checkpoint(PASSIVE)")
            elif number == 1:
                drive(open_run(write_job(folder, seed=7), context), context, detach=True)
            else:
                cancel_run(ledger.list_runs()[0], context)
            ledger.close()
    return log, contents


def find_losses(log: WriteLog, contents: list[Content], folder: Path) -> Iterator[str]:
    """Every state of the disk, at any write, that is not the history up to there."""
    disk, chance = Disk(), random.Random(7)
    known: dict[frozenset[tuple[str, bytes]], Content | str] = {}
    for number, change in enumerate(log.changes):
        disk.take(change)
        states = {
            "all": disk.leave_all(),
            "certain": disk.leave_certain(),
            "torn": disk.leave_torn(chance) | {"ledger.db-shm": chance.randbytes(40_000)},
        }
        for name, files in states.items():
            state = frozenset(files.items())
            found = known[state] if state in known else open_copy(files, folder)
            if name == "certain":  # it stays the same until the next flush
                known[state] = found
            if found not in contents[change.safe : change.done + 2]:
                what = found if isinstance(found, str) else "not the history"
                yield f"write {number} ({change.kind} {change.name}), {name}: {what}"


def open_copy(files: Mapping[str, bytes], folder: Path) -> Content | str:
    """What the copy of a ledger holds; a text when it cannot be read."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    try:
        return read_all(folder / "ledger.db")
    except (sqlite3.Error, AssertionError) as error:
        return f"{type(error).__name__}: {error}"


@needs_library
def test_a_power_cut_at_any_write_of_real_runs_loses_nothing_that_had_returned(
    tmp_path: Path,
) -> None:
    log, contents = live(tmp_path / "life", Watched)
    assert log.done == len(contents) - 1 > 40
    kinds = {(change.kind, change.name) for change in log.changes}
    assert {("write", "ledger.db"), ("write", "ledger.db-wal"), ("sync", "ledger.db")} <= kinds
    assert list(find_losses(log, contents, tmp_path / "copy")) == []


@needs_library
def test_commits_that_are_not_flushed_would_be_found_missing(tmp_path: Path) -> None:
    log, contents = live(tmp_path / "life", Careless)
    losses = find_losses(log, contents, tmp_path / "copy")
    assert any("certain: not the history" in loss for loss in losses)


def test_a_log_that_ends_at_any_byte_holds_the_changes_that_are_whole_in_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "life" / "ledger.db"
    log = path.with_name("ledger.db-wal")
    ledger = Ledger(path, FakeClock())
    sizes, contents = [log.stat().st_size], [read_all(path)]
    for _, change in STEPS:
        change(ledger)
        sizes.append(log.stat().st_size)
        contents.append(read_all(path))
    files = {"ledger.db": path.read_bytes(), "ledger.db-wal": log.read_bytes()}
    ledger.close()
    chance = random.Random(7)
    cuts = {size + near for size in sizes for near in (-1, 0, 1)}
    cuts |= {chance.randrange(sizes[0], sizes[-1]) for _ in range(100)}
    for cut in sorted(cut for cut in cuts if cut >= sizes[0]):
        left = {**files, "ledger.db-wal": files["ledger.db-wal"][:cut]}
        whole = sum(size <= cut for size in sizes) - 1
        assert open_copy(left, tmp_path / "copy") == contents[whole], cut
