"""The loop of a process that serves a model: it reads requests, and a back end generates.

It reads messages from standard input and writes messages to standard output; see
`serving_protocol`. The process exits when standard input ends, and so it never outlives the engine.
"""

import logging
import os
import queue
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, BinaryIO, Protocol, TypeAlias

import orjson

from ftops.engine.lora.answer_queue import Answer
from ftops.engine.lora.serving_protocol import read_params, read_prompt, render_chunk
from ftops.engine.lora.tool_calls import ToolCallReader, make_call_schema
from ftops.engine.trainer import ChatPrompt, GenerationChunk, PromptTooLong, SamplingParams
from ftops.errors import EngineError
from ftops.rows.messages import JsonObject

_log = logging.getLogger(__name__)


class Backend(Protocol):
    """What generates: llama.cpp or Transformers."""

    precision: str  # of its weights

    def submit(self, answers: list[Answer]) -> None: ...

    def unload(self, adapter: str) -> None: ...


class EncodesPrompts(Protocol):
    """Renders and tokenizes prompts as the training does."""

    n_tokens: int  # of the vocabulary

    @property
    def call_format(self) -> tuple[str, str]: ...

    def encode(self, prompt: str | ChatPrompt, answer_start: str = "") -> Sequence[int]: ...


class MessageWriter:
    """Writes messages, from any thread."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def write(self, message: JsonObject) -> None:
        line = orjson.dumps(message) + b"\n"
        with self._lock:
            self._stream.write(line)
            self._stream.flush()


class ServingWorker:
    """Handles the messages for an open model."""

    def __init__(
        self,
        backend: Backend,
        encoder: EncodesPrompts,
        writer: MessageWriter,
        *,
        context_length: int,
        has_grammar: bool,
    ) -> None:
        self._backend = backend
        self._encoder = encoder
        self._writer = writer
        self._context_length = context_length
        self._has_grammar = has_grammar
        self._active: dict[int, list[Answer]] = {}  # by the id of the request

    def handle(self, message: Any) -> None:
        """Handle a message of the engine; errors become a message to it."""
        try:
            match message["op"]:
                case "start":
                    self._start(message)
                case "count":
                    count = len(self._encoder.encode(read_prompt(message["prompt"])))
                    self._writer.write({"id": message["id"], "result": count})
                case "end":
                    for answer in self._active.pop(message["id"], ()):
                        answer.is_cancelled = True
                case "unload":
                    self._backend.unload(message["adapter"])
        except Exception as error:
            self._send_error(message.get("id"), error)

    def _start(self, message: Any) -> None:
        params = read_params(message["params"])
        self._check(params)
        prompts = [read_prompt(prompt) for prompt in message["prompts"]]
        answer_start = ""
        if params.forced_calls:
            answer_start, arguments_key = self._encoder.call_format
            schema = make_call_schema(params.forced_calls, arguments_key)
            params = replace(params, json_schema=schema)
        encoded = [
            self._encode(index, prompt, answer_start) for index, prompt in enumerate(prompts)
        ]
        answers = [
            self._create_answer(message, index, encoded[place], prompts[place], params)
            for index, place in enumerate(message["order"])
        ]
        self._active[message["id"]] = answers
        self._backend.submit(answers)

    def _check(self, params: SamplingParams) -> None:
        for token in params.logit_bias:
            if not 0 <= token < self._encoder.n_tokens:
                raise EngineError(
                    f"logit_bias: no token {token} in a vocabulary of {self._encoder.n_tokens}",
                    hint=f"Use token ids of this model: 0 to {self._encoder.n_tokens - 1}.",
                )
        if params.precision not in (None, "auto", self._backend.precision):
            raise EngineError(
                f"precision: this model is served in {self._backend.precision}, not in"
                f" {params.precision}",
                hint="Transformers serves fp32 on a CPU and bf16 on a GPU; llama.cpp serves all:"
                " `pip install 'ftops[lora-serve]'`.",
            )
        is_restricted = params.json_schema is not None or params.forced_calls
        if is_restricted and not self._has_grammar:
            what = "tool_choice" if params.forced_calls else "response_format"
            raise EngineError(
                f"{what}: this model is served by Transformers, which cannot restrict answers",
                hint="llama.cpp can: `pip install 'ftops[lora-serve]'`.",
            )

    def _encode(self, index: int, prompt: str | ChatPrompt, answer_start: str) -> Sequence[int]:
        tokens = self._encoder.encode(prompt, answer_start)
        if len(tokens) >= self._context_length:
            raise PromptTooLong(index, len(tokens), self._context_length - 1)
        return tokens

    def _create_answer(
        self,
        message: Any,
        index: int,
        tokens: Sequence[int],
        prompt: str | ChatPrompt,
        params: SamplingParams,
    ) -> Answer:
        request_id = message["id"]
        has_tools = isinstance(prompt, ChatPrompt) and bool(prompt.tools)
        calls = ToolCallReader(is_parallel=params.parallel_tool_calls) if has_tools else None
        sender = _ChunkSender(request_id, index, calls)
        return Answer(
            prompt=tokens,
            params=replace(
                params, max_tokens=min(params.max_tokens, self._context_length - len(tokens))
            ),
            send=lambda chunk: self._writer.write(sender.render(chunk)),
            fail=partial(self._send_error, request_id, is_of_request=False),
            adapter=message["adapter"],
            index=index,
            seed=params.seed,
        )

    def _send_error(
        self, request_id: int | None, error: Exception, *, is_of_request: bool = True
    ) -> None:
        if request_id is None:
            _log.error("a message failed", exc_info=error)
            return
        message: JsonObject = {"id": request_id, "error": str(error)}
        match error:
            case PromptTooLong(index=index, tokens=tokens, limit=limit):
                message["too_long"] = [index, tokens, limit]
            case EngineError(message=text, hint=hint) if is_of_request:
                message |= {"invalid": text, "hint": hint}
            case _:
                _log.error("an answer failed", exc_info=error)
        self._writer.write(message)


class _ChunkSender:
    """Renders the chunks of one answer as messages."""

    def __init__(self, request_id: int, index: int, calls: ToolCallReader | None) -> None:
        self._request_id = request_id
        self._index = index
        self._calls = calls

    def render(self, chunk: GenerationChunk) -> JsonObject:
        if self._calls is not None:
            text = self._calls.add(chunk.text)
            calls: tuple[JsonObject, ...] = ()
            reason = chunk.finish_reason
            if reason is not None:
                rest, calls = self._calls.finish()
                text += rest
                reason = "tool_calls" if calls else reason
            chunk = replace(chunk, text=text, tool_calls=calls, finish_reason=reason)
        return {"id": self._request_id, "chunk": render_chunk(replace(chunk, index=self._index))}


OpenWorker: TypeAlias = Callable[[Any, MessageWriter], tuple[ServingWorker, str]]


def run(stream: BinaryIO, writer: MessageWriter, open_model: OpenWorker) -> int:
    """Handle the messages of `stream`; at its end the process exits."""
    messages: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def read() -> None:
        for line in stream:
            messages.put(orjson.loads(line))
        os._exit(0)  # other threads may be in native code

    threading.Thread(target=read, name="messages", daemon=True).start()
    try:
        worker, description = open_model(messages.get(), writer)
    except EngineError as error:
        writer.write({"failed": error.message, "hint": error.hint})
        return 1
    writer.write({"opened": description})
    while True:
        worker.handle(messages.get())


def serve(open_model: OpenWorker) -> int:
    """Serve on standard input and output; whatever else is printed goes to standard error."""
    logging.basicConfig(level=logging.WARNING)
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return run(sys.stdin.buffer, MessageWriter(output), open_model)
