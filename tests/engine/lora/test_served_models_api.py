"""Pre-trained models through the API, with both generations of clients."""

from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import openai
import pytest

from ftops.engine.model_store import ModelManifest, write_manifest
from ftops.engine.store import ModelRow
from ftops.records import RowFormat
from tests.engine.lora.served import ECHO_COMMAND, write_adapter, write_base
from tests.engine.running import Running, animals, run_engine, table_settings, wait_for

CHAT, TEXT = "ft:echo:local::chat", "ft:echo:local::text"
TOOLS: list[Any] = [{"type": "function", "function": {"name": "add", "parameters": {}}}]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """An engine with the base model `echo` and two fine-tuned models."""
    folder = tmp_path_factory.mktemp("served")
    settings = replace(table_settings(folder), serving_command=ECHO_COMMAND, max_loaded_models=4)
    write_base(folder)
    with run_engine(settings, schedules=False) as running:
        for name, row_format in ((CHAT, RowFormat.CHAT), (TEXT, RowFormat.COMPLETION)):
            add_model(running, name, row_format)
        yield running


def add_model(running: Running, name: str, row_format: RowFormat) -> None:
    training_file = running.upload(animals())
    job = running.sdk.fine_tuning.jobs.create(model="ada", training_file=training_file).id
    path = write_adapter(running.engine.paths.root, job)
    write_manifest(path, ModelManifest(name, "echo", "echo", job, row_format, 1, 1))
    running.store.models.add(ModelRow(name, job, "echo", "echo", 1))


def chat(running: Running, text: str, **fields: Any) -> Any:
    messages = [{"role": "user", "content": text}]
    return running.sdk.chat.completions.create(**{"model": CHAT, "messages": messages, **fields})


def test_a_fine_tuned_model_answers_a_chat(served: Running) -> None:
    answer = chat(served, "good day", logprobs=True, top_logprobs=1)
    assert answer.choices[0].message.content == "good day"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].logprobs.content[0].top_logprobs[0].token == "g"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (8, 8)
    assert answer.system_fingerprint.startswith("echo ")


def test_a_stream_has_the_same_answer(served: Running) -> None:
    chunks = list(chat(served, "good day", stream=True, n=2))
    texts = ["", ""]
    for chunk in chunks:
        texts[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert texts == ["good day"] * 2
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_a_base_model_answers_chats_and_completions(served: Running) -> None:
    assert chat(served, "hello", model="echo").choices[0].message.content == "hello"
    answer = served.sdk.completions.create(model="echo", prompt=["a b", "c d"], max_tokens=2)
    assert [choice.text for choice in answer.choices] == ["a ", "c "]
    assert answer.choices[0].finish_reason == "length"


def test_a_legacy_client_completes_with_the_model_in_the_path(served: Running) -> None:
    response = served.http.post(
        f"/v1/engines/{TEXT}/completions", json={"prompt": "good day", "logprobs": 1}
    )
    assert response.json()["choices"][0]["text"] == "good day"
    assert response.json()["choices"][0]["logprobs"]["tokens"][0] == "g"


def test_a_model_answers_only_in_the_format_of_its_training(served: Running) -> None:
    with pytest.raises(openai.BadRequestError, match="was trained on chat rows"):
        served.sdk.completions.create(model=CHAT, prompt="x")


def test_a_tool_call_is_a_field_of_the_message(served: Running) -> None:
    answer = chat(served, "call", tools=TOOLS)
    message = answer.choices[0].message
    assert answer.choices[0].finish_reason == "tool_calls"
    assert message.content == "Now: "
    assert message.tool_calls[0].function.name == "add"
    assert message.tool_calls[0].function.arguments == '{"a": 1}'


def test_a_streamed_tool_call_is_one_chunk(served: Running) -> None:
    chunks = list(chat(served, "call", tools=TOOLS, stream=True))
    calls = [chunk for chunk in chunks if chunk.choices[0].delta.tool_calls]
    assert len(calls) == 1
    assert calls[0].choices[0].delta.tool_calls[0].function.name == "add"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Now: "
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_without_tools_in_the_request_the_text_stays_text(served: Running) -> None:
    for fields in ({}, {"tools": TOOLS, "tool_choice": "none"}):
        answer = chat(served, "call", **fields)
        assert "<tool_call>" in answer.choices[0].message.content


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "add"}}])
def test_a_call_can_be_required(served: Running, choice: Any) -> None:
    answer = chat(served, "schema", tools=TOOLS, tool_choice=choice)
    schema = {"name": {"const": "add"}, "arguments": {"type": "object"}}
    assert str(schema) in answer.choices[0].message.content


