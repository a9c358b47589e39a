"""`ftops doctor`: checks, their JSON, and fixes that need a confirmation."""

import http.server
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ftops.clock import SystemClock
from ftops.http.probe import find_clock_skew_s
from ftops.providers.engine_process import stop_engine
from tests.cli.running import ftops, write_job


@pytest.fixture
def home(temporary_home: Path) -> Path:
    temporary_home.mkdir(mode=0o700)
    return temporary_home


def list_checks(out: str) -> list[tuple[str, str]]:
    """Each check with its status, from the JSON output."""
    return [(check["check"], check["status"]) for check in json.loads(out)]


@pytest.fixture
def server() -> Iterator[str]:
    """A server that refuses every request, with a `Date` header."""

    class RefusingHandler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(401)
            self.end_headers()

        do_GET = do_HEAD

        def log_message(self, format: str, *args: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), RefusingHandler) as http_server:
        thread = threading.Thread(target=http_server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http_server.server_port}/v1"
        http_server.shutdown()
        thread.join()


def test_a_fresh_home_is_healthy_and_no_engine_is_started(home: Path) -> None:
    result = ftops("doctor")
    assert (result.code, result.err) == (0, "")
    assert result.out.endswith("Healthy.\n")
    assert "– engine" in result.out
    assert not (home / "engine").exists()


def test_a_missing_home_is_reported_and_not_created(temporary_home: Path) -> None:
    result = ftops("doctor", "-q")
    assert result.code == 1
    assert result.out == f"home: {temporary_home}: the home does not exist\n"
    assert not temporary_home.exists()


def test_nothing_changes_without_fix_and_yes_makes_only_safe_changes(home: Path) -> None:
    folder = home / "runs" / "run-unknown"
    folder.mkdir(parents=True)
    (folder / "results.csv").write_text("step\n")
    (home / "engine").mkdir()
    stale = home / "engine" / "address.json"
    stale.write_text("{}")
    assert ftops("doctor").code == 1
    assert stale.exists()
    result = ftops("doctor", "--fix", "--yes", "--json")
    assert result.code == 1
    assert not stale.exists()
    assert (folder / "results.csv").exists()
    assert f"not a terminal: cannot confirm; unchanged: {folder}" in result.err
    statuses = {check["check"]: check["status"] for check in json.loads(result.out)}
    assert statuses == {"home": "ok", "ledger": "ok", "engine": "fixed", "runs": "problem"}


def test_a_damaged_ledger_is_reported(home: Path) -> None:
    (home / "ledger.db").write_bytes(b"no database at all" * 1000)
    result = ftops("doctor")
    assert result.code == 1
    assert "✗ ledger" in result.out
    assert "next:" in result.out


def test_the_clock_is_compared_with_the_date_of_a_response(server: str) -> None:
    ahead = SystemClock().now() + timedelta(hours=1)
    skew_s = find_clock_skew_s(server, lambda: ahead)
    assert skew_s is not None
    assert 3500 < skew_s < 3700
    assert find_clock_skew_s("http://127.0.0.1:1/v1", lambda: datetime.now(UTC)) is None


def test_a_provider_without_runs_is_checked_on_request(
    home: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_KEY", "never-mind")
    result = ftops(
        "doctor", "--provider", "openai", "--base-url", server, "--api-key-env", "SOME_KEY",
        "--json",
    )  # fmt: skip
    assert result.code == 1
    assert list_checks(result.out)[-2:] == [("clock", "ok"), ("key", "problem")]
    assert ("ledger", "ok") in list_checks(result.out)


def test_a_provider_is_checked_without_a_home(
    temporary_home: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "never-mind")
    result = ftops("doctor", "--base-url", server, "--json")
    assert list_checks(result.out)[0] == ("home", "problem")
    assert ("key", "problem") in list_checks(result.out)


def test_the_provider_of_a_job_file_is_checked(home: Path, tmp_path: Path) -> None:
    job = write_job(tmp_path, provider="openai", model="gpt-4o-mini")
    result = ftops("doctor", job, "--json")
    (key_check,) = [check for check in json.loads(result.out) if check["check"] == "key"]
    assert key_check["status"] == "problem"
    assert "OPENAI_API_KEY" in key_check["what"] + key_check["next"]


def test_a_live_check_asks_before_it_sends_anything(home: Path) -> None:
    result = ftops("doctor", "--provider", "local", "--live", "ada", "--json")
    assert result.code == 1
    assert "This trains ada at local on 20 short rows" in str(result.error["message"])
    assert "--yes" in str(result.error["hint"])
    assert list(home.iterdir()) == []


def test_a_live_check_needs_a_provider(home: Path) -> None:
    result = ftops("doctor", "--live", "ada")
    assert result.code == 2
    assert "--live needs --provider or a job file" in result.err


def test_a_live_check_trains_and_leaves_nothing(home: Path) -> None:
    try:
        result = ftops("doctor", "--provider", "local", "--live", "ada", "--yes", "--json")
        assert ftops("runs", "-q").out == ""
        assert ftops("files", "list", "-q").out == ""
    finally:
        stop_engine(home / "engine")
    checks = list_checks(result.out)
    assert result.code == 0, result.out
    for name in ("upload", "create", "follow", "results", "evaluate", "identity", "events", "cost"):
        assert (name, "ok") in checks
    assert checks.count(("clean-up", "ok")) == 4  # two files, the results file and the model
