"""`ftops data check --moderate`: who is asked, what leaves, and what is kept."""

import json
from pathlib import Path

import pytest

from ftops.cli.data.check import Progress
from tests.cli.running import Answer, ftops, write_rows
from tests.fakes import FakeClock
from tests.providers.scripted_server import Reply, ScriptedServer, scripted_server

KEY = "sk-do-not-tell-anybody-0123456789"


def reply(texts: int, harmful: int = 0) -> Reply:
    """Verdicts on so many texts, of which the first ones are harmful."""
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


def moderate(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, *arguments: str | Path
) -> Answer:
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    return ftops("data", "check", *arguments, "--moderate")


def test_yes_without_moderate_is_said_to_do_nothing(rows: Path) -> None:
    answer = ftops("data", "check", rows, "--yes", "--json")
    assert answer.code == 0
    assert "--yes has no effect without --moderate" in answer.err


def codes(answer: Answer) -> list[str]:
    (file,) = json.loads(answer.out)["files"]
    return [found["code"] for found in file["findings"]]


@pytest.mark.usefixtures("key")
def test_flagged_rows_are_warnings_and_a_second_check_sends_nothing(
    rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scripted_server(reply(15, harmful=1)) as server:
        first = moderate(server, monkeypatch, rows, "--yes")
        again = moderate(server, monkeypatch, rows, "--yes", "--json")
    assert first.code == 0
    assert "warning flagged-content  1 row: violence 1 (line 1)" in first.out
    assert "15 texts were sent to openai (127.0.0.1:" in first.err
    assert [path for path, _ in server.requests] == ["/v1/moderations"]
    assert "flagged-content" in codes(again)
    assert "moderation: 0 texts were sent" in again.err


@pytest.mark.usefixtures("key")
def test_nothing_leaves_unless_it_is_asked_for(rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted_server(reply(15)) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        ftops("data", "check", rows, "--yes", "--pii")
    assert server.requests == []


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize("mode", ["--quiet", "--json", "--strict"])
def test_who_cannot_be_asked_must_have_said_yes(
    rows: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    with scripted_server(reply(15)) as server:
        answer = moderate(server, monkeypatch, rows, mode)
    assert answer.code == 1
    said = answer.out + answer.err
    assert "nothing was sent: not a terminal" in said
    assert "--yes" in said
    assert server.requests == []


def test_a_provider_without_the_endpoint_is_refused(rows: Path) -> None:
    answer = ftops("data", "check", rows, "--moderate", "--yes", "--for", "local/ada")
    assert answer.code == 1
    assert "'local' has no moderation endpoint" in answer.err
    assert "There is one at: openai" in answer.err


def test_standard_input_and_a_missing_key_are_known_errors(rows: Path) -> None:
    stdin = ftops("data", "check", "-", "--moderate", "--yes", stdin=rows.read_text())
    assert stdin.code == 1
    assert "this command reads its input more than once" in stdin.err
    keyless = ftops("data", "check", rows, "--moderate", "--yes")
    assert keyless.code == 1
    assert "OPENAI_API_KEY" in keyless.err


@pytest.mark.usefixtures("key")
def test_a_refusal_in_the_middle_keeps_what_was_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", 40)  # 43 texts: two requests
    refusal = Reply(401, json.dumps({"error": {"message": f"bad key {KEY}"}}).encode())
    with scripted_server(reply(32), refusal, reply(11, harmful=1)) as server:
        broken = moderate(server, monkeypatch, rows, "--yes")
        whole = moderate(server, monkeypatch, rows, "--yes", "--json")
    assert broken.code == 1
    assert "32 texts were checked; results are cached" in broken.err
    assert KEY not in broken.err
    assert "moderation: 11 texts were sent" in whole.err
    assert "flagged-content" in codes(whole)


def test_how_many_were_sent_is_said_from_time_to_time() -> None:
    said: list[str] = []
    clock = FakeClock()
    progress = Progress(said.append, clock)
    for batch in range(1, 8):
        clock.advance(2.0)
        progress.sent(32 * batch)
    assert said == [
        "moderation: 96 texts were sent so far",
        "moderation: 192 texts were sent so far",
    ]
