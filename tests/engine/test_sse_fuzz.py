"""Streams as an independent reader reads them: whatever is said arrives as it was said."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import openai
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.testclient import TestClient
from starlette.types import Message

from ftops.engine.generation import ModelPool
from ftops.engine.ids import new_id
from ftops.engine.server import create_app
from ftops.engine.store import JobRow, JobStatus, NewEvent
from ftops.engine.tiny.generation import AnswerDecoder
from ftops.engine.trainer import GenerationChunk, Prompt, SamplingParams
from tests.engine.conftest import Trained
from tests.engine.running import BASE_URL, Running
from tests.engine.sse import read_events
from tests.engine.table_worker import TableModel, TableTrainer
from tests.examples import examples

TEXTS = st.text(
    st.one_of(
        st.characters(codec="utf-8"),
        st.sampled_from("\r\n\u2028\u2029\u0085\x0b\x0c\x1c\x00\ufeff😀👩‍👩‍👧é:"),
    ),
    min_size=1,
    max_size=50,
)
ODD = "data: a\r\n\r\ndata: [DONE]\n\n\u2028😀\r: b\x85"


def _get_text(prompt: Prompt) -> str:
    return prompt if isinstance(prompt, str) else "".join(turn.content for turn in prompt.turns)


class EchoModel(TableModel):
    """Says again what it is asked, a byte a token, as a model may that knows no characters."""

    context_length = 1000

    def _answer(
        self, prompts: Sequence[Prompt], params: SamplingParams
    ) -> Iterator[GenerationChunk]:
        for index, prompt in enumerate(prompts):
            answer = AnswerDecoder(index, params.stop)
            for byte in _get_text(prompt).encode():
                answer.add(bytes([byte]), None)
                if piece := answer.take():
                    yield piece
            answer.finish("stop")
            if piece := answer.take():
                yield piece


class EchoTrainer(TableTrainer):
    def load(self, folder: Path) -> TableModel:
        return EchoModel({})


@dataclass(frozen=True)
class Echo:
    """An engine whose models say again what they are asked."""

    trained: Trained
    http: TestClient
    sdk: openai.OpenAI

    def ask(self, path: str, **body: Any) -> bytes:
        answer = self.http.post(path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.content


@pytest.fixture(scope="module")
def echo(trained: Trained) -> Iterator[Echo]:
    engine = trained.running.engine
    generation = ModelPool(engine.paths, lambda base: EchoTrainer(), 2)
    app = create_app(replace(engine, model_pool=generation))
    headers = {"authorization": f"Bearer {engine.token}"}
    with TestClient(app, base_url=BASE_URL, headers=headers) as http:
        sdk = openai.OpenAI(http_client=http, base_url=f"{BASE_URL}/v1", api_key=engine.token)
        yield Echo(trained, http, sdk)


def chunks_of(content: bytes) -> list[dict[str, Any]]:
    """The events of an answer that ends as it should."""
    *events, last = read_events(content)
    assert last == "[DONE]"
    return [json.loads(event) for event in events]


@examples(50)
@given(TEXTS)
@example(ODD)
def test_a_completion_arrives_as_it_was_said(echo: Echo, text: str) -> None:
    asked = {"model": echo.trained.completion_model, "prompt": [text, "b"], "echo": True}
    whole = json.loads(echo.ask("/v1/completions", **asked))
    assert [choice["text"] for choice in whole["choices"]] == [2 * text, "bb"]
    options = {"include_usage": True}
    content = echo.ask("/v1/completions", **asked, stream=True, stream_options=options)
    *chunks, last = chunks_of(content)
    said = ["", ""]
    for chunk in chunks:
        (choice,) = chunk["choices"]
        said[choice["index"]] += choice["text"]
    assert said == [2 * text, "bb"]
    assert (last["choices"], last["usage"]) == ([], whole["usage"])
    pieces = echo.sdk.completions.create(
        model=echo.trained.completion_model, prompt=text, stream=True
    )
    assert "".join(piece.choices[0].text for piece in pieces) == text
    ends = [chunk["choices"][0]["finish_reason"] for chunk in chunks]
    assert sorted(filter(None, ends)) == ["stop", "stop"]


@examples(50)
@given(TEXTS)
@example(ODD)
def test_a_chat_arrives_as_it_was_said(echo: Echo, text: str) -> None:
    messages = [{"role": "user", "content": text}]
    asked = {"model": echo.trained.chat_model, "messages": messages}
    whole = json.loads(echo.ask("/v1/chat/completions", **asked))
    assert whole["choices"][0]["message"]["content"] == text
    first, *chunks, last = chunks_of(echo.ask("/v1/chat/completions", **asked, stream=True))
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    said = [chunk["choices"][0]["delta"]["content"] for chunk in chunks]
    assert "".join(said) == text
    assert last["choices"][0]["delta"] == {}
    assert last["choices"][0]["finish_reason"] == "stop"


async def collect_pieces(running: Running, path: str) -> list[bytes]:
    """What the app hands to the server, piece by piece: each leaves as one chunk."""
    pieces: list[bytes] = []
    asked = False

    async def receive() -> Message:
        nonlocal asked
        if asked:
            await asyncio.Event().wait()
        asked = True
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        if body := message.get("body"):
            pieces.append(body)

    headers = [
        (b"host", b"127.0.0.1"),
        (b"authorization", f"Bearer {running.engine.token}".encode()),
    ]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "query_string": b"stream=true",
        "headers": headers,
    }
    await running.http.app(scope, receive, send)
    return pieces


@examples(50)
@given(st.lists(TEXTS, min_size=1, max_size=5))
@example([ODD])
def test_the_events_of_a_legacy_job_arrive_in_one_chunk_each(
    trained: Trained, messages: list[str]
) -> None:
    running, store = trained.running, trained.running.store
    job_id = new_id("ft")
    store.add_job(
        JobRow(
            id=job_id, status=JobStatus.VALIDATING_FILES, model="ada", base="ada",
            training_file="file-none", validation_file=None, suffix=None, seed=1, metadata={},
            hyperparameters={}, created_at=store.now(),
        ),
        *(
            NewEvent(f"model:{n}", "New model", data={"fine_tuned_model": message})
            for n, message in enumerate(messages)
        ),
    )  # fmt: skip
    store.fail(job_id, "server_error", ODD, None)
    listed = running.http.get(f"/v1/fine-tunes/{job_id}/events").json()["data"]
    pieces = asyncio.run(collect_pieces(running, f"/v1/fine-tunes/{job_id}/events"))
    assert chunks_of(b"".join(pieces)) == listed
    said = [event["message"].removeprefix("Uploaded model: ") for event in listed]
    assert said[: len(messages)] == messages
    assert all(len(read_events(piece)) == 1 for piece in pieces)
