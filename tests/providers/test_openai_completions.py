"""Models and completions: listed, deleted, completed, streamed."""

import json
import threading
from typing import Any

import httpx
import pytest
import respx

from ftops.errors import InvalidResponse, NotFound, PermissionRefused, RateLimited, Unavailable
from ftops.providers.openai_completions import MAX_CONCURRENT_CHATS
from ftops.providers.provider import Provider
from ftops.records import Chat, Completion, Json, Message, Prompt, Sampling, ToolCall
from tests.fakes import FakeClock
from tests.providers.conftest import BASE_URL

GREEDY = Sampling(max_tokens=4)


def sent(request: httpx.Request) -> Any:
    return json.loads(request.content)


def echo_texts(request: httpx.Request) -> httpx.Response:
    """Complete each text with itself in upper case, the last completion first."""
    prompts = sent(request)["prompt"]
    choices = [
        {"index": index, "text": prompt.upper(), "finish_reason": "stop"}
        for index, prompt in enumerate(prompts)
    ]
    usage = {"prompt_tokens": 3, "completion_tokens": 1}
    return httpx.Response(200, json={"choices": choices[::-1], "usage": usage})


def make_stream(*chunks: Json, end: bytes = b"data: [DONE]\n\n") -> httpx.Response:
    lines = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)
    return httpx.Response(
        200, content=lines + end, headers={"content-type": "text/event-stream; charset=utf-8"}
    )


def test_models_are_listed_from_one_response(api: respx.MockRouter, provider: Provider) -> None:
    route = api.get("/models").respond(
        json={
            "object": "list",
            "data": [
                {"id": "gpt-4.1", "created": 1, "owned_by": "system"},
                {"id": "ft:gpt-4.1:acme:news:1", "created": 2, "owned_by": "acme"},
            ],
        }
    )
    models = list(provider.list_models())
    assert [model.fine_tuned for model in models] == [False, True]
    assert route.call_count == 1


def test_a_missing_model_is_not_found(api: respx.MockRouter, provider: Provider) -> None:
    error = {"error": {"message": "does not exist", "code": "model_not_found"}}
    api.route(url__startswith=f"{BASE_URL}/models/").respond(404, json=error)
    with pytest.raises(NotFound) as caught:
        provider.get_model("ft:gpt-4.1:acme:news:1")
    assert caught.value.code == "model_not_found"


def test_deleting_sends_the_colons_of_the_name_unchanged(
    api: respx.MockRouter, provider: Provider
) -> None:
    name = "ft:gpt-4.1:acme::1:ckpt-step-90"
    route = api.delete(url__startswith=f"{BASE_URL}/models/")
    route.respond(json={"id": name, "deleted": True})
    provider.delete_model(name)
    assert route.calls[0].request.url.raw_path == b"/v1/models/" + name.encode()


@pytest.mark.parametrize("allowed", [True, False])
def test_the_provider_decides_who_may_delete_a_model(
    api: respx.MockRouter, provider: Provider, allowed: bool
) -> None:
    refusal = httpx.Response(403, json={"error": {"message": "Owners only."}})
    deleted = httpx.Response(200, json={"id": "ft:x", "deleted": True})
    route = api.delete(url__startswith=f"{BASE_URL}/models/")
    route.return_value = deleted if allowed else refusal
    if allowed:
        provider.delete_model("ft:gpt-4.1:somebody-else::x")
    else:
        with pytest.raises(PermissionRefused, match=r"Owners only\."):
            provider.delete_model("ft:gpt-4.1:somebody-else::x")
    assert [call.request.method for call in api.calls] == ["DELETE"]  # no other request was sent


def test_texts_are_sent_in_batches_and_keep_their_order(
    api: respx.MockRouter, provider: Provider
) -> None:
    route = api.post("/completions").mock(side_effect=echo_texts)
    prompts = [f"prompt {number}" for number in range(70)]
    completions = provider.complete("babbage-002", prompts, Sampling(stop=("\n",), seed=7))
    assert [completion.text for completion in completions] == [prompt.upper() for prompt in prompts]
    assert [len(sent(call.request)["prompt"]) for call in route.calls] == [64, 6]
    body = sent(route.calls[0].request)
    assert (body["model"], body["stop"], body["seed"]) == ("babbage-002", ["\n"], 7)
    assert (body["max_tokens"], body["temperature"]) == (64, 0.0)


