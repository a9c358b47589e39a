"""`/v1/completions` through the real SDK."""

from typing import Any

import openai
import pytest

from tests.engine.conftest import Trained


def test_one_prompt_gets_one_answer_with_usage(trained: Trained) -> None:
    answer = trained.running.sdk.completions.create(
        model=trained.completion_model, prompt="cat ->", max_tokens=5, temperature=0
    )
    assert answer.id.startswith("cmpl-")
    assert (answer.object, answer.model) == ("text_completion", trained.completion_model)
    (choice,) = answer.choices
    assert (choice.text, choice.finish_reason, choice.logprobs) == (" c", "stop", None)
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (6, 2)
    assert answer.usage.total_tokens == 8


def test_several_prompts_are_answered_n_times_each_in_their_order(trained: Trained) -> None:
    answer = trained.running.sdk.completions.create(
        model=trained.completion_model, prompt=["cat ->", "dog ->"], n=2
    )
    assert [(choice.index, choice.text) for choice in answer.choices] == [
        (0, " c"),
        (1, " c"),
        (2, " d"),
        (3, " d"),
    ]
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 12  # each prompt is counted once


def test_length_and_stop_end_an_answer(trained: Trained) -> None:
    create = trained.running.sdk.completions.create
    model = trained.completion_model
    short = create(model=model, prompt="cat ->", max_tokens=1).choices[0]
    assert (short.text, short.finish_reason) == (" ", "length")
    stopped = create(model=model, prompt="cat ->", stop="c").choices[0]
    assert (stopped.text, stopped.finish_reason) == (" ", "stop")
    assert create(model=model, prompt="cat ->", stop=["x", " "]).choices[0].text == ""


def test_an_echo_has_the_prompt_in_front_and_counts_offsets_from_there(trained: Trained) -> None:
    choice = trained.running.sdk.completions.create(
        model=trained.completion_model, prompt="cat ->", echo=True, logprobs=1
    ).choices[0]
    assert choice.text == "cat -> c"
    assert choice.logprobs is not None
    assert choice.logprobs.tokens == ["cat ->", " ", "c"]
    assert choice.logprobs.token_logprobs == [None, -0.5, -0.5]
    assert choice.logprobs.text_offset == [0, 6, 7]


def test_a_stream_sends_the_same_text_in_pieces_and_the_usage_at_its_end(
    trained: Trained,
) -> None:
    chunks = list(
        trained.running.sdk.completions.create(
            model=trained.completion_model,
            prompt=["cat ->", "dog ->"],
            stream=True,
            stream_options={"include_usage": True},
            logprobs=0,
            echo=True,
        )
    )
    texts = ["", ""]
    reasons = []
    for chunk in chunks[:-1]:
        (choice,) = chunk.choices
        texts[choice.index] += choice.text
        reasons += [choice.finish_reason] if choice.finish_reason else []
        assert chunk.usage is None
        assert choice.logprobs is not None
    assert texts == ["cat -> c", "dog -> d"]
    assert reasons == ["stop", "stop"]
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 16


def test_a_stream_is_server_sent_events_that_end_with_done(trained: Trained) -> None:
    answer = trained.running.http.post(
        "/v1/completions",
        json={"model": trained.completion_model, "prompt": "cat ->", "stream": True},
    )
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = answer.text.split("\n\n")
    assert all(event.startswith("data: {") for event in events[:-2])
    assert events[-2:] == ["data: [DONE]", ""]


def test_nulls_are_the_same_as_leaving_out(trained: Trained) -> None:
    fields = ("n", "max_tokens", "logprobs", "temperature", "top_p", "stop", "echo", "user")
    body: dict[str, Any] = {"model": trained.completion_model, "prompt": "cat ->"}
    answer = trained.running.http.post(
        "/v1/completions", json={**body, **dict.fromkeys(fields), "stream": False}
    )
    assert answer.json()["choices"][0]["text"] == " c"


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"model": "ada"}, 400, "model_not_trained"),
        ({"model": "gpt-9"}, 404, "model_not_found"),
        ({"prompt": "x" * 60}, 400, "context_length_exceeded"),
        ({"prompt": ["cat ->", "x" * 60], "stream": True}, 400, "context_length_exceeded"),
        ({"prompt": [1, 2]}, 400, "invalid_value"),
        ({"prompt": []}, 400, "invalid_value"),
        ({"max_tokens": 0}, 400, "invalid_value"),
        ({"temperature": 3}, 400, "invalid_value"),
        ({"top_p": 0}, 400, "invalid_value"),
        ({"stop": ["a"] * 5}, 400, "invalid_value"),
        ({"stop": ""}, 400, "invalid_value"),
        ({"logit_bias": {"x": 1}}, 400, "invalid_value"),
        ({"best_of": 3}, 400, "unsupported_parameter"),
        ({"suffix": "end"}, 400, "unsupported_parameter"),
        ({"prompt": ["a"] * 200, "n": 2}, 400, "invalid_value"),
        ({"wings": 2}, 400, "unknown_parameter"),
    ],
)
def test_what_cannot_be_answered_is_refused(
    trained: Trained, change: dict[str, object], status: int, code: str
) -> None:
    body = {"model": trained.completion_model, "prompt": "cat ->", **change}
    answer = trained.running.http.post("/v1/completions", json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["code"] == code


def test_a_chat_model_is_asked_elsewhere(trained: Trained) -> None:
    with pytest.raises(openai.BadRequestError, match="/v1/chat/completions"):
        trained.running.sdk.completions.create(model=trained.chat_model, prompt="hello")
