"""A local proxy that cuts off each stream and forwards everything else."""

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from tests.loopback import serve_loopback

_OWN_HEADERS = frozenset({"host", "connection", "transfer-encoding", "content-length"})


@dataclass
class CuttingProxy:
    """A proxy of `target`; `cuts` lists the forwarded bytes of each stream."""

    target: str
    grows_by: int  # bytes that each stream gets more than the previous one
    cuts: list[int] = field(default_factory=list)
    base_url: str = ""

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("content-length") or 0))
        headers = {n: v for n, v in request.headers.items() if n.lower() not in _OWN_HEADERS}
        connection = http.client.HTTPConnection(urlsplit(self.target).netloc, timeout=30)
        try:
            connection.request(request.command, request.path, body, headers)
            response = connection.getresponse()
            request.send_response(response.status)
            for name, value in response.getheaders():
                if name.lower() not in _OWN_HEADERS:
                    request.send_header(name, value)
            if "stream=true" in request.path:
                self._cut(request, response)
            else:
                content = response.read()
                request.send_header("content-length", str(len(content)))
                request.end_headers()
                request.wfile.write(content)
        except ConnectionError:
            request.close_connection = True
        finally:
            connection.close()

    def _cut(self, request: BaseHTTPRequestHandler, response: http.client.HTTPResponse) -> None:
        request.send_header("transfer-encoding", "chunked")
        request.end_headers()
        self.cuts.append(self.grows_by * (len(self.cuts) + 1))
        remaining = self.cuts[-1]
        while remaining and (content := response.read1(remaining)):
            request.wfile.write(b"%x\r\n%b\r\n" % (len(content), content))
            remaining -= len(content)
        request.close_connection = True  # without the last chunk


@contextmanager
def cutting_proxy(target: str, *, grows_by: int) -> Iterator[CuttingProxy]:
    proxy = CuttingProxy(target, grows_by)
    with serve_loopback(proxy.handle) as port:
        proxy.base_url = f"http://127.0.0.1:{port}{urlsplit(target).path}"
        yield proxy