def test_a_completion_has_its_token_counts(api: respx.MockRouter, provider: Provider) -> None:
    api.post("/completions").mock(side_effect=echo_texts)
    assert provider.complete("m", ["a"], GREEDY) == [Completion("A", "stop", 3, 1)]
    assert provider.complete("m", [], GREEDY) == []


def test_texts_that_share_a_request_share_its_tokens_and_its_time(
    api: respx.MockRouter, provider: Provider, clock: FakeClock
) -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        clock.advance(1.5)
        choices = [
            {"index": index, "text": "x" * index} for index in range(len(sent(request)["prompt"]))
        ]
        usage = {"prompt_tokens": 100, "completion_tokens": 7}
        return httpx.Response(200, json={"choices": choices, "usage": usage})

    api.post("/completions").mock(side_effect=respond)
    completions = provider.complete("m", ["a", "b" * 50, "c" * 7], GREEDY)
    assert [(item.seconds, item.shared) for item in completions] == [(1.5, 3)] * 3
    assert sum(item.prompt_tokens or 0 for item in completions) == 100
    assert sum(item.completion_tokens or 0 for item in completions) == 7
    assert (completions[1].prompt_tokens or 0) > (completions[2].prompt_tokens or 0)


def test_the_duration_of_a_completion_excludes_failed_attempts(
    api: respx.MockRouter, provider: Provider, clock: FakeClock
) -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        clock.advance(2.0)
        if api.calls.call_count < 2:
            return httpx.Response(503, json={"error": {"message": "Busy."}})
        return echo_texts(request)

    api.post("/completions").mock(side_effect=respond)
    (completion,) = provider.complete("m", ["a"], GREEDY)
    assert (completion.seconds, completion.shared) == (2.0, 1)


def test_the_first_token_of_a_text_has_log_probabilities(
    api: respx.MockRouter, provider: Provider
) -> None:
    logprobs = {
        "tokens": [" yes", " sir"],
        "token_logprobs": [-0.5, -1.0],
        "top_logprobs": [{" yes": -0.5, " no": -1.2, " bad": None}, {" sir": -1.0}],
    }
    choice = {"index": 0, "text": " yes sir", "logprobs": logprobs}
    route = api.post("/completions").respond(json={"choices": [choice]})
    (completion,) = provider.complete("m", ["a"], Sampling(logprobs=3))
    assert completion.first_token == {" yes": -0.5, " no": -1.2}
    assert sent(route.calls[0].request)["logprobs"] == 3


def test_the_first_token_of_a_chat_has_log_probabilities(
    api: respx.MockRouter, provider: Provider
) -> None:
    tops = [{"token": "no", "logprob": -1.2, "bytes": None}, {"token": "odd"}, 7]
    first = {"token": "yes", "logprob": -0.5, "top_logprobs": tops}
    choice = {"message": {"content": "yes"}, "logprobs": {"content": [first, first]}}
    route = api.post("/chat/completions").respond(json={"choices": [choice]})
    (completion,) = provider.complete("m", [make_chat(1)], Sampling(logprobs=2))
    assert completion.first_token == {"yes": -0.5, "no": -1.2}
    body = sent(route.calls[0].request)
    assert (body["logprobs"], body["top_logprobs"]) == (True, 2)


@pytest.mark.parametrize(
    "logprobs",
    [
        None,
        7,
        {},
        {"content": []},
        {"content": [5]},
        {"content": [{"token": 3, "top_logprobs": {}}]},
        {"tokens": [], "token_logprobs": None, "top_logprobs": [[]]},
        {"tokens": ["a"], "token_logprobs": [True]},
    ],
)
def test_invalid_log_probabilities_do_not_lose_a_completion(
    api: respx.MockRouter, provider: Provider, logprobs: Json
) -> None:
    choice: Json = {"index": 0, "text": "A", "logprobs": logprobs}
    api.post("/completions").respond(json={"choices": [choice]})
    (completion,) = provider.complete("m", ["a"], Sampling(logprobs=1))
    assert (completion.text, completion.first_token) == ("A", {})


