"""`ftops logs`: selection and formats of requests, and following."""

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ftops.cli.logs import show_live, tail_entries
from ftops.cli.output import Mode, Output
from ftops.http.request_log import FILENAME, RequestLog, RequestLogEntry, RequestLogReader
from tests.cli.running import ftops
from tests.fakes import FakeClock

AT = datetime(2026, 11, 22, 14, 7, 3, tzinfo=UTC)
ESCAPES = "\x1b]0;owned\x07\nGET /forged 200"


@pytest.fixture
def log(temporary_home: Path) -> RequestLog:
    return RequestLog(temporary_home / FILENAME, FakeClock(), print)


def record(log: RequestLog, path: str, status: int | None = 200, **more: str) -> None:
    entry = RequestLogEntry(AT, "GET", "host", path, status, "req_1", 0.25, run_id="run-x")
    log.record(replace(entry, **more))  # type: ignore[arg-type]


def test_an_empty_log_is_reported_in_every_mode() -> None:
    assert ftops("logs").out == "No requests yet.\n"
    assert ftops("logs", "--json").out == "[]\n"
    assert ftops("logs", "--quiet").out == ""


def test_the_requested_number_of_newest_requests_is_shown_in_order(log: RequestLog) -> None:
    for number in range(5):
        record(log, f"/v1/files/{number}")
    lines = ftops("logs", "--tail", "2").out.splitlines()
    assert [line.split()[3] for line in lines[1:]] == ["/v1/files/3", "/v1/files/4"]
    assert "250" not in lines[0]
    (last,) = json.loads(ftops("logs", "-n", "1", "--json").out)
    assert (last["at"], last["path"], last["status"]) == (1795356423, "/v1/files/4", 200)
    assert ftops("logs", "-n", "1", "-q").out == (
        "2026-11-22T14:07:03Z GET /v1/files/4 200 req_1\n"
    )


def test_requests_of_a_job_that_is_not_in_the_ledger_are_found_by_path(log: RequestLog) -> None:
    record(log, "/v1/fine_tuning/jobs/ftjob-abc/events")
    record(log, "/v1/fine_tuning/jobs/ftjob-abcdef")
    assert len(json.loads(ftops("logs", "ftjob-abc", "--json").out)) == 1
    unknown = ftops("logs", "run-none")
    assert unknown.code == 1
    assert "run-none" in unknown.err


def test_a_request_without_a_response_shows_the_error(log: RequestLog) -> None:
    record(log, "/v1/models", None, error="ConnectError")
    assert "ConnectError" in ftops("logs").out
    assert "/v1/models ConnectError" in ftops("logs", "-q").out


def test_control_characters_of_a_server_are_escaped(log: RequestLog) -> None:
    record(log, f"/v1/models/{ESCAPES}", error=ESCAPES)
    for arguments in (("logs",), ("logs", "-q"), ("logs", "--json")):
        text = ftops(*arguments).out
        assert "\\x1b]0;owned" in text or "\\u001b]0;owned" in text
        assert not set(text) & set("\x1b\x07")
    assert len(ftops("logs", "-q").out.splitlines()) == 1


@pytest.mark.parametrize("mode", list(Mode))
def test_following_shows_the_last_requests_and_new_ones(
    log: RequestLog, temporary_home: Path, mode: Mode
) -> None:
    record(log, "/old")
    record(log, "/last")
    out = Output(mode, stdout=io.StringIO(), stderr=io.StringIO())
    reader = RequestLogReader(temporary_home / FILENAME)

    def batches() -> Iterator[list[RequestLogEntry]]:
        entries = tail_entries(reader, lambda _entry: True, FakeClock(), 1)
        for number in range(3):
            yield next(entries)
            record(log, f"/new/{number}")
        yield next(entries)

    show_live(out, batches())
    assert isinstance(out.stdout, io.StringIO)
    lines = out.stdout.getvalue().splitlines()
    paths = [json.loads(line)["path"] if mode is Mode.JSON else line.split()[2] for line in lines]
    assert paths == ["/last", "/new/0", "/new/1", "/new/2"]
