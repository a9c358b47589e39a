"""A local proxy between the command and the engine with planned faults.

A `Fault` is data: it names the nth request that matches a method and a path. The proxy loses,
delays, truncates, repeats or hides responses of the engine, or sends the error of a proxy.
"""

import contextlib
import http.client
import json
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

from ftops.clock import Clock
from tests.faults.closable_port import ClosablePort

Kind = Literal[
    "refused_next",  # a response; then connections are refused for `CLOSED_S`
    "reset_before",  # the engine does not receive the request
    "reset_after",  # the engine handles the request, and the connection is reset
    "silence_after",  # the same, and the connection is closed without a response
    "truncated",  # half of the response, with a matching length
    "bad_gateway",  # 502 with an HTML page, without the engine
    "bad_gateway_after",  # the same, after the engine handled the request
    "error_500",
    "limited_1",  # 429 with Retry-After
    "limited_300",
    "conflict",  # 409
    "slow",  # the response in single bytes
    "repeated_page",  # each item of a list twice
    "missing_page",  # an empty list
    "wrong_has_more",  # has_more inverted
]
CLOSED_S = 25.0
_OWN_HEADERS = frozenset({"host", "connection", "transfer-encoding", "content-length"})
_PAGE = b"<html><body><h1>502 Bad Gateway</h1></body></html>"
_SLOW_BYTES = 64
_LISTED = ("/fine_tuning/jobs", "/files")
_PAGE_FAULTS = ("repeated_page", "missing_page", "wrong_has_more")


@dataclass(frozen=True)
class Fault:
    """`path` is a regular expression for the whole path, without the query.

    `once_ended`: only requests count that follow the success of a job.
    """

    method: str
    path: str
    nth: int
    kind: Kind
    once_ended: bool = False


