"""A webhook server on loopback, with the responses that a test sets."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
KEY = b"0123456789abcdef0123456789abcdef"


@dataclass(frozen=True)
class Delivery:
    """One received request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.body)
        return value


@dataclass
class Receiver:
    """Responds with `responses` in order, then with 204; None: no response."""

    url: str = ""
    responses: list[tuple[int, dict[str, str]] | None] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    closed: threading.Event = field(default_factory=threading.Event)

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.deliveries.append(Delivery(request.path, headers, body))
        response = self.responses.pop(0) if self.responses else (204, {})
        if response is None:
            self.closed.wait(30)
            return
        status, extra = response
        request.send_response(status)
        for name, value in {"content-length": "0", **extra}.items():
            request.send_header(name, value)
        request.end_headers()


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver that listens until the block ends."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.handle(self)

        do_GET = do_POST

        def log_message(self, format: str, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_port}/hooks/ftops"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield receiver
        finally:
            receiver.closed.set()
            server.shutdown()
            thread.join()
