"""Conversations, and several models side by side."""

from collections.abc import Iterator

import pytest

from tests.cli.answering import AnsweringServer, answering_server
from tests.cli.running import Answer, ftops


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[AnsweringServer]:
    monkeypatch.setenv("CHAT_KEY", "sk-test")
    with answering_server() as opened:
        yield opened


def ask(server: AnsweringServer, *words: str, stdin: str | None = None) -> Answer:
    there = ["--base-url", server.base_url, "--api-key-env", "CHAT_KEY"]
    return ftops(*words, *there, stdin=stdin)


def said(server: AnsweringServer, at: int) -> list[tuple[str, str]]:
    return [(one["role"], one["content"]) for one in server.bodies[at]["messages"]]


def test_a_chat_model_hears_what_was_said_before(server: AnsweringServer) -> None:
    answer = ask(server, "chat", "-m", "gpt-4.1", stdin="hello\n\nwho are you?\n")
    assert (answer.code, answer.out) == (0, "HELLO\nWHO ARE YOU?\n")
    assert said(server, 1) == [
        ("user", "hello"),
        ("assistant", "HELLO"),
        ("user", "who are you?"),
    ]


def test_what_was_said_is_forgotten_and_the_system_message_set_on_demand(
    server: AnsweringServer,
) -> None:
    lines = "one\n/reset\ntwo\n/system Be brief.\nthree\n/nonsense\n/quit\nfour\n"
    answer = ask(server, "chat", "-m", "gpt-4.1", stdin=lines)
    assert answer.out == "ONE\nTWO\nTHREE\n"
    assert said(server, 1) == [("user", "two")]
    assert said(server, 2) == [("system", "Be brief."), ("user", "three")]
    assert "unknown command /nonsense" in answer.err


def test_a_model_that_goes_on_from_a_text_says_that_each_line_stands_alone(
    server: AnsweringServer,
) -> None:
    answer = ask(server, "chat", "-m", "babbage-002", stdin="one\ntwo\n")
    assert "each line is sent alone" in answer.err
    assert [body["prompt"] for body in server.bodies] == ["one", "two"]


def test_several_models_answer_each_line_one_after_the_other(server: AnsweringServer) -> None:
    answer = ask(server, "chat", "-m", "gpt-4.1", "-m", "babbage-002", stdin="one\n")
    assert answer.out == "gpt-4.1:\nONE\n\nbabbage-002:\nONE\n"
    told = ask(server, "chat", "-m", "gpt-4.1", "-m", "babbage-002", "--json", stdin="one\n")
    assert '"text": "ONE"' in told.out


def test_an_error_ends_a_talk_from_a_pipe(server: AnsweringServer) -> None:
    server.refuse = lambda text: (400, {"message": "No."}) if text == "two" else None
    answer = ask(server, "chat", "-m", "gpt-4.1", stdin="one\ntwo\nthree\n")
    assert (answer.code, answer.out) == (1, "ONE\n")
    assert "No." in answer.err


def test_complete_shows_several_models_side_by_side(server: AnsweringServer) -> None:
    words = ["complete", "-m", "gpt-4.1", "-m", "babbage-002", "-p", "one"]
    assert ask(server, *words).out == "gpt-4.1:\nONE\n\nbabbage-002:\nONE\n"
    assert ask(server, *words, "--quiet").out == "ONE\nONE\n"
    assert '"model": "babbage-002"' in ask(server, *words, "--json").out


def test_the_others_still_answer_when_one_of_them_cannot(server: AnsweringServer) -> None:
    server.refuse = lambda text: (400, {"message": "No."}) if text == "two" else None
    words = ["complete", "-m", "gpt-4.1", "-m", "gpt-4.1-mini", "-p"]
    assert ask(server, *words, "one").code == 0
    answer = ask(server, *words, "two")
    assert answer.code == 1
    assert answer.out.count("(request a completion from gpt-4.1") == 2


def test_complete_shows_the_part_of_an_answer_that_was_cut_off(server: AnsweringServer) -> None:
    server.stream_end = ""
    answer = ask(server, "complete", "-m", "gpt-4.1", "-p", "one")
    assert (answer.code, answer.out) == (1, "ONE\n")
    assert "the response was cut off" in answer.err
    cut = ask(server, "complete", "-m", "gpt-4.1", "-p", "one", "--json")
    assert cut.code == 1
    assert cut.document["text"] == "ONE"
    assert "cut off" in str(cut.error["message"])
    both = ask(server, "complete", "-m", "gpt-4.1", "-m", "gpt-5", "-p", "one")
    assert both.code == 1
    assert both.out.count("ONE (request a completion from gpt-") == 2


def test_a_talk_from_a_pipe_ends_after_the_part_of_an_answer_that_was_cut_off(
    server: AnsweringServer,
) -> None:
    server.stream_end = ""
    answer = ask(server, "chat", "-m", "gpt-4.1", stdin="one\ntwo\n")
    assert (answer.code, answer.out) == (1, "ONE\n")
    assert len(server.bodies) == 1
    cut = ask(server, "chat", "-m", "gpt-4.1", "--json", stdin="one\ntwo\n")
    assert '"text": "ONE"' in cut.out
    assert "cut off" in str(cut.error["message"])


def test_parameters_that_a_model_refuses_are_named_once(server: AnsweringServer) -> None:
    server.refused_parameters = ("temperature", "top_p")
    answer = ask(server, "chat", "-m", "gpt-5", stdin="one\ntwo\n")
    assert answer.out == "ONE\nTWO\n"
    assert answer.err.count("gpt-5: top_p and temperature not sent") == 1
    told = ask(server, "complete", "-m", "gpt-5", "-p", "one", "--json")
    assert told.document["refused_parameters"] == {"temperature": None, "top_p": None}
    assert "the model refuses them" in told.err
