"""Generates with a running vLLM server, which has the base model in the memory of its GPUs.

The server gets token ids, so prompts are rendered as in the training, and loads adapters by their
folders when they are asked: https://docs.vllm.ai/en/stable/features/lora.html. Not tried with a
GPU: the tests use a stand-in server.
"""

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ftops.engine.lora.answer_queue import Answer
from ftops.engine.trainer import GenerationChunk, ModelUnavailable, TokenLogprob

_TIMEOUT_S = 600.0  # for the next chunk: requests wait in the queue of the server
_LOAD_HINT = (
    "Start vLLM with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True, on a machine that can"
    " read the engine's folder."
)


def find_served_name(url: str, weights: Path) -> str | None:
    """The name of the model in the folder `weights` at the server; None if it has another one."""
    for entry in _list_models(url):
        root = entry.get("root")
        if not entry.get("parent") and root and Path(root).resolve() == weights.resolve():
            return str(entry["id"])
    return None


class VllmBackend:
    """Answers with the base model `model` of the server at `url`, and with adapters for it."""

    precision = "that of vLLM"

    def __init__(self, url: str, model: str, *, stop_tokens: frozenset[int]) -> None:
        self._url = url
        self._model = model
        self._stop_tokens = sorted(stop_tokens)
        self._lock = threading.Lock()
        self._loaded: set[str] = set()  # names of adapters

    def submit(self, answers: list[Answer]) -> None:
        """Request these answers; the server puts them into its batch."""
        for answer in answers:
            threading.Thread(target=self._run, args=(answer,), name="vllm", daemon=True).start()

    def unload(self, adapter: str) -> None:
        """Drop an adapter from the memory of the server."""
        name = _name_adapter(adapter)
        with self._lock:
            if name in self._loaded:
                self._loaded.remove(name)
                with _post(self._url, "/v1/unload_lora_adapter", {"lora_name": name}):
                    pass

    def _run(self, answer: Answer) -> None:
        try:
            model = self._load(answer.adapter) if answer.adapter else self._model
            self._answer(answer, model)
        except Exception as error:  # of any kind: it concerns this answer
            with self._lock:  # a server that was started again has no adapters
                self._loaded.discard(_name_adapter(answer.adapter))
            answer.fail(error)

    def _load(self, adapter: str) -> str:
        """Load an adapter unless the server has it; returns its name there."""
        name = _name_adapter(adapter)
        with self._lock:
            if name not in self._loaded:
                if all(entry.get("id") != name for entry in _list_models(self._url)):
                    body = {"lora_name": name, "lora_path": adapter}
                    with _post(self._url, "/v1/load_lora_adapter", body, hint=_LOAD_HINT):
                        pass
                self._loaded.add(name)
        return name

    def _answer(self, answer: Answer, model: str) -> None:
        body = {**_render_request(answer), "model": model, "stop_token_ids": self._stop_tokens}
        with _post(self._url, "/v1/completions", body) as response:
            n_sent = 0
            for event in _read_events(response):
                if answer.is_cancelled:
                    return
                if "error" in event:
                    raise ModelUnavailable(f"vLLM ended an answer early: {event['error']}")
                if not event["choices"]:
                    continue
                n_tokens = event["usage"]["completion_tokens"]
                chunk = _read_chunk(event["choices"][0], n_tokens - n_sent, answer)
                n_sent = n_tokens
                answer.send(chunk)
                if chunk.finish_reason is not None:
                    return
        raise ModelUnavailable("vLLM ended an answer early")


def _name_adapter(adapter: str) -> str:
    """A name that is unique among the folders of all models and checkpoints."""
    return f"{Path(adapter).name}-{hashlib.sha256(adapter.encode()).hexdigest()[:12]}"


def _render_request(answer: Answer) -> dict[str, Any]:
    params = answer.params
    body: dict[str, Any] = {
        "prompt": list(answer.prompt),
        "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
        "max_tokens": params.max_tokens,
        "temperature": params.temperature,
        "top_p": params.top_p,
        "presence_penalty": params.presence_penalty,
        "frequency_penalty": params.frequency_penalty,
        "stop": list(params.stop),
        "logit_bias": {str(token): bias for token, bias in params.logit_bias.items()},
        "logprobs": params.logprobs,
    }
    if answer.seed is not None:
        body["seed"] = answer.seed + answer.index  # answers to one prompt differ
    if params.json_schema is not None:
        schema = {"name": "answer", "schema": params.json_schema}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def _read_chunk(choice: Mapping[str, Any], n_tokens: int, answer: Answer) -> GenerationChunk:
    logprobs: tuple[TokenLogprob, ...] = ()
    values = choice.get("logprobs")
    if values and answer.params.logprobs is not None:
        tops = values.get("top_logprobs") or [{}] * len(values["tokens"])
        logprobs = tuple(
            TokenLogprob(token, logprob, dict(list((top or {}).items())[: answer.params.logprobs]))
            for token, logprob, top in zip(
                values["tokens"], values["token_logprobs"], tops, strict=True
            )
        )
    return GenerationChunk(0, choice["text"], logprobs, n_tokens, choice.get("finish_reason"))


def _list_models(url: str) -> list[dict[str, Any]]:
    with _request(url, "/v1/models") as response:
        models: list[dict[str, Any]] = json.loads(response.read())["data"]
    return models


def _post(
    url: str, path: str, body: Mapping[str, Any], *, hint: str = ""
) -> AbstractContextManager[HTTPResponse]:
    return _request(url, path, json.dumps(body).encode(), hint=hint)


@contextmanager
def _request(
    url: str, path: str, body: bytes | None = None, *, hint: str = ""
) -> Iterator[HTTPResponse]:
    """The response, whose body is not read yet; ModelUnavailable for an error."""
    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    prefix = parts.path.rstrip("/").removesuffix("/v1")
    with closing(kind(parts.netloc, timeout=_TIMEOUT_S)) as connection:
        try:
            headers = {"Content-Type": "application/json"}
            connection.request("POST" if body else "GET", prefix + path, body, headers)
            response = connection.getresponse()
        except (OSError, HTTPException) as error:
            raise ModelUnavailable(
                f"the vLLM server at {url} does not respond: {error}",
                hint="Start it, or start the engine without --vllm.",
            ) from error
        if response.status >= 400:
            text = response.read(500).decode(errors="replace")
            raise ModelUnavailable(f"vLLM refused {path} ({response.status}): {text}", hint=hint)
        yield response


def _read_events(response: HTTPResponse) -> Iterator[dict[str, Any]]:
    for line in response:
        data = line.strip().removeprefix(b"data:").strip()
        if data == b"[DONE]":
            return
        if data:
            yield json.loads(data)