@dataclass
class FaultyProxy:
    """A proxy of `target`; `injected` lists the faults that happened, `requests` counts all.

    Lists show a job `lag_s` after its creation, and a file `file_lag_s` after its upload. Pages of
    lists have at most `page_size` items.
    """

    target: str
    clock: Clock
    faults: Sequence[Fault] = ()
    lag_s: float = 0.0
    file_lag_s: float = 0.0
    page_size: int | None = None
    injected: list[Fault] = field(default_factory=list)
    requests: Counter[str] = field(default_factory=Counter)
    _counts: Counter[Fault] = field(default_factory=Counter)
    _created_s: dict[str, float] = field(default_factory=dict)
    _ended: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.closable_port = ClosablePort(self.handle, self.clock)
        self.base_url = f"{self.closable_port.address}{urlsplit(self.target).path}"

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        """Handle one request, in any thread."""
        body = request.rfile.read(int(request.headers.get("content-length") or 0))
        kind = self._find_fault(request.command, urlsplit(request.path).path)
        if kind == "reset_before" or self.closable_port.is_closed:
            _reset(request)
            return
        if response := _build_error(kind):
            _send(request, *response)
            return
        status, headers, content = self._forward(request, body)
        if kind == "reset_after":
            _reset(request)
        elif kind == "silence_after":
            request.close_connection = True
        elif kind == "bad_gateway_after":
            _send(request, 502, {"content-type": "text/html"}, _PAGE)
        else:
            if kind == "refused_next":
                self.closable_port.refuse(CLOSED_S)
                request.close_connection = True
            content = self._change(request, kind, content)
            _send(request, status, headers, content, slowly=kind == "slow")

    def _find_fault(self, method: str, path: str) -> Kind | None:
        with self._lock:
            self.requests[f"{method} {path}"] += 1
            injected = None
            for fault in self.faults:
                if fault.method == method and re.fullmatch(fault.path, path):
                    self._counts[fault] += self._ended or not fault.once_ended
                    if self._counts[fault] == fault.nth and fault not in self.injected:
                        self.injected.append(fault)
                        injected = fault.kind
        return injected

    def _forward(
        self, request: BaseHTTPRequestHandler, body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        headers = {n: v for n, v in request.headers.items() if n.lower() not in _OWN_HEADERS}
        connection = http.client.HTTPConnection(urlsplit(self.target).netloc, timeout=30)
        with contextlib.closing(connection):
            connection.request(request.command, self._limit(request.path), body, headers)
            response = connection.getresponse()
            content = response.read()
        headers = {n: v for n, v in response.getheaders() if n.lower() not in _OWN_HEADERS}
        self._record(request, content)
        return response.status, headers, content

    def _limit(self, path: str) -> str:
        """The path with a smaller `limit`, if it has one."""
        parts = urlsplit(path)
        query = dict(parse_qsl(parts.query))
        if self.page_size is None or "limit" not in query:
            return path
        return parts._replace(query=urlencode({**query, "limit": self.page_size})).geturl()

    def _record(self, request: BaseHTTPRequestHandler, content: bytes) -> None:
        path = urlsplit(request.path).path
        with self._lock:
            if request.command == "POST" and path.endswith(_LISTED):
                self._created_s[json.loads(content).get("id", "")] = self.clock.monotonic_s()
            if re.search(r"/fine_tuning/jobs/[\w-]+$", path):
                self._ended = self._ended or json.loads(content).get("status") == "succeeded"

    def _change(self, request: BaseHTTPRequestHandler, kind: Kind | None, content: bytes) -> bytes:
        if kind == "truncated":
            return content[: len(content) // 2]
        lists = request.command == "GET" and urlsplit(request.path).path.endswith(_LISTED)
        if kind in _PAGE_FAULTS or (lists and (self.lag_s or self.file_lag_s)):
            page: dict[str, Any] = json.loads(content)
            return json.dumps(self._change_page(page, kind)).encode()
        return content

    def _change_page(self, page: dict[str, Any], kind: Kind | None) -> dict[str, Any]:
        items = [item for item in page["data"] if not self._is_late(item)]
        if kind == "repeated_page":
            items = [item for item in items for _ in range(2)]
        if kind == "missing_page":
            items = []
        has_more = bool(page.get("has_more"))
        return {**page, "data": items, "has_more": has_more != (kind == "wrong_has_more")}

    def _is_late(self, item: dict[str, Any]) -> bool:
        created_s = self._created_s.get(item["id"])
        lag_s = self.file_lag_s if item["object"] == "file" else self.lag_s
        return created_s is not None and self.clock.monotonic_s() - created_s < lag_s


def _build_error(kind: Kind | None) -> tuple[int, dict[str, str], bytes] | None:
    """The error that the proxy sends without the engine."""
    if kind == "bad_gateway":
        return 502, {"content-type": "text/html"}, _PAGE
    statuses = {"error_500": 500, "limited_1": 429, "limited_300": 429, "conflict": 409}
    if kind not in statuses:
        return None
    error = {"error": {"message": f"the proxy sends {kind}", "type": "proxy", "code": None}}
    retry_after = {"retry-after": kind.removeprefix("limited_")} if "limited" in kind else {}
    headers = {"content-type": "application/json", **retry_after}
    return statuses[kind], headers, json.dumps(error).encode()


def _send(
    request: BaseHTTPRequestHandler,
    status: int,
    headers: dict[str, str],
    content: bytes,
    *,
    slowly: bool = False,
) -> None:
    request.send_response(status)
    for name, value in {**headers, "content-length": str(len(content))}.items():
        request.send_header(name, value)
    if request.close_connection:
        request.send_header("connection", "close")
    request.end_headers()
    head = content[:_SLOW_BYTES] if slowly else b""
    pause = threading.Event()
    for byte in head:
        request.wfile.write(bytes([byte]))
        pause.wait(0.002)
    request.wfile.write(content[len(head) :])


def _reset(request: BaseHTTPRequestHandler) -> None:
    """Reset the connection."""
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.close_connection = True


@contextlib.contextmanager
def open_proxy(
    target: str,
    clock: Clock,
    faults: Sequence[Fault] = (),
    *,
    lag_s: float = 0.0,
    file_lag_s: float = 0.0,
    page_size: int | None = None,
) -> Iterator[FaultyProxy]:
    """Open a proxy that listens at `base_url`."""
    proxy = FaultyProxy(target, clock, faults, lag_s, file_lag_s, page_size)
    proxy.closable_port.open()
    try:
        yield proxy
    finally:
        proxy.closable_port.close()
