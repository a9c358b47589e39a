"""Models and their answers: listed, deleted, asked, streamed."""

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
    """Answers each text with itself in capitals, the last one first."""
    prompts = sent(request)["prompt"]
    choices = [
        {"index": at, "text": prompt.upper(), "finish_reason": "stop"}
        for at, prompt in enumerate(prompts)
    ]
    usage = {"prompt_tokens": 3, "completion_tokens": 1}
    return httpx.Response(200, json={"choices": choices[::-1], "usage": usage})


def stream_of(*pieces: Json, end: bytes = b"data: [DONE]\n\n") -> httpx.Response:
    lines = b"".join(b"data: " + json.dumps(piece).encode() + b"\n\n" for piece in pieces)
    return httpx.Response(
        200, content=lines + end, headers={"content-type": "text/event-stream; charset=utf-8"}
    )


def test_models_are_listed_from_one_answer(api: respx.MockRouter, provider: Provider) -> None:
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


def test_a_model_that_is_not_there_yet_is_not_found(
    api: respx.MockRouter, provider: Provider
) -> None:
    error = {"error": {"message": "does not exist", "code": "model_not_found"}}
    api.route(url__startswith=f"{BASE_URL}/models/").respond(404, json=error)
    with pytest.raises(NotFound) as caught:
        provider.get_model("ft:gpt-4.1:acme:news:1")
    assert caught.value.code == "model_not_found"


def test_deleting_sends_the_colons_of_the_name_as_they_are(
    api: respx.MockRouter, provider: Provider
) -> None:
    name = "ft:gpt-4.1:acme::1:ckpt-step-90"
    route = api.delete(url__startswith=f"{BASE_URL}/models/")
    route.respond(json={"id": name, "deleted": True})
    provider.delete_model(name)
    assert route.calls[0].request.url.raw_path == b"/v1/models/" + name.encode()


