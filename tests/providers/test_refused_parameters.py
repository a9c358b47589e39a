"""Parameters that a model refuses are dropped or renamed after the refusal, and remembered."""

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


def respond(request: httpx.Request) -> httpx.Response:
    choice = {"message": {"content": "yes"}, "text": "yes", "finish_reason": "stop"}
    return httpx.Response(200, json={"choices": [choice]})


class StrictServer:
    """A server that refuses these parameters, one at a time, each with its own message."""

    def __init__(self, refusals: dict[str, tuple[int, dict[str, Json]]]) -> None:
        self.refusals = refusals
        self.bodies: list[dict[str, Any]] = []
        self.reply: Callable[[httpx.Request], httpx.Response] = respond

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        self.bodies.append(body)
        for name, (status, refusal) in self.refusals.items():
            if name in body:
                return httpx.Response(status, json=refusal)
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
def test_refused_parameters_are_dropped_or_renamed_for_any_model(
    api: respx.MockRouter, provider: Provider, model: str
) -> None:
    server = StrictServer(REASONING)
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


def test_a_refusal_is_remembered_for_its_model_only(
    api: respx.MockRouter, provider: Provider
) -> None:
    server = StrictServer(REASONING)
    api.post("/chat/completions").mock(side_effect=server)
    for _ in range(3):
        provider.complete("picky", [CHAT], Sampling())
    assert len(server.bodies) == 2 + 3
    assert provider.get_refused_parameters("picky") == {
        "max_tokens": "max_completion_tokens",
        "temperature": None,
    }
    assert provider.get_refused_parameters("other") == {}


def test_a_stream_drops_refused_parameters(api: respx.MockRouter, provider: Provider) -> None:
    server = StrictServer(REASONING)
    chunk = {"choices": [{"delta": {"content": "yes"}, "finish_reason": "stop"}]}
    server.reply = lambda _request: httpx.Response(
        200,
        content=f"data: {json.dumps(chunk)}\n\n".encode(),
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
    ("status", "refusal", "dropped"),
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
def test_refusals_of_many_servers_are_understood(
    api: respx.MockRouter,
    provider: Provider,
    status: int,
    refusal: dict[str, Json],
    dropped: set[str],
) -> None:
    server = StrictServer(dict.fromkeys(dropped, (status, refusal)))
    api.post("/chat/completions").mock(side_effect=server)
    (completion,) = provider.complete("m", [CHAT], ALL)
    assert completion.refused_parameters == dict.fromkeys(dropped)
    assert set(server.bodies[0]) - set(server.bodies[-1]) == dropped
    assert len(server.bodies) == 2


def test_of_two_exclusive_parameters_the_unused_one_is_dropped(
    api: respx.MockRouter, provider: Provider
) -> None:
    refusal = error("`temperature` and `top_p` cannot both be specified for this model.")
    server = StrictServer({"top_p": (400, refusal)})
    api.post("/chat/completions").mock(side_effect=server)
    (completion,) = provider.complete("m", [CHAT], Sampling(temperature=0.2))
    assert completion.refused_parameters == {"top_p": None}


@pytest.mark.parametrize(
    "refusal",
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
def test_another_error_is_raised_at_once(
    api: respx.MockRouter, provider: Provider, refusal: dict[str, Json]
) -> None:
    route = api.post("/chat/completions").respond(400, json=refusal)
    with pytest.raises(Rejected):
        provider.complete("m", [CHAT], ALL)
    assert route.call_count == 1
    assert provider.get_refused_parameters("m") == {}


def test_the_maximum_length_is_never_dropped(api: respx.MockRouter, provider: Provider) -> None:
    refusal = error("Unsupported parameter", code="unsupported_parameter", param="max_tokens")
    other = error("Unknown", code="unsupported_parameter", param="max_completion_tokens")
    server = StrictServer({"max_tokens": (400, refusal), "max_completion_tokens": (400, other)})
    api.post("/chat/completions").mock(side_effect=server)
    api.post("/completions").mock(side_effect=server)
    with pytest.raises(Rejected):
        provider.complete("m", [CHAT], Sampling())
    with pytest.raises(Rejected):
        provider.complete("m", ["a text"], Sampling())
    assert len(server.bodies) == 2 + 1  # text completions have no other name for it


def test_a_request_that_still_fails_changes_nothing(
    api: respx.MockRouter, provider: Provider
) -> None:
    refusal = error("Blocked: the text says that temperature is not supported")
    route = api.post("/chat/completions").respond(400, json=refusal)
    with pytest.raises(Rejected, match="Blocked"):
        provider.complete("m", [CHAT], Sampling())
    assert route.call_count == 2
    assert provider.get_refused_parameters("m") == {}


def test_the_precision_is_a_field_of_a_request_only_if_it_is_named(
    api: respx.MockRouter, provider: Provider
) -> None:
    server = StrictServer({})
    api.post("/chat/completions").mock(side_effect=server)
    api.post("/completions").mock(side_effect=server)
    for prompt in (CHAT, "a text"):
        provider.complete("m", [prompt], Sampling())
        provider.complete("m", [prompt], Sampling(precision="fp32"))
    assert [body.get("precision") for body in server.bodies] == [None, "fp32"] * 2
    assert not any("extra_body" in body for body in server.bodies)


def test_threads_share_the_refused_parameters(api: respx.MockRouter, provider: Provider) -> None:
    server = StrictServer(REASONING)
    api.post("/chat/completions").mock(side_effect=server)
    together = threading.Barrier(4)
    texts: list[str] = []

    def complete() -> None:
        together.wait(timeout=10)
        texts.extend(completion.text for completion in provider.complete("m", [CHAT], Sampling()))

    threads = [threading.Thread(target=complete) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == ["yes"] * 4
    before = len(server.bodies)
    provider.complete("m", [CHAT], Sampling())
    assert len(server.bodies) == before + 1


def test_changed_parameters_are_rendered_as_a_sentence() -> None:
    assert render_refused({}) == ""
    assert render_refused({"top_p": None}) == "top_p not sent: the model refuses it"
    refusal = render_refused({"temperature": None, "max_tokens": "length", "top_p": None})
    assert refusal == (
        "temperature and top_p not sent: the model refuses them; max_tokens sent as length"
    )
