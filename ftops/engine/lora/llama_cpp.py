"""Generates with llama.cpp, through the package xllamacpp.

The base model and all adapters are in one llama.cpp server, which runs in this process. It also
listens on a port of the loopback address, which a random key closes to other processes.
"""

import secrets
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xllamacpp

from ftops.engine.lora.answer_queue import Answer, AnswerQueue
from ftops.engine.lora.gguf_format import write_gguf_adapter
from ftops.engine.lora.prompt_encoder import PromptEncoder
from ftops.engine.trainer import GenerationChunk, ModelUnavailable, TokenLogprob
from ftops.errors import EngineError

_SLOTS = 8  # answers at a time
_LEAST_CONTEXT = 8192  # tokens of all answers together
_BATCH = 512  # tokens of prompts in one step
_RANDOM_SEED = 0xFFFFFFFF


def open_backend(
    opening: Mapping[str, Any], file: Path
) -> tuple["LlamaCppBackend", PromptEncoder, str]:
    """Load the model in the GGUF file `file`."""
    backend = LlamaCppBackend(
        Path(opening["base"]),
        file,
        context_length=opening["context_length"],
        threads=opening["threads"],
        precision=opening["precision"],
    )
    return backend, PromptEncoder(Path(opening["base"])), f"llama.cpp {backend.precision}"


class LlamaCppBackend:
    """Answers with the model in `file`, and with LoRA adapters for it.

    `base` is the folder of the base model, `precision` that of the weights in `file`. With fp32,
    keys and values of the attention are fp32, too.
    """

    def __init__(
        self,
        base: Path,
        file: Path,
        *,
        context_length: int,
        threads: int,
        precision: str,
    ) -> None:
        self.precision = precision
        self._base = base
        self._file = file
        self._context = max(context_length, _LEAST_CONTEXT)
        self._threads = threads
        self._lock = threading.Lock()
        self._adapters: dict[str, Path] = {}  # by the folder of the model, in llama.cpp's order
        self._dropped: set[str] = set()
        self._server = self._start_server({})
        self._queue = AnswerQueue(_SLOTS, self._context)
        for _ in range(_SLOTS):
            threading.Thread(target=self._run, name="llama.cpp", daemon=True).start()

    def submit(self, answers: list[Answer]) -> None:
        """Generate these answers, as soon as there is a place for them."""
        self._queue.put(answers)

    def unload(self, adapter: str) -> None:
        """Forget an adapter; its memory is free when the next one is loaded."""
        with self._lock:
            self._dropped.add(adapter)

    def _run(self) -> None:
        while True:
            answer = self._queue.take()
            try:
                self._answer(answer)
            except Exception as error:  # of any kind: it concerns this answer
                answer.fail(error)
            finally:
                self._queue.finish(answer)

    def _answer(self, answer: Answer) -> None:
        server, scales = self._load_adapter(answer.adapter)
        reader = _ChunkReader(answer)
        server.handle_completions(_render_request(answer, scales), reader.add)
        if not (answer.is_cancelled or reader.is_finished):
            raise ModelUnavailable(f"llama.cpp ended an answer early: {reader.error}")

    def _load_adapter(self, adapter: str) -> tuple[Any, list[dict[str, float]]]:
        """The server with this adapter, and the scale of each of its adapters.

        Answers with another adapter have ended: see `AnswerQueue`.
        """
        with self._lock:
            self._dropped.discard(adapter)
            if adapter and adapter not in self._adapters:
                new = self._convert_adapter(Path(adapter))
                kept = {
                    name: file for name, file in self._adapters.items() if name not in self._dropped
                }
                self._server = None  # frees its memory first
                try:
                    self._server = self._start_server({**kept, adapter: new})
                except EngineError:
                    self._server = self._start_server(self._adapters)
                    raise
                self._adapters = {**kept, adapter: new}
                self._dropped.clear()
            scales = [
                {"id": number, "scale": float(name == adapter)}
                for number, name in enumerate(self._adapters)
            ]
            return self._server, scales

    def _convert_adapter(self, folder: Path) -> Path:
        file = folder / "serving.gguf"
        if not file.exists():
            write_gguf_adapter(folder, self._base, file)
        return file

    def _start_server(self, adapters: Mapping[str, Path]) -> Any:
        params = xllamacpp.CommonParams()
        params.model.path = str(self._file)
        params.lora_adapters = [
            xllamacpp.CommonAdapterLoraInfo(str(path), 1.0) for path in adapters.values()
        ]
        params.n_ctx = self._context
        params.n_parallel = _SLOTS
        params.kv_unified = True
        params.n_batch = params.n_ubatch = _BATCH
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = self._threads
        params.cache_ram_mib = 0
        params.fit_params = False
        params.warmup = False
        params.verbosity = 1  # errors
        params.api_keys = [secrets.token_urlsafe(32)]
        params.endpoint_slots = False
        params.ui = False
        if self.precision == "fp32":
            params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
            params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        try:
            return xllamacpp.Server(params)
        except RuntimeError as error:
            raise EngineError(
                f"llama.cpp cannot load {self._file.name}"
                + (" with an adapter" if adapters else ""),
                hint="See the log of the model in the folder of the base model.",
            ) from error


