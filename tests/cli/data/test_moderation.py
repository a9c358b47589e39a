"""`ftops data check --moderate`: confirmation, requests and cached results."""

import json
from pathlib import Path

import pytest

from ftops.cli.data.check import Progress
from tests.cli.running import CommandResult, ftops, write_rows
from tests.fakes import FakeClock
from tests.providers.scripted_server import Reply, ScriptedServer, scripted_server

KEY = "sk-do-not-tell-anybody-0123456789"


def make_reply(texts: int, harmful: int = 0) -> Reply:
    """A response for `texts` texts, of which the first `harmful` are flagged."""
    results = [
        {"flagged": number < harmful, "categories": {"violence": number < harmful}}
        for number in range(texts)
    ]
    return Reply(body=json.dumps({"results": results}).encode())


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "rows.jsonl", 12)  # 12 prompts and 3 labels: 15 texts


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def run_check(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, *arguments: str | Path
) -> CommandResult:
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    return ftops("data", "check", *arguments, "--moderate")


def test_yes_without_moderate_is_reported_as_ineffective(rows: Path) -> None:
    result = ftops("data", "check", rows, "--yes", "--json")
    assert result.code == 0
    assert "--yes has no effect without --moderate" in result.err


def list_codes(result: CommandResult) -> list[str]:
    (file,) = json.loads(result.out)["files"]
    return [finding["code"] for finding in file["findings"]]


@pytest.mark.usefixtures("key")
def test_flagged_rows_are_warnings_and_a_second_check_sends_nothing(
    rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scripted_server(make_reply(15, harmful=1)) as server:
        first = run_check(server, monkeypatch, rows, "--yes")
        second = run_check(server, monkeypatch, rows, "--yes", "--json")
    assert first.code == 0
    assert "warning flagged-content  1 row: violence 1 (line 1)" in first.out
    assert "15 texts were sent to openai (127.0.0.1:" in first.err
    assert [path for path, _ in server.requests] == ["/v1/moderations"]
    assert "flagged-content" in list_codes(second)
    assert "moderation: 0 texts were sent" in second.err


@pytest.mark.usefixtures("key")
def test_nothing_is_sent_by_default(rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted_server(make_reply(15)) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        ftops("data", "check", rows, "--yes", "--pii")
    assert server.requests == []


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize("mode", ["--quiet", "--json", "--strict"])
def test_without_a_terminal_yes_is_required(
    rows: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    with scripted_server(make_reply(15)) as server:
        result = run_check(server, monkeypatch, rows, mode)
    assert result.code == 1
    output = result.out + result.err
    assert "nothing was sent: not a terminal" in output
    assert "--yes" in output
    assert server.requests == []


def test_a_provider_without_the_endpoint_is_refused(rows: Path) -> None:
    result = ftops("data", "check", rows, "--moderate", "--yes", "--for", "local/ada")
    assert result.code == 1
    assert "'local' has no moderation endpoint" in result.err
    assert "There is one at: openai" in result.err


def test_standard_input_and_a_missing_key_are_known_errors(rows: Path) -> None:
    stdin = ftops("data", "check", "-", "--moderate", "--yes", stdin=rows.read_text())
    assert stdin.code == 1
    assert "this command reads its input more than once" in stdin.err
    keyless = ftops("data", "check", rows, "--moderate", "--yes")
    assert keyless.code == 1
    assert "OPENAI_API_KEY" in keyless.err


@pytest.mark.usefixtures("key")
def test_an_error_keeps_the_results_so_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", 40)  # 43 texts: two requests
    refusal = Reply(401, json.dumps({"error": {"message": f"bad key {KEY}"}}).encode())
    with scripted_server(make_reply(32), refusal, make_reply(11, harmful=1)) as server:
        failed = run_check(server, monkeypatch, rows, "--yes")
        completed = run_check(server, monkeypatch, rows, "--yes", "--json")
    assert failed.code == 1
    assert "32 texts were checked; results are cached" in failed.err
    assert KEY not in failed.err
    assert "moderation: 11 texts were sent" in completed.err
    assert "flagged-content" in list_codes(completed)


def test_the_number_of_sent_texts_is_printed_at_intervals() -> None:
    lines: list[str] = []
    clock = FakeClock()
    progress = Progress(lines.append, clock)
    for batch in range(1, 8):
        clock.advance(2.0)
        progress.sent(32 * batch)
    assert lines == [
        "moderation: 96 texts were sent so far",
        "moderation: 192 texts were sent so far",
    ]
