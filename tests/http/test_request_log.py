"""The request log: complete lines from several processes, a limited size, and no fatal errors."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ftops.http.request_log import RequestLog, RequestLogEntry, RequestLogReader, get_old_path
from tests.fakes import FakeClock

WRITER = """
import sys
from pathlib import Path
from ftops.http.request_log import RequestLog, RequestLogEntry
from ftops.clock import SystemClock
clock = SystemClock()
log = RequestLog(Path(sys.argv[1]), clock, print, max_bytes=int(sys.argv[3]))
for number in range(300):
    log.record(RequestLogEntry(clock.now(), "GET", "host", f"/{sys.argv[2]}/{number}"))
"""


def make_log(path: Path, messages: list[str], max_bytes: int = 10_000) -> RequestLog:
    return RequestLog(path, FakeClock(), messages.append, max_bytes=max_bytes)


def make_entry(path: str) -> RequestLogEntry:
    return RequestLogEntry(FakeClock().now(), "GET", "host", path)


def write_from_processes(path: Path, max_bytes: int) -> list[str]:
    """Write from four processes at once; return the paths that the reader finds."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(number), str(max_bytes)],
            stdout=subprocess.PIPE,
        )
        for number in range(4)
    ]
    assert [process.communicate(timeout=60)[0] for process in processes] == [b""] * 4
    return [entry.path for entry in RequestLogReader(path).read_new()]


def test_processes_that_write_at_once_lose_and_tear_no_line(tmp_path: Path) -> None:
    paths = write_from_processes(tmp_path / "requests.jsonl", 10_000_000)
    assert sorted(paths) == sorted(
        f"/{process}/{number}" for process in range(4) for number in range(300)
    )
    for process in range(4):
        own = [path for path in paths if path.startswith(f"/{process}/")]
        assert own == [f"/{process}/{number}" for number in range(300)]


def test_a_log_that_grows_keeps_one_old_file_and_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    paths = write_from_processes(path, 20_000)
    kept = [path.read_bytes() if path.exists() else b"", get_old_path(path).read_bytes()]
    # A process that sees an incomplete line starts a new one: that may add a blank line.
    lines = [line for content in kept for line in content.split(b"\n") if line]
    assert len(lines) == len(paths) > 80
    # No process waits for the one that renames, so a log may exceed its limit for a moment.
    assert all(len(content) < 80_000 for content in kept)
    assert {file.name for file in tmp_path.iterdir()} <= {
        *("requests.jsonl", "requests.old.jsonl", "requests.lock")
    }


def test_only_the_owner_can_read_the_log(tmp_path: Path) -> None:
    make_log(tmp_path / "home" / "requests.jsonl", []).record(make_entry("/a"))
    mode = (tmp_path / "home" / "requests.jsonl").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_lines_after_a_truncated_line_are_read(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    log = make_log(path, [])
    log.record(make_entry("/a"))
    with path.open("ab") as stream:
        stream.write(b'{"at": "2026-11-2')
    log.record(make_entry("/b"))
    assert [entry.path for entry in RequestLogReader(path).read_new()] == ["/a", "/b"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_reported_once_and_is_not_fatal() -> None:
    messages: list[str] = []
    log = make_log(Path("/dev/full"), messages)
    for _ in range(3):
        log.record(make_entry("/a"))
    assert messages == [
        "the request log misses requests: /dev/full: cannot write: the disk is full"
    ]


def test_a_read_only_home_is_reported_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    messages: list[str] = []
    log = make_log(tmp_path / "file" / "requests.jsonl", messages)
    for _ in range(3):
        log.record(make_entry("/a"))
    assert len(messages) == 1
    assert "misses requests" in messages[0]


def test_a_reader_gets_each_line_once_while_the_file_rotates(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    log, reader = make_log(path, [], max_bytes=600), RequestLogReader(path)
    assert reader.read_new() == []
    read = []
    for number in range(40):
        log.record(make_entry(f"/{number}"))
        read += [entry.path for entry in reader.read_new()]
    assert get_old_path(path).exists()
    assert read == [f"/{number}" for number in range(40)]


def test_long_values_are_shortened_in_the_log(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    make_log(path, []).record(make_entry("/" + "a" * 100_000))
    assert path.stat().st_size < 1000
    (entry,) = RequestLogReader(path).read_new()
    assert entry == make_entry("/" + "a" * 299)