@pytest.mark.parametrize("allowed", [True, False])
def test_who_may_delete_a_model_is_for_the_provider_to_say(
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
    assert [call.request.method for call in api.calls] == ["DELETE"]  # nothing was asked before


def test_texts_go_out_in_batches_and_come_back_in_order(
    api: respx.MockRouter, provider: Provider
) -> None:
    route = api.post("/completions").mock(side_effect=echo_texts)
    prompts = [f"prompt {number}" for number in range(70)]
    answers = provider.complete("babbage-002", prompts, Sampling(stop=("\n",), seed=7))
    assert [answer.text for answer in answers] == [prompt.upper() for prompt in prompts]
    assert [len(sent(call.request)["prompt"]) for call in route.calls] == [64, 6]
    body = sent(route.calls[0].request)
    assert (body["model"], body["stop"], body["seed"]) == ("babbage-002", ["\n"], 7)
    assert (body["max_tokens"], body["temperature"]) == (64, 0.0)


def test_one_text_is_answered_with_its_token_counts(
    api: respx.MockRouter, provider: Provider
) -> None:
    api.post("/completions").mock(side_effect=echo_texts)
    assert provider.complete("m", ["a"], GREEDY) == [Completion("A", "stop", 3, 1)]
    assert provider.complete("m", [], GREEDY) == []


def test_texts_that_share_a_request_share_its_tokens_and_its_time(
    api: respx.MockRouter, provider: Provider, clock: FakeClock
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        clock.advance(1.5)
        choices = [{"index": at, "text": "x" * at} for at in range(len(sent(request)["prompt"]))]
        usage = {"prompt_tokens": 100, "completion_tokens": 7}
        return httpx.Response(200, json={"choices": choices, "usage": usage})

    api.post("/completions").mock(side_effect=answer)
    answers = provider.complete("m", ["a", "b" * 50, "c" * 7], GREEDY)
    assert [(one.seconds, one.shared) for one in answers] == [(1.5, 3)] * 3
    assert sum(one.prompt_tokens or 0 for one in answers) == 100
    assert sum(one.completion_tokens or 0 for one in answers) == 7
    assert (answers[1].prompt_tokens or 0) > (answers[2].prompt_tokens or 0)


def test_the_time_of_an_answer_is_without_the_attempts_before_it(
    api: respx.MockRouter, provider: Provider, clock: FakeClock
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        clock.advance(2.0)
        if api.calls.call_count < 2:
            return httpx.Response(503, json={"error": {"message": "Busy."}})
        return echo_texts(request)

    api.post("/completions").mock(side_effect=answer)
    (one,) = provider.complete("m", ["a"], GREEDY)
    assert (one.seconds, one.shared) == (2.0, 1)


def test_the_first_token_of_a_text_is_told_with_its_chances(
    api: respx.MockRouter, provider: Provider
) -> None:
    logprobs = {
        "tokens": [" yes", " sir"],
        "token_logprobs": [-0.5, -1.0],
        "top_logprobs": [{" yes": -0.5, " no": -1.2, " bad": None}, {" sir": -1.0}],
    }
    choice = {"index": 0, "text": " yes sir", "logprobs": logprobs}
    route = api.post("/completions").respond(json={"choices": [choice]})
    (one,) = provider.complete("m", ["a"], Sampling(logprobs=3))
    assert one.first_token == {" yes": -0.5, " no": -1.2}
    assert sent(route.calls[0].request)["logprobs"] == 3


def test_the_first_token_of_a_chat_is_told_with_its_chances(
    api: respx.MockRouter, provider: Provider
) -> None:
    tops = [{"token": "no", "logprob": -1.2, "bytes": None}, {"token": "odd"}, 7]
    first = {"token": "yes", "logprob": -0.5, "top_logprobs": tops}
    choice = {"message": {"content": "yes"}, "logprobs": {"content": [first, first]}}
    route = api.post("/chat/completions").respond(json={"choices": [choice]})
    (one,) = provider.complete("m", [chat_of(1)], Sampling(logprobs=2))
    assert one.first_token == {"yes": -0.5, "no": -1.2}
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
def test_chances_that_are_nonsense_are_no_reason_to_lose_an_answer(
    api: respx.MockRouter, provider: Provider, logprobs: Json
) -> None:
    choice: Json = {"index": 0, "text": "A", "logprobs": logprobs}
    api.post("/completions").respond(json={"choices": [choice]})
    (one,) = provider.complete("m", ["a"], Sampling(logprobs=1))
    assert (one.text, one.first_token) == ("A", {})


def test_nothing_is_asked_about_chances_by_itself(
    api: respx.MockRouter, provider: Provider
) -> None:
    route = api.post("/completions").mock(side_effect=echo_texts)
    provider.complete("m", ["a"], GREEDY)
    assert "logprobs" not in sent(route.calls[0].request)


def test_a_model_that_declines_and_a_filter_that_cuts_can_be_told(
    api: respx.MockRouter, provider: Provider
) -> None:
    declined = {"message": {"content": None, "refusal": "I cannot."}, "finish_reason": "stop"}
    cut = {"message": {"content": "Well"}, "finish_reason": "content_filter"}
    for choice, wanted in (
        (declined, Completion("", "stop", refusal="I cannot.")),
        (cut, Completion("Well", "content_filter")),
    ):
        api.post("/chat/completions").respond(json={"choices": [choice]})
        assert provider.complete("m", [chat_of(1)], GREEDY) == [wanted]


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
    (completion,) = provider.complete("m", [chat_of(1)], GREEDY)
    assert completion.tool_calls == (ToolCall("light", "{}"),)


def test_a_stream_in_which_a_model_declines_says_so(
    api: respx.MockRouter, provider: Provider
) -> None:
    pieces: list[Json] = [
        {"choices": [{"delta": {"content": None, "refusal": text}}]} for text in ("I ", "cannot.")
    ]
    api.post("/chat/completions").mock(return_value=stream_of(*pieces))
    assert "".join(provider.stream("gpt-4.1", chat_of(1), GREEDY)) == "I cannot."


def test_too_few_answers_are_a_bad_answer(api: respx.MockRouter, provider: Provider) -> None:
    api.post("/completions").respond(json={"choices": [{"index": 0, "text": "A"}]})
    with pytest.raises(InvalidResponse, match="1 completions for 2 prompts"):
        provider.complete("m", ["a", "b"], GREEDY)
    api.post("/chat/completions").respond(json={"choices": []})
    with pytest.raises(InvalidResponse, match="no choices"):
        provider.complete("m", [Chat((Message("user", "a"),))], GREEDY)


def chat_of(number: int) -> Chat:
    return Chat((Message("system", "Be brief."), Message("user", f"question {number}")))


def test_chats_are_asked_a_few_at_a_time_and_keep_their_order(
    api: respx.MockRouter, provider: Provider
) -> None:
    lock, busy, most = threading.Lock(), 0, 0
    full = threading.Barrier(MAX_CONCURRENT_CHATS)

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        full.wait(timeout=10)  # goes on only once so many are under way at the same time
        with lock:
            busy -= 1
        content = sent(request)["messages"][-1]["content"].replace("question", "answer")
        choice = {"index": 0, "message": {"content": content}, "finish_reason": "length"}
        usage = {"prompt_tokens": 9, "completion_tokens": 4}
        return httpx.Response(200, json={"choices": [choice], "usage": usage})

    api.post("/chat/completions").mock(side_effect=answer)
    count = 3 * MAX_CONCURRENT_CHATS
    answers = provider.complete("gpt-4.1", [chat_of(number) for number in range(count)], GREEDY)
    assert answers == [Completion(f"answer {number}", "length", 9, 4) for number in range(count)]
    assert most == MAX_CONCURRENT_CHATS


def test_one_chat_that_fails_ends_the_whole_question(
    api: respx.MockRouter, provider: Provider
) -> None:
    route = api.post("/chat/completions").respond(
        429, json={"error": {"message": "no credit", "code": "insufficient_quota"}}
    )
    with pytest.raises(RateLimited, match="no credit"):
        provider.complete("gpt-4.1", [chat_of(number) for number in range(200)], GREEDY)
    assert route.call_count < 200


def test_texts_and_chats_may_be_mixed(api: respx.MockRouter, provider: Provider) -> None:
    api.post("/completions").mock(side_effect=echo_texts)
    api.post("/chat/completions").respond(
        json={"choices": [{"message": {"content": None, "tool_calls": []}}]}
    )
    answers = provider.complete("m", ["a", chat_of(1), "b"], GREEDY)
    assert [answer.text for answer in answers] == ["A", "", "B"]


def test_a_text_is_streamed_piece_by_piece(api: respx.MockRouter, provider: Provider) -> None:
    route = api.post("/completions").mock(
        return_value=stream_of(
            {"choices": [{"index": 0, "text": "Be"}]},
            {"choices": []},
            {"choices": [{"index": 0, "text": "hind", "finish_reason": "stop"}]},
        )
    )
    assert list(provider.stream("m", "Where?", GREEDY)) == ["Be", "hind"]
    assert sent(route.calls[0].request)["stream"] is True


def test_a_chat_is_streamed_piece_by_piece(api: respx.MockRouter, provider: Provider) -> None:
    api.post("/chat/completions").mock(
        return_value=stream_of(
            {"choices": [{"index": 0, "delta": {"role": "assistant"}}]},
            {"choices": [{"index": 0, "delta": {"content": "Behind the "}}]},
            {"choices": [{"index": 0, "delta": {"content": "sofa."}, "finish_reason": "stop"}]},
        )
    )
    assert "".join(provider.stream("m", chat_of(1), GREEDY)) == "Behind the sofa."


def test_the_beginning_of_a_stream_is_repeated(api: respx.MockRouter, provider: Provider) -> None:
    api.post("/completions").mock(
        side_effect=[httpx.Response(503), stream_of({"choices": [{"text": "yes"}]})]
    )
    assert "".join(provider.stream("m", "?", GREEDY)) == "yes"


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (stream_of(end=b'data: {"choices": [{"te\n\n'), InvalidResponse),
        (stream_of({"error": {"message": "overloaded", "type": "server_error"}}), Unavailable),
        (stream_of({"error": {"message": "slow", "code": "rate_limit_exceeded"}}), RateLimited),
        (httpx.Response(200, html="<html>hello</html>"), InvalidResponse),
        (httpx.Response(200, json={"choices": [{"text": "yes"}]}), InvalidResponse),
    ],
)
def test_trouble_inside_a_stream_is_an_error(
    api: respx.MockRouter, provider: Provider, response: httpx.Response, kind: type[Exception]
) -> None:
    api.post("/completions").mock(return_value=response)
    with pytest.raises(kind):
        list(provider.stream("m", "?", GREEDY))


WHOLE: Json = {"choices": [{"text": "yes", "delta": {"content": "yes"}, "finish_reason": "stop"}]}
PART: Json = {"choices": [{"text": "ye", "delta": {"content": "ye"}, "finish_reason": None}]}


@pytest.mark.parametrize("prompt", ["?", Chat((Message("user", "?"),))])
@pytest.mark.parametrize("end", [b"", b'data: {"choices": [{"te', b": ping\n\n", b"data: {}\n\n"])
def test_a_stream_without_an_end_is_an_error_after_the_part_that_came(
    api: respx.MockRouter, provider: Provider, prompt: Prompt, end: bytes
) -> None:
    api.route(method="POST").mock(return_value=stream_of(PART, end=end))
    pieces = provider.stream("m", prompt, GREEDY)
    assert next(pieces) == "ye"
    with pytest.raises(InvalidResponse, match="cut off") as caught:
        list(pieces)
    assert "base_url" not in caught.value.hint


@pytest.mark.parametrize("prompt", ["?", Chat((Message("user", "?"),))])
def test_a_stream_is_whole_with_a_finish_reason_or_with_its_mark(
    api: respx.MockRouter, provider: Provider, prompt: Prompt
) -> None:
    api.route(method="POST").mock(return_value=stream_of(WHOLE, end=b""))
    assert "".join(provider.stream("m", prompt, GREEDY)) == "yes"
    api.route(method="POST").mock(return_value=stream_of(PART))
    assert "".join(provider.stream("m", prompt, GREEDY)) == "ye"


def test_a_stream_that_fails_before_its_first_text_is_asked_for_again(
    api: respx.MockRouter, provider: Provider
) -> None:
    limit: Json = {"error": {"message": "Slow down.", "code": 429}}
    role: Json = {"choices": [{"delta": {"role": "assistant", "content": ""}}]}
    api.post("/chat/completions").mock(
        side_effect=[
            stream_of(role, limit),
            httpx.Response(200, json=limit),
            stream_of(role, WHOLE),
        ]
    )
    assert "".join(provider.stream("m", chat_of(1), GREEDY)) == "yes"


def test_a_stream_that_fails_after_its_first_text_is_not_begun_anew(
    api: respx.MockRouter, provider: Provider
) -> None:
    route = api.post("/completions").mock(
        return_value=stream_of(PART, {"error": {"message": "Busy.", "type": "server_error"}})
    )
    pieces = provider.stream("m", "?", GREEDY)
    assert next(pieces) == "ye"
    with pytest.raises(Unavailable, match="Busy"):
        next(pieces)
    assert route.call_count == 1


@pytest.mark.parametrize("reason", ["error", "network_error", "abort"])
def test_an_answer_that_the_server_broke_off_is_none(
    api: respx.MockRouter, provider: Provider, reason: str
) -> None:
    choice: Json = {"text": "ye", "finish_reason": reason}
    api.post("/completions").respond(json={"choices": [choice]})
    with pytest.raises(Unavailable, match="ended the response with an error"):
        provider.complete("m", ["?"], GREEDY)
    api.post("/completions").mock(return_value=stream_of({"choices": [choice]}))
    pieces = provider.stream("m", "?", GREEDY)
    assert next(pieces) == "ye"
    with pytest.raises(Unavailable, match="ended the response with an error"):
        next(pieces)


def test_a_whole_answer_may_lack_a_finish_reason_but_not_deny_it(
    api: respx.MockRouter, provider: Provider
) -> None:
    api.post("/completions").respond(json={"choices": [{"text": "yes"}]})
    assert provider.complete("m", ["?"], GREEDY)[0].text == "yes"
    api.post("/completions").respond(json={"choices": [{"text": "ye", "finish_reason": None}]})
    with pytest.raises(InvalidResponse, match="cut off"):
        provider.complete("m", ["?"], GREEDY)


def test_a_stream_without_any_answer_is_an_error(api: respx.MockRouter, provider: Provider) -> None:
    api.post("/completions").mock(return_value=stream_of({"choices": []}))
    with pytest.raises(InvalidResponse, match="holds no completion"):
        list(provider.stream("m", "?", GREEDY))
