"""A local port that can be closed for a while and then refuses connections."""

import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from ftops.clock import Clock

_POLL_INTERVAL_S = 0.005


class ClosablePort:
    """Passes each request to `handle`; the port stays bound while it is closed."""

    def __init__(self, handle: Callable[[BaseHTTPRequestHandler], None], clock: Clock) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                handle(self)

            do_GET = do_POST
            do_DELETE = do_POST

            def log_message(self, format: str, *args: object) -> None: ...

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: object, client_address: object) -> None:
                """Ignore clients that disconnect, as killed commands do."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._address = ("127.0.0.1", self._server.server_port)
        self._clock = clock
        self._serving: threading.Thread | None = None
        self._waiting: threading.Thread | None = None
        self._is_closing = threading.Event()
        self.is_closed = False

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def open(self) -> None:
        """Start to serve."""
        self._serving = threading.Thread(target=self._server.serve_forever, args=(0.005,))
        self._serving.start()

    def refuse(self, seconds: float) -> None:
        """Refuse every connection for this time of the clock."""
        self.is_closed = True
        self._stop_serving()
        self._server.socket.close()
        # A socket that is bound and does not listen refuses connections.
        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(self._address)
        self._server.socket = bound
        until_s = self._clock.monotonic_s() + seconds
        self._waiting = threading.Thread(target=self._reopen, args=(until_s,))
        self._waiting.start()

    def close(self) -> None:
        """Close the port for good."""
        self._is_closing.set()
        if self._waiting:
            self._waiting.join()
        self._stop_serving()
        self._server.server_close()

    def _reopen(self, until_s: float) -> None:
        while self._clock.monotonic_s() < until_s:
            if self._is_closing.wait(_POLL_INTERVAL_S):
                return
        self._server.socket.listen(64)
        self.is_closed = False
        self.open()

    def _stop_serving(self) -> None:
        if self._serving:
            self._server.shutdown()
            self._serving.join()
            self._serving = None
