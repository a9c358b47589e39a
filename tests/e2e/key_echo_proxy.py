"""A proxy of the engine with a key of its own, which it repeats with control characters.

The token of the engine never reaches the command, which only has KEY.
"""

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from ftops.records import EngineAddress
from tests.loopback import serve_loopback

KEY = "sk-canary-0123456789-abcdefghijklmnop"
CONTROL_CHARACTERS = "\x1b]0;owned\x07\x9b2J\u202egnp"
_OWN_HEADERS = frozenset({"host", "connection", "transfer-encoding", "content-length"})


@dataclass
class KeyEchoProxy:
    """A proxy of `engine`; the next requests fail with the statuses in `failures`."""

    engine: EngineAddress
    failures: list[int] = field(default_factory=list)
    unauthorized: list[str] = field(default_factory=list)  # paths of requests without the key
    base_url: str = ""

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("content-length") or 0))
        if request.headers.get("authorization") != f"Bearer {KEY}":
            self.unauthorized.append(request.path)
        if self.failures:
            status = self.failures.pop(0)
            error = {
                "message": f"no: {KEY} {CONTROL_CHARACTERS}",
                "code": KEY,
                "param": KEY,
                "type": KEY,
            }
            self._reply(request, status, json.dumps({"error": error}).encode())
            return
        status, content, kind = self._forward(request, body)
        if b"Training started" in content:
            message = json.dumps(f"Training started with {KEY} {CONTROL_CHARACTERS}")[1:-1].encode()
            content = content.replace(b"Training started", message)
        self._reply(request, status, content, kind)

    def _forward(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes, str]:
        headers = {n: v for n, v in request.headers.items() if n.lower() not in _OWN_HEADERS}
        headers["authorization"] = f"Bearer {self.engine.token}"
        headers = {n: v for n, v in headers.items() if n != "Authorization"}
        netloc = urlsplit(self.engine.base_url).netloc
        connection = http.client.HTTPConnection(netloc, timeout=30)
        try:
            connection.request(request.command, request.path, body, headers)
            response = connection.getresponse()
            kind = response.getheader("content-type") or ""
            return response.status, response.read(), kind
        finally:
            connection.close()

    def _reply(
        self,
        request: BaseHTTPRequestHandler,
        status: int,
        content: bytes,
        kind: str = "application/json",
    ) -> None:
        request.send_response(status)
        request.send_header("content-type", kind)
        request.send_header("x-request-id", f"req_{KEY}")
        request.send_header("retry-after-ms", "10")
        request.send_header("content-length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)


@contextmanager
def key_echo_proxy(engine: EngineAddress) -> Iterator[KeyEchoProxy]:
    proxy = KeyEchoProxy(engine)
    with serve_loopback(proxy.handle) as port:
        proxy.base_url = f"http://127.0.0.1:{port}{urlsplit(engine.base_url).path}"
        yield proxy
