"""Serves a stand-in on a loopback port, for clients that are processes of their own."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Protocol

import httpx2

from tests.loopback import serve_loopback


class StandIn(Protocol):
    """A stand-in for the server of a provider; a TransportError is an answer that was lost."""

    def handle(self, request: httpx2.Request, /) -> httpx2.Response: ...


@contextmanager
def serve(stand_in: StandIn) -> Iterator[str]:
    """Serve the stand-in, one request at a time; yield its address, without a path."""
    lock = threading.Lock()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        content = _read_body(handler)
        scheme = handler.headers.get("x-forwarded-proto", "http")
        url = f"{scheme}://{handler.headers['host']}{handler.path}"
        request = httpx2.Request(
            handler.command, url, headers=list(handler.headers.items()), content=content
        )
        with lock:
            try:
                response = stand_in.handle(request)
            except httpx2.TransportError:
                handler.close_connection = True
                return
            _send(handler, response)

    with serve_loopback(answer) as port:
        yield f"http://127.0.0.1:{port}"


def _read_body(handler: BaseHTTPRequestHandler) -> bytes:
    if handler.headers.get("transfer-encoding", "").lower() != "chunked":
        return handler.rfile.read(int(handler.headers.get("content-length") or 0))
    content = b""
    while size := int(handler.rfile.readline().partition(b";")[0], 16):
        content += handler.rfile.read(size)
        handler.rfile.readline()
    while handler.rfile.readline().strip():  # trailers, up to the empty line
        pass
    return content


def _send(handler: BaseHTTPRequestHandler, response: httpx2.Response) -> None:
    """Send the response; one whose stream breaks ends before its content length."""
    content, is_broken = b"", False
    assert isinstance(response.stream, httpx2.SyncByteStream)
    try:
        for piece in response.stream:
            content += piece
    except httpx2.TransportError:
        is_broken = True
    handler.send_response(response.status_code)
    for name, value in response.headers.multi_items():
        if name not in ("content-length", "transfer-encoding"):
            handler.send_header(name, value)
    if response.status_code != 204:
        handler.send_header("content-length", str(len(content) + is_broken))
    handler.end_headers()
    handler.wfile.write(content)
    handler.close_connection = is_broken
