"""A port of this machine that may be shut for a while: whoever comes then is refused."""

import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from ftops.clock import Clock

_LOOK_EVERY_S = 0.005


class ClosablePort:
    """Passes each request to `handle`; the port stays ours while it is shut."""

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
                """Who hangs up early, as a killed command does, is no news."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._place = ("127.0.0.1", self._server.server_port)
        self._clock = clock
        self._serving: threading.Thread | None = None
        self._waiting: threading.Thread | None = None
        self._ending = threading.Event()
        self.is_shut = False

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def open(self) -> None:
        """Begin to serve."""
        self._serving = threading.Thread(target=self._server.serve_forever, args=(0.005,))
        self._serving.start()

    def shut(self, seconds: float) -> None:
        """Refuse every connection until so many seconds have passed on the clock."""
        self.is_shut = True
        self._stop_serving()
        self._server.socket.close()
        # A socket that is bound, and does not listen, refuses whoever knocks.
        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(self._place)
        self._server.socket = bound
        until_s = self._clock.monotonic_s() + seconds
        self._waiting = threading.Thread(target=self._come_back, args=(until_s,))
        self._waiting.start()

    def close(self) -> None:
        """End it, shut or not."""
        self._ending.set()
        if self._waiting:
            self._waiting.join()
        self._stop_serving()
        self._server.server_close()

    def _come_back(self, until_s: float) -> None:
        while self._clock.monotonic_s() < until_s:
            if self._ending.wait(_LOOK_EVERY_S):
                return
        self._server.socket.listen(64)
        self.is_shut = False
        self.open()

    def _stop_serving(self) -> None:
        if self._serving:
            self._server.shutdown()
            self._serving.join()
            self._serving = None