def test_log_probabilities_are_not_requested_by_default(
    api: respx.MockRouter, provider: Provider
) -> None:
    route = api.post("/completions").mock(side_effect=echo_texts)
    provider.complete("m", ["a"], GREEDY)
    assert "logprobs" not in sent(route.calls[0].request)


def test_refusals_and_content_filters_are_recognized(
    api: respx.MockRouter, provider: Provider
) -> None:
    declined = {"message": {"content": None, "refusal": "I cannot."}, "finish_reason": "stop"}
    cut = {"message": {"content": "Well"}, "finish_reason": "content_filter"}
    for choice, expected in (
        (declined, Completion("", "stop", refusal="I cannot.")),
        (cut, Completion("Well", "content_filter")),
    ):
        api.post("/chat/completions").respond(json={"choices": [choice]})
        assert provider.complete("m", [make_chat(1)], GREEDY) == [expected]


def test_a_chat_is_sent_with_its_tools_and_the_calls_of_the_response_are_read(
    api: respx.MockRouter, provider: Provider
) -> None:
    tools = [{"type": "function", "function": {"name": "light", "parameters": {}}}]
    earlier = {"id": "c1", "type": "function", "function": {"name": "light", "arguments": "{}"}}
    chat = Chat(
        (
            Message("user", "Light!"),
            Message("assistant", "", {"tool_calls": [earlier]}),
            Message("tool", "done", {"tool_call_id": "c1"}),
        ),
        {"tools": tools, "parallel_tool_calls": False},
    )
    calls = [
        {"id": "a", "type": "function", "function": {"name": "light", "arguments": '{"on": tru'}},
        {"id": "b", "type": "function", "function": {"name": "light", "arguments": {"on": True}}},
    ]
    choice = {"message": {"content": None, "tool_calls": calls}, "finish_reason": "tool_calls"}
    route = api.post("/chat/completions").respond(json={"choices": [choice]})
    (completion,) = provider.complete("m", [chat], GREEDY)
    assert (completion.text, completion.finish_reason) == ("", "tool_calls")
    assert completion.tool_calls == (
        ToolCall("light", '{"on": tru'),
        ToolCall("light", '{"on":true}'),
    )
    body = sent(route.calls[0].request)
    assert body["messages"] == [message.to_json() for message in chat.messages]
    assert (body["tools"], body["parallel_tool_calls"]) == (tools, False)


def test_a_function_call_of_a_legacy_model_is_a_tool_call(
    api: respx.MockRouter, provider: Provider
) -> None:
    message = {"function_call": {"name": "light", "arguments": "{}"}}
    api.post("/chat/completions").respond(json={"choices": [{"message": message}]})
    (completion,) = provider.complete("m", [make_chat(1)], GREEDY)
    assert completion.tool_calls == (ToolCall("light", "{}"),)


def test_a_refusal_in_a_stream_is_reported(api: respx.MockRouter, provider: Provider) -> None:
    chunks: list[Json] = [
        {"choices": [{"delta": {"content": None, "refusal": text}}]} for text in ("I ", "cannot.")
    ]
    api.post("/chat/completions").mock(return_value=make_stream(*chunks))
    assert "".join(provider.stream("gpt-4.1", make_chat(1), GREEDY)) == "I cannot."


def test_too_few_completions_are_an_invalid_response(
    api: respx.MockRouter, provider: Provider
) -> None:
    api.post("/completions").respond(json={"choices": [{"index": 0, "text": "A"}]})
    with pytest.raises(InvalidResponse, match="1 completions for 2 prompts"):
        provider.complete("m", ["a", "b"], GREEDY)
    api.post("/chat/completions").respond(json={"choices": []})
    with pytest.raises(InvalidResponse, match="no choices"):
        provider.complete("m", [Chat((Message("user", "a"),))], GREEDY)


def make_chat(number: int) -> Chat:
    return Chat((Message("system", "Be brief."), Message("user", f"question {number}")))


