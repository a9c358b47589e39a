"""`ftops chat`, and `ftops complete` with several models."""

from collections.abc import Iterator

import pytest

from tests.cli.completion_server import CompletionServer, serve_completions
from tests.cli.running import CommandResult, ftops


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[CompletionServer]:
    monkeypatch.setenv("CHAT_KEY", "sk-test")
    with serve_completions() as server:
        yield server


def run_command(server: CompletionServer, *words: str, stdin: str | None = None) -> CommandResult:
    options = ["--base-url", server.base_url, "--api-key-env", "CHAT_KEY"]
    return ftops(*words, *options, stdin=stdin)


def list_messages(server: CompletionServer, index: int) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in server.bodies[index]["messages"]]


def test_a_chat_model_gets_the_previous_messages(server: CompletionServer) -> None:
    result = run_command(server, "chat", "-m", "gpt-4.1", stdin="hello\n\nwho are you?\n")
    assert (result.code, result.out) == (0, "HELLO\nWHO ARE YOU?\n")
    assert list_messages(server, 1) == [
        ("user", "hello"),
        ("assistant", "HELLO"),
        ("user", "who are you?"),
    ]


def test_reset_clears_the_messages_and_system_sets_the_system_message(
    server: CompletionServer,
) -> None:
    lines = "one\n/reset\ntwo\n/system Be brief.\nthree\n/nonsense\n/quit\nfour\n"
    result = run_command(server, "chat", "-m", "gpt-4.1", stdin=lines)
    assert result.out == "ONE\nTWO\nTHREE\n"
    assert list_messages(server, 1) == [("user", "two")]
    assert list_messages(server, 2) == [("system", "Be brief."), ("user", "three")]
    assert "unknown command /nonsense" in result.err


def test_a_completion_model_gets_each_line_alone(
    server: CompletionServer,
) -> None:
    result = run_command(server, "chat", "-m", "babbage-002", stdin="one\ntwo\n")
    assert "each line is sent alone" in result.err
    assert [body["prompt"] for body in server.bodies] == ["one", "two"]


def test_several_models_answer_each_line_in_order(server: CompletionServer) -> None:
    result = run_command(server, "chat", "-m", "gpt-4.1", "-m", "babbage-002", stdin="one\n")
    assert result.out == "gpt-4.1:\nONE\n\nbabbage-002:\nONE\n"
    as_json = run_command(
        server, "chat", "-m", "gpt-4.1", "-m", "babbage-002", "--json", stdin="one\n"
    )
    assert '"text": "ONE"' in as_json.out


def test_an_error_ends_a_chat_from_a_pipe(server: CompletionServer) -> None:
    server.refuse = lambda text: (400, {"message": "No."}) if text == "two" else None
    result = run_command(server, "chat", "-m", "gpt-4.1", stdin="one\ntwo\nthree\n")
    assert (result.code, result.out) == (1, "ONE\n")
    assert "No." in result.err


def test_complete_shows_several_models_side_by_side(server: CompletionServer) -> None:
    words = ["complete", "-m", "gpt-4.1", "-m", "babbage-002", "-p", "one"]
    assert run_command(server, *words).out == "gpt-4.1:\nONE\n\nbabbage-002:\nONE\n"
    assert run_command(server, *words, "--quiet").out == "ONE\nONE\n"
    assert '"model": "babbage-002"' in run_command(server, *words, "--json").out


def test_all_models_are_requested_if_one_fails(server: CompletionServer) -> None:
    server.refuse = lambda text: (400, {"message": "No."}) if text == "two" else None
    words = ["complete", "-m", "gpt-4.1", "-m", "gpt-4.1-mini", "-p"]
    assert run_command(server, *words, "one").code == 0
    result = run_command(server, *words, "two")
    assert result.code == 1
    assert result.out.count("(request a completion from gpt-4.1") == 2


def test_complete_shows_a_truncated_response(server: CompletionServer) -> None:
    server.stream_end = ""
    result = run_command(server, "complete", "-m", "gpt-4.1", "-p", "one")
    assert (result.code, result.out) == (1, "ONE\n")
    assert "the response was cut off" in result.err
    as_json = run_command(server, "complete", "-m", "gpt-4.1", "-p", "one", "--json")
    assert as_json.code == 1
    assert as_json.document["text"] == "ONE"
    assert "cut off" in str(as_json.error["message"])
    both = run_command(server, "complete", "-m", "gpt-4.1", "-m", "gpt-5", "-p", "one")
    assert both.code == 1
    assert both.out.count("ONE (request a completion from gpt-") == 2


def test_a_chat_from_a_pipe_ends_after_a_truncated_response(
    server: CompletionServer,
) -> None:
    server.stream_end = ""
    result = run_command(server, "chat", "-m", "gpt-4.1", stdin="one\ntwo\n")
    assert (result.code, result.out) == (1, "ONE\n")
    assert len(server.bodies) == 1
    as_json = run_command(server, "chat", "-m", "gpt-4.1", "--json", stdin="one\ntwo\n")
    assert '"text": "ONE"' in as_json.out
    assert "cut off" in str(as_json.error["message"])


def test_refused_parameters_are_reported_once(server: CompletionServer) -> None:
    server.refused_parameters = ("temperature", "top_p")
    result = run_command(server, "chat", "-m", "gpt-5", stdin="one\ntwo\n")
    assert result.out == "ONE\nTWO\n"
    assert result.err.count("gpt-5: top_p and temperature not sent") == 1
    as_json = run_command(server, "complete", "-m", "gpt-5", "-p", "one", "--json")
    assert as_json.document["refused_parameters"] == {"temperature": None, "top_p": None}
    assert "the model refuses them" in as_json.err
