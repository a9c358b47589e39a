"""A loopback server that sends scripted responses and records the requests."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from tests.loopback import serve_loopback


@dataclass(frozen=True)
class Reply:
    """A response; `missing` bytes of its content length are never sent."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    missing: int = 0


@dataclass
class ScriptedServer:
    """Sends its replies in order, and repeats the last one."""

    replies: list[Reply]
    base_url: str = ""
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)  # path and headers

    def respond(self, request: BaseHTTPRequestHandler) -> None:
        request.rfile.read(int(request.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append((request.path, headers))
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        request.send_response(reply.status)
        for name, value in {"content-type": "application/json", **reply.headers}.items():
            request.send_header(name, value)
        request.send_header("content-length", str(len(reply.body) + reply.missing))
        request.end_headers()
        request.wfile.write(reply.body)
        request.close_connection = request.close_connection or reply.missing > 0


@contextmanager
def scripted_server(*replies: Reply) -> Iterator[ScriptedServer]:
    script = ScriptedServer(list(replies))
    with serve_loopback(script.respond) as port:
        script.base_url = f"http://127.0.0.1:{port}/v1"
        yield script