def test_chats_are_sent_concurrently_and_keep_their_order(
    api: respx.MockRouter, provider: Provider
) -> None:
    lock, busy, most = threading.Lock(), 0, 0
    barrier = threading.Barrier(MAX_CONCURRENT_CHATS)

    def respond(request: httpx.Request) -> httpx.Response:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        barrier.wait(timeout=10)  # continues when that many requests are in flight
        with lock:
            busy -= 1
        content = sent(request)["messages"][-1]["content"].replace("question", "answer")
        choice = {"index": 0, "message": {"content": content}, "finish_reason": "length"}
        usage = {"prompt_tokens": 9, "completion_tokens": 4}
        return httpx.Response(200, json={"choices": [choice], "usage": usage})

    api.post("/chat/completions").mock(side_effect=respond)
    count = 3 * MAX_CONCURRENT_CHATS
    completions = provider.complete(
        "gpt-4.1", [make_chat(number) for number in range(count)], GREEDY
    )
    assert completions == [
        Completion(f"answer {number}", "length", 9, 4) for number in range(count)
    ]
    assert most == MAX_CONCURRENT_CHATS


def test_a_failing_chat_ends_the_batch(api: respx.MockRouter, provider: Provider) -> None:
    route = api.post("/chat/completions").respond(
        429, json={"error": {"message": "no credit", "code": "insufficient_quota"}}
    )
    with pytest.raises(RateLimited, match="no credit"):
        provider.complete("gpt-4.1", [make_chat(number) for number in range(200)], GREEDY)
    assert route.call_count < 200


def test_texts_and_chats_can_be_mixed(api: respx.MockRouter, provider: Provider) -> None:
    api.post("/completions").mock(side_effect=echo_texts)
    api.post("/chat/completions").respond(
        json={"choices": [{"message": {"content": None, "tool_calls": []}}]}
    )
    completions = provider.complete("m", ["a", make_chat(1), "b"], GREEDY)
    assert [completion.text for completion in completions] == ["A", "", "B"]


def test_a_text_is_streamed_in_chunks(api: respx.MockRouter, provider: Provider) -> None:
    route = api.post("/completions").mock(
        return_value=make_stream(
            {"choices": [{"index": 0, "text": "Be"}]},
            {"choices": []},
            {"choices": [{"index": 0, "text": "hind", "finish_reason": "stop"}]},
        )
    )
    assert list(provider.stream("m", "Where?", GREEDY)) == ["Be", "hind"]
    assert sent(route.calls[0].request)["stream"] is True


def test_a_chat_is_streamed_in_chunks(api: respx.MockRouter, provider: Provider) -> None:
    api.post("/chat/completions").mock(
        return_value=make_stream(
            {"choices": [{"index": 0, "delta": {"role": "assistant"}}]},
            {"choices": [{"index": 0, "delta": {"content": "Behind the "}}]},
            {"choices": [{"index": 0, "delta": {"content": "sofa."}, "finish_reason": "stop"}]},
        )
    )
    assert "".join(provider.stream("m", make_chat(1), GREEDY)) == "Behind the sofa."


def test_the_start_of_a_stream_is_retried(api: respx.MockRouter, provider: Provider) -> None:
    api.post("/completions").mock(
        side_effect=[httpx.Response(503), make_stream({"choices": [{"text": "yes"}]})]
    )
    assert "".join(provider.stream("m", "?", GREEDY)) == "yes"


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (make_stream(end=b'data: {"choices": [{"te\n\n'), InvalidResponse),
        (make_stream({"error": {"message": "overloaded", "type": "server_error"}}), Unavailable),
        (make_stream({"error": {"message": "slow", "code": "rate_limit_exceeded"}}), RateLimited),
        (httpx.Response(200, html="<html>hello</html>"), InvalidResponse),
        (httpx.Response(200, json={"choices": [{"text": "yes"}]}), InvalidResponse),
    ],
)
def test_an_error_inside_a_stream_is_raised(
    api: respx.MockRouter, provider: Provider, response: httpx.Response, kind: type[Exception]
) -> None:
    api.post("/completions").mock(return_value=response)
    with pytest.raises(kind):
        list(provider.stream("m", "?", GREEDY))


