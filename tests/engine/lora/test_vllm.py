"""Answers of a vLLM server, against a stand-in that speaks its API."""

import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ftops.engine.lora.answer_queue import Answer
from ftops.engine.lora.vllm import VllmBackend, find_served_name
from ftops.engine.trainer import GenerationChunk, ModelUnavailable, SamplingParams
from tests.engine.lora.served import read_chunks, write_adapter, write_text
from tests.engine.lora.vllm_server import VllmServer, run_vllm


@pytest.fixture
def server(tmp_path: Path) -> Iterator[VllmServer]:
    with run_vllm(tmp_path / "base") as server:
        yield server


@pytest.fixture
def backend(server: VllmServer) -> VllmBackend:
    return VllmBackend(server.url, "base", stop_tokens=frozenset({2}))


def ask(
    backend: VllmBackend,
    prompt: list[int],
    params: SamplingParams | None = None,
    adapter: Path | str = "",
) -> list[GenerationChunk]:
    """The chunks of an answer; raises its error."""
    chunks: queue.SimpleQueue[Any] = queue.SimpleQueue()
    params = params or SamplingParams(max_tokens=99)
    answer = Answer(prompt, params, chunks.put, chunks.put, str(adapter), seed=params.seed)
    backend.submit([answer])
    return read_chunks(chunks)


def test_the_server_is_used_for_the_base_model_that_it_has(
    server: VllmServer, tmp_path: Path
) -> None:
    assert find_served_name(server.url, tmp_path / "other" / ".." / "base") == "base"
    assert find_served_name(f"{server.url}/v1/", tmp_path / "base") == "base"
    assert find_served_name(server.url, tmp_path / "another") is None


def test_an_answer_arrives_in_pieces_with_its_tokens_counted(backend: VllmBackend) -> None:
    chunks = ask(backend, [5, 6, 7], SamplingParams(max_tokens=99, logprobs=1))
    assert write_text(chunks) == "base 3"
    assert [chunk.n_tokens for chunk in chunks] == [1] * 6
    assert (chunks[0].logprobs[0].token, chunks[0].logprobs[0].top) == ("b", {"b": -0.5})


def test_an_adapter_is_loaded_once_and_has_a_name_of_its_own(
    server: VllmServer, backend: VllmBackend, tmp_path: Path
) -> None:
    first = write_adapter(tmp_path / "one", "step-5")
    second = write_adapter(tmp_path / "two", "step-5")
    texts = {write_text(ask(backend, [1], adapter=folder)) for folder in (first, second) * 2}
    assert len(texts) == 2
    assert set(server.adapters.values()) == {str(first), str(second)}
    another = VllmBackend(server.url, "base", stop_tokens=frozenset())  # after a restart
    assert write_text(ask(another, [1], adapter=first)) in texts
    backend.unload(str(first))
    assert set(server.adapters.values()) == {str(second)}
    assert write_text(ask(backend, [1], adapter=first)) in texts


def test_a_request_has_all_parameters(server: VllmServer, backend: VllmBackend) -> None:
    schema: Any = {"type": "object"}
    params = SamplingParams(max_tokens=9, seed=3, stop=("x",), logit_bias={4: 1.0})
    ask(backend, [1], params)
    ask(backend, [1], SamplingParams(max_tokens=9, json_schema=schema))
    first, second = server.completions
    assert (first["seed"], first["stop"], first["logit_bias"]) == (3, ["x"], {"4": 1.0})
    assert first["stop_token_ids"] == [2]
    assert "response_format" not in first
    assert second["response_format"]["json_schema"]["schema"] == schema


def test_an_adapter_that_is_refused_fails_with_what_to_do(
    backend: VllmBackend, tmp_path: Path
) -> None:
    with pytest.raises(ModelUnavailable, match=r"\(404\): no adapter found.*RUNTIME_LORA"):
        ask(backend, [1], adapter=tmp_path)


def test_an_answer_without_an_end_is_an_error(backend: VllmBackend) -> None:
    with pytest.raises(ModelUnavailable, match="ended an answer early"):
        ask(backend, [0])


def test_a_server_that_does_not_run_is_an_error(tmp_path: Path) -> None:
    with run_vllm(tmp_path) as server:
        url = server.url
    with pytest.raises(ModelUnavailable, match="does not respond"):
        find_served_name(url, tmp_path)
