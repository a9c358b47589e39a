"""A serving process without a model: it answers with the prompt. Each character is a token.

Some prompts do something else:
    pid       answers with the id of the process and the name of the adapter
    die       writes a piece of an answer, and kills the process
    hold      writes a piece of an answer, and waits until it is no longer read
    held      answers with the number of such answers
    unloaded  answers with the adapters that were dropped
    print     writes to standard output, as a library may do
    fail      the back end fails
    call      calls a tool
    calls     calls it twice
    schema    answers with the JSON schema of the request
With `--broken`, the model cannot be loaded. With `--fp32`, it has weights of no other precision.
With `--no-grammar`, it restricts no answers.
"""

import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftops.engine.lora.answer_queue import Answer
from ftops.engine.lora.serving_loop import MessageWriter, ServingWorker, serve
from ftops.engine.trainer import GenerationChunk, Prompt, TokenLogprob
from ftops.errors import EngineError


@dataclass
class EchoEncoder:
    """Encodes characters as their numbers; of a chat, the last message."""

    n_tokens: int = 0x110000
    call_format: tuple[str, str] = ("", "arguments")

    def encode(self, prompt: Prompt, answer_start: str = "") -> Sequence[int]:
        text = prompt if isinstance(prompt, str) else prompt.turns[-1].content
        return [ord(character) for character in text + answer_start]


class EchoBackend:
    """Answers each prompt in a thread of its own."""

    def __init__(self, precision: str) -> None:
        self.precision = precision
        self._held = 0
        self._unloaded: list[str] = []

    def submit(self, answers: list[Answer]) -> None:
        for answer in answers:
            threading.Thread(target=self._answer, args=(answer,), daemon=True).start()

    def unload(self, adapter: str) -> None:
        self._unloaded.append(Path(adapter).name)

    def _answer(self, answer: Answer) -> None:
        text = "".join(map(chr, answer.prompt))
        match text:
            case "die":
                answer.send(GenerationChunk(0, "las", n_tokens=1))
                os.kill(os.getpid(), signal.SIGKILL)
            case "hold":
                self._hold(answer)
                return
            case "fail":
                answer.fail(RuntimeError("the back end has no memory left in /root/secret/x"))
                return
            case "print":
                os.write(1, b"a library prints this\n")
            case "held":
                text = str(self._held)
            case "pid":
                text = f"{os.getpid()} {Path(answer.adapter).name}"
            case "unloaded":
                text = " ".join(self._unloaded)
            case "call":
                text = 'Now: <tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>'
            case "calls":
                text = (
                    '[TOOL_CALLS][{"name": "add", "arguments": {}}, {"name": "b", "arguments": {}}]'
                )
            case "schema":
                text = str(answer.params.json_schema)
        for character in text[: answer.params.max_tokens]:
            entry = TokenLogprob(character, -0.5, {character: -0.5})
            logprobs = () if answer.params.logprobs is None else (entry,)
            answer.send(GenerationChunk(0, character, logprobs, 1))
        reason = "length" if len(text) > answer.params.max_tokens else "stop"
        answer.send(GenerationChunk(0, "", finish_reason=reason))

    def _hold(self, answer: Answer) -> None:
        self._held += 1
        pause = threading.Event()
        while not answer.is_cancelled:
            answer.send(GenerationChunk(0, ".", n_tokens=1))
            pause.wait(0.01)
        self._held -= 1


def open_echo(opening: Any, writer: MessageWriter) -> tuple[ServingWorker, str]:
    if "--broken" in sys.argv:
        raise EngineError(f"{opening['base']}: the weights are damaged", hint="Add them again.")
    precision = "fp32" if "--fp32" in sys.argv else opening["precision"]
    worker = ServingWorker(
        EchoBackend(precision),
        EchoEncoder(),
        writer,
        context_length=opening["context_length"],
        has_grammar="--no-grammar" not in sys.argv,
    )
    return worker, f"echo {precision}"


if __name__ == "__main__":
    sys.exit(serve(open_echo))
