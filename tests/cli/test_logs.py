"""`ftops logs`: which requests it shows, in which form, and how it goes on."""

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
EVIL = "\x1b]0;owned\x07\nGET /forged 200"


@pytest.fixture
def log(temporary_home: Path) -> RequestLog:
    return RequestLog(temporary_home / FILENAME, FakeClock(), print)


def record(log: RequestLog, path: str, status: int | None = 200, **more: str) -> None:
    entry = RequestLogEntry(AT, "GET", "host", path, status, "req_1", 0.25, run_id="run-x")
    log.record(replace(entry, **more))  # type: ignore[arg-type]


def test_an_empty_log_says_so_in_every_form() -> None:
    assert ftops("logs").out == "No requests yet.\n"
    assert ftops("logs", "--json").out == "[]\n"
    assert ftops("logs", "--quiet").out == ""


def test_the_newest_come_last_and_no_more_than_asked_for(log: RequestLog) -> None:
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


def test_a_job_is_known_by_its_path_even_if_the_ledger_never_met_it(log: RequestLog) -> None:
    record(log, "/v1/fine_tuning/jobs/ftjob-abc/events")
    record(log, "/v1/fine_tuning/jobs/ftjob-abcdef")
    assert len(json.loads(ftops("logs", "ftjob-abc", "--json").out)) == 1
    unknown = ftops("logs", "run-none")
    assert unknown.code == 1
    assert "run-none" in unknown.err


def test_a_request_without_an_answer_says_why(log: RequestLog) -> None:
    record(log, "/v1/models", None, error="ConnectError")
    assert "ConnectError" in ftops("logs").out
    assert "/v1/models ConnectError" in ftops("logs", "-q").out


def test_nothing_that_a_server_sent_steers_the_terminal(log: RequestLog) -> None:
    record(log, f"/v1/models/{EVIL}", error=EVIL)
    for arguments in (("logs",), ("logs", "-q"), ("logs", "--json")):
        text = ftops(*arguments).out
        assert "\\x1b]0;owned" in text or "\\u001b]0;owned" in text
        assert not set(text) & set("\x1b\x07")
    assert len(ftops("logs", "-q").out.splitlines()) == 1


@pytest.mark.parametrize("mode", list(Mode))
def test_following_shows_the_last_ones_and_each_that_comes(
    log: RequestLog, temporary_home: Path, mode: Mode
) -> None:
    record(log, "/old")
    record(log, "/last")
    out = Output(mode, stdout=io.StringIO(), stderr=io.StringIO())
    reader = RequestLogReader(temporary_home / FILENAME)

    def batches() -> Iterator[list[RequestLogEntry]]:
        live = tail_entries(reader, lambda _one: True, FakeClock(), 1)
        for number in range(3):
            yield next(live)
            record(log, f"/new/{number}")
        yield next(live)

    show_live(out, batches())
    assert isinstance(out.stdout, io.StringIO)
    lines = out.stdout.getvalue().splitlines()
    paths = [json.loads(line)["path"] if mode is Mode.JSON else line.split()[2] for line in lines]
    assert paths == ["/last", "/new/0", "/new/1", "/new/2"]