WHOLE: Json = {"choices": [{"text": "yes", "delta": {"content": "yes"}, "finish_reason": "stop"}]}
PART: Json = {"choices": [{"text": "ye", "delta": {"content": "ye"}, "finish_reason": None}]}


@pytest.mark.parametrize("prompt", ["?", Chat((Message("user", "?"),))])
@pytest.mark.parametrize("end", [b"", b'data: {"choices": [{"te', b": ping\n\n", b"data: {}\n\n"])
def test_a_stream_without_an_end_is_an_error_after_its_text(
    api: respx.MockRouter, provider: Provider, prompt: Prompt, end: bytes
) -> None:
    api.route(method="POST").mock(return_value=make_stream(PART, end=end))
    chunks = provider.stream("m", prompt, GREEDY)
    assert next(chunks) == "ye"
    with pytest.raises(InvalidResponse, match="cut off") as caught:
        list(chunks)
    assert "base_url" not in caught.value.hint


@pytest.mark.parametrize("prompt", ["?", Chat((Message("user", "?"),))])
def test_a_stream_is_complete_with_a_finish_reason_or_an_end_mark(
    api: respx.MockRouter, provider: Provider, prompt: Prompt
) -> None:
    api.route(method="POST").mock(return_value=make_stream(WHOLE, end=b""))
    assert "".join(provider.stream("m", prompt, GREEDY)) == "yes"
    api.route(method="POST").mock(return_value=make_stream(PART))
    assert "".join(provider.stream("m", prompt, GREEDY)) == "ye"


def test_a_stream_that_fails_before_its_first_text_is_retried(
    api: respx.MockRouter, provider: Provider
) -> None:
    limit: Json = {"error": {"message": "Slow down.", "code": 429}}
    role: Json = {"choices": [{"delta": {"role": "assistant", "content": ""}}]}
    api.post("/chat/completions").mock(
        side_effect=[
            make_stream(role, limit),
            httpx.Response(200, json=limit),
            make_stream(role, WHOLE),
        ]
    )
    assert "".join(provider.stream("m", make_chat(1), GREEDY)) == "yes"


def test_a_stream_that_fails_after_its_first_text_is_not_retried(
    api: respx.MockRouter, provider: Provider
) -> None:
    route = api.post("/completions").mock(
        return_value=make_stream(PART, {"error": {"message": "Busy.", "type": "server_error"}})
    )
    chunks = provider.stream("m", "?", GREEDY)
    assert next(chunks) == "ye"
    with pytest.raises(Unavailable, match="Busy"):
        next(chunks)
    assert route.call_count == 1


@pytest.mark.parametrize("reason", ["error", "network_error", "abort"])
def test_a_stream_that_the_server_ends_early_is_an_error(
    api: respx.MockRouter, provider: Provider, reason: str
) -> None:
    choice: Json = {"text": "ye", "finish_reason": reason}
    api.post("/completions").respond(json={"choices": [choice]})
    with pytest.raises(Unavailable, match="ended the response with an error"):
        provider.complete("m", ["?"], GREEDY)
    api.post("/completions").mock(return_value=make_stream({"choices": [choice]}))
    chunks = provider.stream("m", "?", GREEDY)
    assert next(chunks) == "ye"
    with pytest.raises(Unavailable, match="ended the response with an error"):
        next(chunks)


def test_a_completion_can_omit_its_finish_reason_but_not_set_it_to_null(
    api: respx.MockRouter, provider: Provider
) -> None:
    api.post("/completions").respond(json={"choices": [{"text": "yes"}]})
    assert provider.complete("m", ["?"], GREEDY)[0].text == "yes"
    api.post("/completions").respond(json={"choices": [{"text": "ye", "finish_reason": None}]})
    with pytest.raises(InvalidResponse, match="cut off"):
        provider.complete("m", ["?"], GREEDY)


def test_a_stream_without_any_text_is_an_error(api: respx.MockRouter, provider: Provider) -> None:
    api.post("/completions").mock(return_value=make_stream({"choices": []}))
    with pytest.raises(InvalidResponse, match="holds no completion"):
        list(provider.stream("m", "?", GREEDY))