class _ChunkReader:
    """Passes the events of one completion on as chunks."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._n_tokens = 0
        self.is_finished = False
        self.error = ""

    def add(self, event: dict[str, Any]) -> bool:
        """Pass an event on; returns whether to stop."""
        if self._answer.is_cancelled:
            return True
        if error := event.get("error"):  # an exception would be lost: native code calls this
            self.error = str(error.get("message", error))
            return True
        choice = event["choices"][0]
        reason = choice.get("finish_reason")
        n_new = 1
        if reason is not None:
            n_new = max(0, event["usage"]["completion_tokens"] - self._n_tokens)
            self.is_finished = True
        self._n_tokens += n_new
        logprobs = _read_logprobs(choice.get("logprobs"), self._answer.params.logprobs)
        self._answer.send(GenerationChunk(0, choice["text"], logprobs, n_new, reason))
        return False


def _render_request(answer: Answer, scales: list[dict[str, float]]) -> dict[str, Any]:
    params = answer.params
    seed = _RANDOM_SEED
    if answer.seed is not None:
        seed = (answer.seed + answer.index) % _RANDOM_SEED  # answers to one prompt differ
    request: dict[str, Any] = {
        "prompt": list(answer.prompt),
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": params.max_tokens,
        "samplers": ["penalties", "temperature", "top_p"],
        "temperature": params.temperature,
        "top_p": params.top_p,
        "seed": seed,
        "presence_penalty": params.presence_penalty,
        "frequency_penalty": params.frequency_penalty,
        "repeat_last_n": params.max_tokens,  # what the penalties count
        "stop": list(params.stop),
        "logit_bias": [[token, bias] for token, bias in params.logit_bias.items()],
        "cache_prompt": True,
        "lora": scales,
    }
    if params.logprobs is not None:
        request["logprobs"] = max(1, params.logprobs)  # 0 would be none at all
    if params.json_schema is not None:
        request["json_schema"] = params.json_schema
    return request


def _read_logprobs(logprobs: dict[str, Any] | None, n_top: int | None) -> tuple[TokenLogprob, ...]:
    if logprobs is None or n_top is None:
        return ()
    return tuple(
        TokenLogprob(
            _name(entry),
            entry["logprob"],
            {_name(top): top["logprob"] for top in entry["top_logprobs"][:n_top]},
        )
        for entry in logprobs["content"]
    )


def _name(entry: dict[str, Any]) -> str:
    """The text of a token; a part of a character has a replacement character."""
    return bytes(entry["bytes"]).decode(errors="replace")
