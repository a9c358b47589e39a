"""The client over a real socket: incomplete responses, refused connections, proxies."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ftops.errors import InvalidResponse, Unreachable
from ftops.providers.provider import Provider, ProviderContext
from ftops.providers.registry import build_provider
from ftops.records import JobRequest, ProviderSettings, Sampling
from tests.fakes import FakeClock
from tests.providers.conftest import KEY
from tests.providers.test_openai_response import JOB

REQUEST = JobRequest("gpt-4o-mini", "file-t")


@dataclass
class Server:
    """Handles each request with the next of `handlers`; repeats the last one."""

    handlers: list[Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                server.requests.append(f"{self.command} {self.path}")
                server.bodies.append(self.rfile.read(int(self.headers["content-length"] or 0)))
                turn = server.handlers.pop(0) if len(server.handlers) > 1 else server.handlers[0]
                turn(self)

            do_GET = do_POST
            do_DELETE = do_POST

            def log_message(self, format: str, *args: object) -> None: ...

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self.http.server_port}/v1"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,))
        self.thread.start()


def respond(
    body: object, *, content_length: int | None = None
) -> Callable[[BaseHTTPRequestHandler], None]:
    """Respond with `body`; `content_length` is a content length that the body does not reach."""
    content = json.dumps(body).encode()

    def handle(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", str(content_length or len(content)))
        handler.end_headers()
        handler.wfile.write(content)
        handler.close_connection = content_length is not None

    return handle


def close_without_response(handler: BaseHTTPRequestHandler) -> None:
    """Read the request and send no response."""
    handler.close_connection = True


@pytest.fixture
def server() -> Iterator[Server]:
    created = Server()
    yield created
    created.http.shutdown()
    created.thread.join()
    created.http.server_close()


@pytest.fixture
def provider(server: Server, tmp_path: Path) -> Iterator[Provider]:
    settings = ProviderSettings("openai", base_url=server.base_url)
    created = build_provider(
        settings, ProviderContext({"OPENAI_API_KEY": KEY}, tmp_path, FakeClock())
    )
    yield created
    created.close()


def test_a_dropped_connection_never_creates_a_second_job(
    server: Server, provider: Provider
) -> None:
    server.handlers = [close_without_response]
    with pytest.raises(Unreachable, match=r"create a job on gpt-4o-mini: http://127\.0\.0\.1"):
        provider.create_job(REQUEST)
    assert server.requests == ["POST /v1/fine_tuning/jobs"]


def test_a_dropped_connection_of_a_read_is_retried(server: Server, provider: Provider) -> None:
    server.handlers = [close_without_response, close_without_response, respond(JOB)]
    assert provider.get_job("ftjob-1").id == "ftjob-1"
    assert len(server.requests) == 3


def test_an_incomplete_response_is_an_error(server: Server, provider: Provider) -> None:
    server.handlers = [respond(JOB, content_length=100_000)]
    with pytest.raises(Unreachable):
        provider.create_job(REQUEST)
    server.handlers = [respond(JOB, content_length=100_000), respond(JOB)]
    assert provider.get_job("ftjob-1").id == "ftjob-1"


def test_a_refused_connection_is_unreachable(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as unused:
        port = unused.server_port
    clock = FakeClock()
    provider = build_provider(
        ProviderSettings("openai", base_url=f"http://127.0.0.1:{port}/v1"),
        ProviderContext({"OPENAI_API_KEY": KEY}, tmp_path, clock),
    )
    with pytest.raises(Unreachable, match=f"http://127.0.0.1:{port}: .*refused"):
        provider.get_job("ftjob-1")
    assert len(clock.slept_s) == 9
    provider.close()


def test_loopback_is_never_reached_through_a_proxy(
    server: Server, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    server.handlers = [respond(JOB)]
    assert provider.get_job("ftjob-1").id == "ftjob-1"


def test_a_large_upload_is_streamed_with_length_and_progress(
    server: Server, provider: Provider, tmp_path: Path
) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"x" * 3_000_000)
    file = {"id": "file-1", "filename": "t.jsonl", "bytes": 3_000_000, "status": "processed"}
    server.handlers = [respond(file)]
    sent: list[int] = []
    provider.upload_file(path, filename="t.jsonl", on_bytes=lambda done, total: sent.append(done))
    assert len(server.bodies[0]) > 3_000_000
    assert len(sent) > 40
    assert sent[-1] == 3_000_000


def test_an_interrupted_stream_is_an_error_after_its_received_text(
    server: Server, provider: Provider
) -> None:
    def close_in_stream(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream")
        handler.send_header("content-length", "1000")
        handler.end_headers()
        handler.wfile.write(b'data: {"choices": [{"text": "ye"}]}\n\n')
        handler.close_connection = True

    server.handlers = [close_in_stream]
    chunks = provider.stream("m", "?", Sampling())
    assert next(chunks) == "ye"
    with pytest.raises(Unreachable, match="request a completion from m: "):
        next(chunks)
    assert len(server.requests) == 1


def test_a_response_of_another_service_is_invalid(server: Server, provider: Provider) -> None:
    server.handlers = [respond(["welcome"])]
    with pytest.raises(InvalidResponse, match="welcome") as caught:
        provider.get_job("ftjob-1")
    assert "`base_url`" in caught.value.hint
