"""Parameters that a model refuses: left out or renamed once the refusal says so, and remembered."""

import json
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import respx

from ftops.errors import Rejected
from ftops.providers.provider import Provider
from ftops.records import Chat, Json, Message, Prompt, Sampling, render_refused

CHAT: Prompt = Chat((Message("user", "Is water wet?"),))
ALL = Sampling(max_tokens=7, temperature=0.0, top_p=0.5, stop=("\n",), seed=3, logprobs=2)


def error(message: str, *, code: str | None = None, param: str | None = None) -> dict[str, Json]:
    return {"error": {"message": message, "code": code, "param": param}}


def answer(request: httpx.Request) -> httpx.Response:
    choice = {"message": {"content": "yes"}, "text": "yes", "finish_reason": "stop"}
    return httpx.Response(200, json={"choices": [choice]})


class Picky:
    """A server that refuses these parameters, one at a time, each in its own words."""

    def __init__(self, refusals: dict[str, tuple[int, dict[str, Json]]]) -> None:
        self.refusals = refusals
        self.bodies: list[dict[str, Any]] = []
        self.reply: Callable[[httpx.Request], httpx.Response] = answer

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        self.bodies.append(body)
        for name, (status, said) in self.refusals.items():
            if name in body:
                return httpx.Response(status, json=said)
        return self.reply(request)


REASONING = {
    "max_tokens": (
        400,
        error(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use"
            " 'max_completion_tokens' instead.",
            code="unsupported_parameter",
            param="max_tokens",
        ),
    ),
    "temperature": (
        400,
        error(
            "Unsupported value: 'temperature' does not support 0.0 with this model.",
            code="unsupported_value",
            param="temperature",
        ),
    ),
}


@pytest.mark.parametrize("model", ["gpt-5-mini", "my-own-model", "ft:gpt-4.1:acme::1"])
def test_what_a_model_refuses_is_left_out_or_renamed_whatever_it_is_called(
    api: respx.MockRouter, provider: Provider, model: str
) -> None:
    server = Picky(REASONING)
    api.post("/chat/completions").mock(side_effect=server)
    (completion,) = provider.complete(model, [CHAT], Sampling(max_tokens=7))
    assert completion.text == "yes"
    assert completion.refused_parameters == {
        "max_tokens": "max_completion_tokens",
        "temperature": None,
    }
    last = server.bodies[-1]
    assert last["max_completion_tokens"] == 7
    assert not {"max_tokens", "temperature"} & set(last)


def test_a_refusal_is_remembered_for_the_model_alone(
    api: respx.MockRouter, provider: Provider
) -> None:
    server = Picky(REASONING)
    api.post("/chat/completions").mock(side_effect=server)
    for _ in range(3):
        provider.complete("picky", [CHAT], Sampling())
    assert len(server.bodies) == 2 + 3
    assert provider.get_refused_parameters("picky") == {
        "max_tokens": "max_completion_tokens",
        "temperature": None,
    }
    assert provider.get_refused_parameters("other") == {}


def test_a_stream_leaves_out_what_is_refused(api: respx.MockRouter, provider: Provider) -> None:
    server = Picky(REASONING)
    piece = {"choices": [{"delta": {"content": "yes"}, "finish_reason": "stop"}]}
    server.reply = lambda _request: httpx.Response(
        200,
        content=f"data: {json.dumps(piece)}\n\n".encode(),
        headers={"content-type": "text/event-stream"},
    )
    api.post("/chat/completions").mock(side_effect=server)
    assert "".join(provider.stream("picky", CHAT, Sampling())) == "yes"
    assert len(server.bodies) == 3
    assert set(provider.get_refused_parameters("picky")) == {"max_tokens", "temperature"}


FASTAPI = {
    "detail": [
        {
            "type": "extra_forbidden",
            "loc": ["body", "seed"],
            "msg": "Extra inputs are not permitted",
        }
    ]
}


