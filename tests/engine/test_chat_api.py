"""`/v1/chat/completions` through the real SDK."""

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from tests.engine.conftest import Trained

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hello"}]


def test_a_chat_gets_an_answer_with_usage(trained: Trained) -> None:
    answer = trained.running.sdk.chat.completions.create(
        model=trained.chat_model, messages=HELLO, temperature=0, n=2
    )
    assert answer.id.startswith("chatcmpl-")
    assert answer.object == "chat.completion"
    assert [choice.message.content for choice in answer.choices] == ["good day"] * 2
    assert answer.choices[1].message.role == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 16


def test_content_may_come_in_parts(trained: Trained) -> None:
    answer = trained.running.sdk.chat.completions.create(
        model=trained.chat_model,
        messages=[
            {
                "role": "user",
                "content": [{"type": "text", "text": "he"}, {"type": "text", "text": "llo"}],
            }
        ],
    )
    assert answer.choices[0].message.content == "good day"


def test_both_names_of_the_length_limit_work(trained: Trained) -> None:
    create = trained.running.sdk.chat.completions.create
    old = create(model=trained.chat_model, messages=HELLO, max_tokens=4).choices[0]
    new = create(model=trained.chat_model, messages=HELLO, max_completion_tokens=4).choices[0]
    assert old.message.content == new.message.content == "good"
    assert old.finish_reason == new.finish_reason == "length"


def test_a_stream_opens_with_the_role_and_ends_with_the_reason_and_usage(
    trained: Trained,
) -> None:
    chunks = list(
        trained.running.sdk.chat.completions.create(
            model=trained.chat_model,
            messages=HELLO,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert chunks[0].object == "chat.completion.chunk"
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(c.delta.content or "" for chunk in chunks for c in chunk.choices)
    assert text == "good day"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 8


def test_logprobs_stand_beside_each_token(trained: Trained) -> None:
    choice = trained.running.sdk.chat.completions.create(
        model=trained.chat_model, messages=HELLO, logprobs=True, top_logprobs=1
    ).choices[0]
    assert choice.logprobs is not None
    assert choice.logprobs.content is not None
    first = choice.logprobs.content[0]
    assert (first.token, first.logprob, first.bytes) == ("g", -0.5, [103])
    assert first.top_logprobs[0].token == "g"


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"tools": [{"type": "function"}]}, "tools.0.function"),
        ({"tools": [{"type": "function", "function": {"name": "add"}}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"store": True}, "store"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"reasoning_effort": "high"}, "reasoning_effort"),
        ({"messages": [{"role": "user", "content": "x" * 60}]}, "messages"),
    ],
)
def test_what_cannot_be_honoured_is_refused(
    trained: Trained, change: dict[str, object], param: str
) -> None:
    body = {"model": trained.chat_model, "messages": HELLO, **change}
    answer = trained.running.http.post("/v1/chat/completions", json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == param


def test_harmless_fields_are_taken(trained: Trained) -> None:
    body = {
        "model": trained.chat_model,
        "messages": HELLO,
        "response_format": {"type": "text"},
        "store": False,
        "tool_choice": "none",
        "tools": [],
        "user": "me",
        "metadata": {"a": "b"},
    }
    assert trained.running.http.post("/v1/chat/completions", json=body).status_code == 200


def test_a_completion_model_is_asked_elsewhere(trained: Trained) -> None:
    with pytest.raises(openai.BadRequestError, match="use /v1/completions"):
        trained.running.sdk.chat.completions.create(model=trained.completion_model, messages=HELLO)