def test_the_arguments_of_a_required_call_have_the_schema_of_their_function(
    served: Running,
) -> None:
    supported = {"properties": {"a": {"type": "integer"}}, "type": "object"}
    for parameters, expected in (
        (supported, supported),
        ({"properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {}}}, {"type": "object"}),
        ({"properties": {"a": {"pattern": "^a$"}}}, {"type": "object"}),
    ):
        tool: Any = {"type": "function", "function": {"name": "b", "parameters": parameters}}
        answer = chat(served, "schema", tools=[tool], tool_choice="required")
        schema = {"name": {"const": "b"}, "arguments": expected}
        assert str(schema) in answer.choices[0].message.content


def test_a_call_that_no_tool_can_answer_is_refused(served: Running) -> None:
    other: Any = {"type": "function", "function": {"name": "other"}}
    for fields in ({"tool_choice": other, "tools": TOOLS}, {"tool_choice": "required"}):
        with pytest.raises(openai.BadRequestError, match="missing in tools") as caught:
            chat(served, "x", **fields)
        assert caught.value.param == "tool_choice"


def test_calls_are_parallel_unless_the_request_forbids_it(served: Running) -> None:
    for fields, count in (({}, 2), ({"parallel_tool_calls": False}, 1)):
        answer = chat(served, "calls", tools=TOOLS, **fields)
        assert len(answer.choices[0].message.tool_calls) == count


def test_a_chat_may_have_calls_and_their_results(served: Running) -> None:
    call = {"id": "call-1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    answer = chat(
        served,
        "",
        tools=TOOLS,
        messages=[
            {"role": "user", "content": "1 + 1"},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call-1", "content": "2"},
        ],
    )
    assert answer.choices[0].message.content == "2"


def test_a_json_schema_reaches_the_back_end(served: Running) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    response_format = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    answer = chat(served, "schema", response_format=response_format)
    assert answer.choices[0].message.content == str(schema)
    answer = chat(served, "schema", response_format={"type": "json_object"})
    assert answer.choices[0].message.content == str({"type": "object"})


@pytest.mark.skipif(not find_spec("xllamacpp"), reason="only llama.cpp has Q8_0")
def test_a_request_may_ask_for_a_precision(served: Running) -> None:
    answer = chat(served, "x", extra_body={"precision": "fp32"})
    assert answer.system_fingerprint == "echo fp32"
    assert chat(served, "x", extra_body={"precision": "auto"}).system_fingerprint == "echo fp32"
    assert chat(served, "x", extra_body={"precision": "q8_0"}).system_fingerprint == "echo q8_0"
    with pytest.raises(openai.BadRequestError, match="precision"):
        chat(served, "x", extra_body={"precision": "fp8"})


def test_the_entry_of_a_model_names_what_serves_it(served: Running) -> None:
    assert chat(served, "hello").choices[0].message.content == "hello"
    assert served.http.get(f"/v1/models/{CHAT}").json()["served_by"].startswith("echo ")
    assert served.http.get("/v1/models/ada").json()["served_by"] is None


def test_a_crash_is_a_503_that_says_what_to_do(served: Running) -> None:
    with pytest.raises(openai.InternalServerError, match="Send the request again") as failure:
        chat(served, "die")
    assert failure.value.status_code == 503
    assert failure.value.response.headers["retry-after"] == "1"
    assert chat(served, "hello").choices[0].message.content == "hello"


def test_a_crash_in_a_stream_is_an_event(served: Running) -> None:
    with pytest.raises(openai.APIError, match="Send the request again"):
        list(chat(served, "die", stream=True))


def test_a_disconnected_client_ends_its_answer(served: Running) -> None:
    with chat(served, "hold", stream=True) as stream:
        next(iter(stream))
    wait_for(lambda: chat(served, "held").choices[0].message.content == "0")


def test_a_prompt_that_is_too_long_is_refused(served: Running) -> None:
    with pytest.raises(openai.BadRequestError, match="has 300 tokens; the model accepts 199"):
        chat(served, "x" * 300)


def test_only_registered_names_are_models(served: Running, tmp_path: Path) -> None:
    for name in ("../echo", str(tmp_path), "echo/..", "unknown"):
        with pytest.raises(openai.NotFoundError):
            chat(served, "x", model=name)