@pytest.mark.parametrize(
    ("status", "said", "gone"),
    [
        (400, error("`temperature` is deprecated for this model."), {"temperature"}),
        (400, error("Argument not supported on this model: stop"), {"stop"}),
        (422, FASTAPI, {"seed"}),
        (400, error("property 'logprobs' is not supported"), {"logprobs", "top_logprobs"}),
        (400, error("This model does not support logprobs."), {"logprobs", "top_logprobs"}),
        (403, error("You are not allowed to request logprobs."), {"logprobs", "top_logprobs"}),
        (
            400,
            error("unknown field", code="unknown_parameter", param="top_logprobs"),
            {"top_logprobs"},
        ),
        (400, error("Unrecognized request argument supplied: seed"), {"seed"}),
        (
            400,
            error("Input validation error: `temperature` must be strictly positive"),
            {"temperature"},
        ),
        (200, error("top_p is not supported", code="unsupported_parameter"), {"top_p"}),
    ],
)
def test_refusals_are_understood_in_the_words_of_many_servers(
    api: respx.MockRouter, provider: Provider, status: int, said: dict[str, Json], gone: set[str]
) -> None:
    server = Picky(dict.fromkeys(gone, (status, said)))
    api.post("/chat/completions").mock(side_effect=server)
    (completion,) = provider.complete("m", [CHAT], ALL)
    assert completion.refused_parameters == dict.fromkeys(gone)
    assert set(server.bodies[0]) - set(server.bodies[-1]) == gone
    assert len(server.bodies) == 2


def test_of_two_parameters_that_exclude_each_other_the_idle_one_goes(
    api: respx.MockRouter, provider: Provider
) -> None:
    said = error("`temperature` and `top_p` cannot both be specified for this model.")
    server = Picky({"top_p": (400, said)})
    api.post("/chat/completions").mock(side_effect=server)
    (completion,) = provider.complete("m", [CHAT], Sampling(temperature=0.2))
    assert completion.refused_parameters == {"top_p": None}


@pytest.mark.parametrize(
    "said",
    [
        error("max_tokens is too large: 7. This model supports at most 4.", param="max_tokens"),
        error(
            "Invalid 'temperature': above the maximum.",
            code="decimal_above_max_value",
            param="temperature",
        ),
        error("The model `stop` does not exist or cannot be accepted", param="model"),
        error(
            "messages[0].role does not support 'system' at temperature 0", param="messages[0].role"
        ),
        error("I cannot stop to accept this."),
        error("Unsupported parameter: 'tools'", code="unsupported_parameter", param="tools"),
        error("No."),
    ],
)
def test_an_error_about_something_else_is_passed_on_at_once(
    api: respx.MockRouter, provider: Provider, said: dict[str, Json]
) -> None:
    route = api.post("/chat/completions").respond(400, json=said)
    with pytest.raises(Rejected):
        provider.complete("m", [CHAT], ALL)
    assert route.call_count == 1
    assert provider.get_refused_parameters("m") == {}


def test_the_length_of_an_answer_is_never_left_open(
    api: respx.MockRouter, provider: Provider
) -> None:
    refusal = error("Unsupported parameter", code="unsupported_parameter", param="max_tokens")
    other = error("Unknown", code="unsupported_parameter", param="max_completion_tokens")
    server = Picky({"max_tokens": (400, refusal), "max_completion_tokens": (400, other)})
    api.post("/chat/completions").mock(side_effect=server)
    api.post("/completions").mock(side_effect=server)
    with pytest.raises(Rejected):
        provider.complete("m", [CHAT], Sampling())
    with pytest.raises(Rejected):
        provider.complete("m", ["a text"], Sampling())
    assert len(server.bodies) == 2 + 1  # a text has no other name for it


def test_nothing_is_learned_from_a_request_that_fails_all_the_same(
    api: respx.MockRouter, provider: Provider
) -> None:
    said = error("Blocked: the text says that temperature is not supported")
    route = api.post("/chat/completions").respond(400, json=said)
    with pytest.raises(Rejected, match="Blocked"):
        provider.complete("m", [CHAT], Sampling())
    assert route.call_count == 2
    assert provider.get_refused_parameters("m") == {}


def test_many_threads_learn_the_same(api: respx.MockRouter, provider: Provider) -> None:
    server = Picky(REASONING)
    api.post("/chat/completions").mock(side_effect=server)
    together = threading.Barrier(4)
    answers: list[str] = []

    def ask() -> None:
        together.wait(timeout=10)
        answers.extend(one.text for one in provider.complete("m", [CHAT], Sampling()))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == ["yes"] * 4
    before = len(server.bodies)
    provider.complete("m", [CHAT], Sampling())
    assert len(server.bodies) == before + 1


def test_what_was_changed_is_said_in_a_sentence() -> None:
    assert render_refused({}) == ""
    assert render_refused({"top_p": None}) == "top_p not sent: the model refuses it"
    said = render_refused({"temperature": None, "max_tokens": "length", "top_p": None})
    assert said == (
        "temperature and top_p not sent: the model refuses them; max_tokens sent as length"
    )
