"""The request log: whole lines from many processes, a bounded size, and never a reason to stop."""

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


def make_log(path: Path, said: list[str], max_bytes: int = 10_000) -> RequestLog:
    return RequestLog(path, FakeClock(), said.append, max_bytes=max_bytes)


def exchange(path: str) -> RequestLogEntry:
    return RequestLogEntry(FakeClock().now(), "GET", "host", path)


def write_from_processes(path: Path, max_bytes: int) -> list[str]:
    """What four processes that write at once have left, by the reader; all must be well."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(number), str(max_bytes)],
            stdout=subprocess.PIPE,
        )
        for number in range(4)
    ]
    assert [process.communicate(timeout=60)[0] for process in processes] == [b""] * 4
    return [one.path for one in RequestLogReader(path).read_new()]


def test_processes_that_write_at_once_lose_and_tear_no_line(tmp_path: Path) -> None:
    found = write_from_processes(tmp_path / "requests.jsonl", 10_000_000)
    assert sorted(found) == sorted(f"/{who}/{number}" for who in range(4) for number in range(300))
    for who in range(4):
        own = [path for path in found if path.startswith(f"/{who}/")]
        assert own == [f"/{who}/{number}" for number in range(300)]


def test_a_log_that_grows_keeps_one_old_file_and_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    found = write_from_processes(path, 20_000)
    kept = [path.read_bytes() if path.exists() else b"", get_old_path(path).read_bytes()]
    # Who sees a line half way takes it for cut short and begins anew: that may leave a blank line.
    lines = [line for content in kept for line in content.split(b"\n") if line]
    assert len(lines) == len(found) > 80
    # Nobody waits for the one who renames, so a log outgrows its limit by what comes meanwhile.
    assert all(len(content) < 80_000 for content in kept)
    assert {file.name for file in tmp_path.iterdir()} <= {
        *("requests.jsonl", "requests.old.jsonl", "requests.lock")
    }


def test_it_is_for_its_owner_alone(tmp_path: Path) -> None:
    make_log(tmp_path / "home" / "requests.jsonl", []).record(exchange("/a"))
    mode = (tmp_path / "home" / "requests.jsonl").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_a_line_that_a_full_disk_cut_short_spoils_none_after_it(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    log = make_log(path, [])
    log.record(exchange("/a"))
    with path.open("ab") as stream:
        stream.write(b'{"at": "2026-11-2')
    log.record(exchange("/b"))
    assert [one.path for one in RequestLogReader(path).read_new()] == ["/a", "/b"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_told_once_and_ends_nothing() -> None:
    said: list[str] = []
    log = make_log(Path("/dev/full"), said)
    for _ in range(3):
        log.record(exchange("/a"))
    assert said == ["the request log misses requests: /dev/full: cannot write: the disk is full"]


def test_a_home_that_cannot_be_written_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said: list[str] = []
    log = make_log(tmp_path / "file" / "requests.jsonl", said)
    for _ in range(3):
        log.record(exchange("/a"))
    assert len(said) == 1
    assert "misses requests" in said[0]


def test_a_reader_gets_each_line_once_though_the_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    log, reader = make_log(path, [], max_bytes=600), RequestLogReader(path)
    assert reader.read_new() == []
    seen = []
    for number in range(40):
        log.record(exchange(f"/{number}"))
        seen += [one.path for one in reader.read_new()]
    assert get_old_path(path).exists()
    assert seen == [f"/{number}" for number in range(40)]


def test_what_a_server_sends_cannot_make_a_line_long(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    make_log(path, []).record(exchange("/" + "a" * 100_000))
    assert path.stat().st_size < 1000
    (one,) = RequestLogReader(path).read_new()
    assert one == exchange("/" + "a" * 299)
