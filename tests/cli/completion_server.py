"""A completion server on loopback that returns each prompt in capitals and records requests."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.loopback import serve_loopback

Refuse = Callable[[str], "tuple[int, dict[str, Any]] | None"]


@dataclass
class CompletionServer:
    """Serves completions and chat, also streamed; `refuse` returns a status and an error."""

    base_url: str = ""
    prompts: list[str] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    refuse: Refuse = lambda _text: None
    complete: Callable[[str], str] = str.upper
    refused_parameters: tuple[str, ...] = ()
    finish_reason: str | None = "stop"
    stream_end: str = "data: [DONE]\n\n"
    before: Callable[[], None] = lambda: None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = json.loads(request.rfile.read(int(request.headers.get("content-length") or 0)))
        is_chat = request.path.endswith("/chat/completions")
        texts = [body["messages"][-1]["content"]] if is_chat else body["prompt"]
        texts = [texts] if isinstance(texts, str) else texts
        with self._lock:
            self.prompts += texts
            self.bodies.append(body)
        self.before()
        error = next((refusal for text in texts if (refusal := self.refuse(text))), None)
        for name in self.refused_parameters:
            if name in body:
                error = (400, {"message": f"'{name}' is not supported with this model"})
        if error is not None:
            self._send(request, error[0], json.dumps({"error": error[1]}).encode())
        elif body.get("stream"):
            self._stream(request, self.complete(texts[0]), is_chat=is_chat)
        else:
            choices = [self._choose(index, text, is_chat) for index, text in enumerate(texts)]
            usage = {"prompt_tokens": 10 * len(texts), "completion_tokens": 2 * len(texts)}
            self._send(request, 200, json.dumps({"choices": choices, "usage": usage}).encode())

    def _choose(self, index: int, text: str, is_chat: bool) -> dict[str, Any]:
        completion = self.complete(text)
        content = {"message": {"content": completion}} if is_chat else {"text": completion}
        return {"index": index, "finish_reason": self.finish_reason, **content}

    def _stream(self, request: BaseHTTPRequestHandler, text: str, *, is_chat: bool) -> None:
        chunks = [
            {"choices": [{"index": 0, "delta": {"content": part}, "text": part}]} for part in text
        ]
        lines = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks)
        self._send(request, 200, (lines + self.stream_end).encode(), kind="text/event-stream")

    def _send(
        self,
        request: BaseHTTPRequestHandler,
        status: int,
        body: bytes,
        kind: str = "application/json",
    ) -> None:
        request.send_response(status)
        request.send_header("content-type", kind)
        request.send_header("content-length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)


@contextmanager
def serve_completions() -> Iterator[CompletionServer]:
    server = CompletionServer()
    with serve_loopback(server.answer) as port:
        server.base_url = f"http://127.0.0.1:{port}/v1"
        yield server
