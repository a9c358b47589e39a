"""Limits of connections: a slow or idle client cannot hold one forever.

Uvicorn has no timeout for the headers of a request, and none for a client that does not read the
response. Both are added here; the timeout of a body is in `security.py`, which can still respond. A
new connection beyond the limit replaces the oldest one without an active request. If all are
active, it is refused (503), and one far beyond the limit is closed unread.

Uvicorn also parses all received bytes at once. Here the number of header lines is limited, and many
short chunks are parsed a few at a time, so that other requests continue in between.
"""

import asyncio
import contextlib
import sys
from dataclasses import dataclass
from typing import Any, ClassVar

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from ftops.engine.security import OVERLOADED

_CLOSED_UNREAD = 2  # times the limit
_MAX_HEAD_LINES = 200
_MAX_HEAD_BYTES = 1 << 16
_MANY_LINES = 128  # in one chunk of data
_SLICE_BYTES = 1 << 8  # parsed at a time if there are many
_LINGER_S = 1.0
_GRACE_S = 0.1
_END_OF_HEAD = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """The timeouts of a connection, and the maximum of connections."""

    header_timeout_s: float  # for all headers, from the connection or the last response on
    write_timeout_s: float  # for a client to read
    connections: int


class Connection(H11Protocol):
    """The connection of a client; `make_connection_class` sets the class variables."""

    limits: ClassVar[ConnectionLimits]
    idle: ClassVar[dict["Connection", None]]  # without an active request, oldest first

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], **rest: Any
    ) -> None:
        super().__init__(config, server_state, app_state, **rest)
        self._head = _Deadline(self.loop, self.limits.header_timeout_s)
        self._answer = _Deadline(self.loop, self.limits.write_timeout_s)
        self._head_lines = self._head_bytes = 0  # of the incomplete headers
        self._head_end = b""  # its last bytes
        self._head_is_complete = False
        self._unparsed = bytearray()
        self._is_discarding = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        taken = len(self.connections)
        if taken > _CLOSED_UNREAD * self.limits.connections:
            if not self._close_oldest_idle():
                transport.abort()
        elif taken > self.limits.connections:
            if self.idle:  # after reading data that the oldest one may just have sent
                self.loop.call_later(_GRACE_S, self._close_excess)
            else:
                self.app_state = {**self.app_state, OVERLOADED: True}
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unparsed.clear()
        self.idle.pop(self, None)
        super().connection_lost(exc)
        self._head.cancel()
        self._answer.cancel()

    def data_received(self, data: bytes) -> None:
        if self._is_discarding or not self._take_head(data):
            return
        if not self._unparsed and not self._is_slow_to_parse(data):
            self._parse(data)
            return
        waits = bool(self._unparsed)
        self._unparsed += data
        self.transport.pause_reading()
        if not waits:
            self._parse_slice()

    def _parse_slice(self) -> None:
        if self.transport.is_closing():
            return
        n_bytes = len(self._unparsed)
        if self._is_slow_to_parse(self._unparsed):
            if self._is_answered():
                self._discard()
                return
            n_bytes = _SLICE_BYTES
        data = bytes(self._unparsed[:n_bytes])
        del self._unparsed[:n_bytes]
        self._parse(data)
        if self._unparsed:
            self.loop.call_soon(self._parse_slice)
        elif not self.flow.read_paused:
            self.transport.resume_reading()

    def _is_slow_to_parse(self, data: bytes | bytearray) -> bool:
        """Whether it has many header lines, or many chunks of a body."""
        if self.conn.their_state is h11.SEND_BODY and not self._is_chunked():
            return False
        return data.count(b"\n") > _MANY_LINES

    def _is_chunked(self) -> bool:
        return any(name == b"transfer-encoding" for name, _ in self.headers)

    def _is_answered(self) -> bool:
        """Whether the data is the rest of a body whose request has its response."""
        in_body = self.conn.their_state is h11.SEND_BODY
        return in_body and self.cycle is not None and self.cycle.response_complete

    def _discard(self) -> None:
        """Drop the rest of a body, and close when the response has been read."""
        self._is_discarding = True
        self._unparsed.clear()
        self.transport.resume_reading()
        self.loop.call_later(_LINGER_S, self.transport.close)

    def _parse(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_head()

    def on_response_complete(self) -> None:
        # Pipelined requests: the client has sent more of them.
        if self.conn.trailing_data[0].count(b"\n") > _MAX_HEAD_LINES:
            self.transport.close()
        super().on_response_complete()
        self._watch_head()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._answer.start(self.transport)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._answer.cancel()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._answer.start(self.transport)  # closing waits for unread data

    def _watch_head(self) -> None:
        """Start the timeout of headers unless a request is active; data does not extend it."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._head_lines = self._head_bytes = 0
            self._head_end, self._head_is_complete = b"", False
            self._head.cancel()
            self.idle.pop(self, None)
        elif not self.transport.is_closing():
            self._head.start(self.transport)
            self.idle.setdefault(self)

    def _take_head(self, data: bytes) -> bool:
        """Count the header data; False when it is too long, and was refused."""
        if self._head_is_complete or self.conn.their_state is not h11.IDLE:
            return True  # of a body
        text = self._head_end + data
        end = text.find(_END_OF_HEAD)
        head = text if end < 0 else text[:end]
        self._head_lines += head.count(b"\n", len(self._head_end))
        self._head_bytes += len(head) - len(self._head_end)
        self._head_end = text[1 - len(_END_OF_HEAD) :]
        self._head_is_complete = end >= 0
        if self._head_lines <= _MAX_HEAD_LINES and self._head_bytes <= _MAX_HEAD_BYTES:
            return True
        self.send_400_response("The headers of the request are too long.")
        return False

    def _close_excess(self) -> None:
        while len(self.connections) > self.limits.connections and self._close_oldest_idle():
            pass

    def _close_oldest_idle(self) -> bool:
        """Close the connection that is idle for longest; False when none is idle."""
        oldest = next(iter(self.idle), None)
        if oldest is None:
            return False
        del self.idle[oldest]
        self.connections.discard(oldest)
        oldest.transport.abort()
        return True


class _Deadline:
    """Aborts a connection unless it is cancelled in time; starting it again does not extend it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, wait_s: float) -> None:
        self._loop = loop
        self._wait_s = wait_s
        self._timer: asyncio.TimerHandle | None = None

    def start(self, transport: asyncio.Transport) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(self._wait_s, transport.abort)

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def allow_files(count: int) -> None:
    """Raise the limit of open files to `count`, as far as the system allows."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
        with contextlib.suppress(ValueError, OSError):  # some allow less
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def make_connection_class(limits: ConnectionLimits) -> type[Connection]:
    """A class of connections with these limits."""
    return type("LimitedConnection", (Connection,), {"limits": limits, "idle": {}})
