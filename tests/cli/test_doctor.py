"""`ftops doctor`: findings for people and programs, and a hand that asks before it takes."""

import http.server
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ftops.clock import SystemClock
from ftops.http.probe import find_clock_skew_s
from tests.cli.running import ftops, write_job


@pytest.fixture
def home(temporary_home: Path) -> Path:
    temporary_home.mkdir(mode=0o700)
    return temporary_home


def list_checks(out: str) -> list[tuple[str, str]]:
    """Each check with its grade, in the JSON document of an answer."""
    return [(one["check"], one["status"]) for one in json.loads(out)]


@pytest.fixture
def server() -> Iterator[str]:
    """Somebody who refuses everything, with a date."""

    class Refusing(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(401)
            self.end_headers()

        do_GET = do_HEAD

        def log_message(self, format: str, *args: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}/v1"
        listening.shutdown()
        thread.join()


def test_a_fresh_home_is_healthy_and_no_engine_is_started(home: Path) -> None:
    answer = ftops("doctor")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.endswith("Healthy.\n")
    assert "– engine" in answer.out
    assert not (home / "engine").exists()


def test_a_home_that_is_missing_is_a_finding_and_is_not_made(temporary_home: Path) -> None:
    answer = ftops("doctor", "-q")
    assert answer.code == 1
    assert answer.out == f"home: {temporary_home}: the home does not exist\n"
    assert not temporary_home.exists()


def test_without_fix_nothing_changes_and_with_yes_only_what_is_safe(home: Path) -> None:
    full = home / "runs" / "run-unknown"
    full.mkdir(parents=True)
    (full / "results.csv").write_text("step\n")
    (home / "engine").mkdir()
    stale = home / "engine" / "address.json"
    stale.write_text("{}")
    assert ftops("doctor").code == 1
    assert stale.exists()
    answer = ftops("doctor", "--fix", "--yes", "--json")
    assert answer.code == 1
    assert not stale.exists()
    assert (full / "results.csv").exists()
    assert f"not a terminal: cannot confirm; unchanged: {full}" in answer.err
    grades = {one["check"]: one["status"] for one in json.loads(answer.out)}
    assert grades == {"home": "ok", "ledger": "ok", "engine": "fixed", "runs": "problem"}


def test_a_damaged_ledger_is_a_finding_and_no_crash(home: Path) -> None:
    (home / "ledger.db").write_bytes(b"no database at all" * 1000)
    answer = ftops("doctor")
    assert answer.code == 1
    assert "✗ ledger" in answer.out
    assert "next:" in answer.out


def test_the_clock_is_compared_with_the_date_of_any_answer(server: str) -> None:
    ahead = SystemClock().now() + timedelta(hours=1)
    skew_s = find_clock_skew_s(server, lambda: ahead)
    assert skew_s is not None
    assert 3500 < skew_s < 3700
    assert find_clock_skew_s("http://127.0.0.1:1/v1", lambda: datetime.now(UTC)) is None


def test_a_provider_that_no_run_has_used_is_looked_at_when_it_is_named(
    home: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_KEY", "never-mind")
    answer = ftops(
        "doctor", "--provider", "openai", "--base-url", server, "--api-key-env", "SOME_KEY",
        "--json",
    )  # fmt: skip
    assert answer.code == 1
    assert list_checks(answer.out)[-2:] == [("clock", "ok"), ("key", "problem")]
    assert ("ledger", "ok") in list_checks(answer.out)


def test_a_provider_is_looked_at_though_there_is_no_home_yet(
    temporary_home: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "never-mind")
    answer = ftops("doctor", "--base-url", server, "--json")
    assert list_checks(answer.out)[0] == ("home", "problem")
    assert ("key", "problem") in list_checks(answer.out)


def test_a_job_file_names_the_provider_to_look_at(home: Path, tmp_path: Path) -> None:
    job = write_job(tmp_path, provider="openai", model="gpt-4o-mini")
    answer = ftops("doctor", job, "--json")
    (found,) = [one for one in json.loads(answer.out) if one["check"] == "key"]
    assert found["status"] == "problem"
    assert "OPENAI_API_KEY" in found["what"] + found["next"]
