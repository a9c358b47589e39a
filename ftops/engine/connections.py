"""Connections that cannot be held for ever by a client that does nothing.

The web server by itself waits without end for the rest of a request's head, and for a client that
does not read its answer. Here both have a limit; the rest of a body has one in the door
(`security.py`), where it can still be answered. A connection beyond the limit is told so by the
door (503), one far beyond it is closed unread.
"""

import asyncio
import contextlib
import sys
from dataclasses import dataclass
from typing import Any, ClassVar

from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from ftops.engine.security import FULL

_CLOSED_UNREAD = 2  # times the limit


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a connection waits for its client, in seconds, and how many there may be."""

    head_s: float  # for a whole request head, from the connection's beginning or the last answer
    answer_s: float  # for a client to read what is waiting for it
    connections: int


class Connection(H11Protocol):
    """One client. Made by the server from a class with its own `patience` (`patient`)."""

    patience: ClassVar[Patience]

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], **rest: Any
    ) -> None:
        super().__init__(config, server_state, app_state, **rest)
        self._head = _Deadline(self.loop, self.patience.head_s)
        self._answer = _Deadline(self.loop, self.patience.answer_s)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        taken = len(self.connections)
        if taken > _CLOSED_UNREAD * self.patience.connections:
            transport.abort()
        elif taken > self.patience.connections:
            self.app_state = {**self.app_state, FULL: True}
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._head.lift()
        self._answer.lift()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_head()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch_head()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._answer.set(self.transport)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._answer.lift()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._answer.set(self.transport)  # closing waits until everything is written

    def _watch_head(self) -> None:
        """Wait for a head unless a request is under way; what drips in does not prolong it."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._head.lift()
        elif not self.transport.is_closing():
            self._head.set(self.transport)


class _Deadline:
    """Cuts a connection off unless it is lifted in time; setting it again does not prolong it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, wait_s: float) -> None:
        self._loop = loop
        self._wait_s = wait_s
        self._timer: asyncio.TimerHandle | None = None

    def set(self, transport: asyncio.Transport) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(self._wait_s, transport.abort)

    def lift(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def allow_files(count: int) -> None:
    """Let this process have `count` open files, where the system lets it."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
        with contextlib.suppress(ValueError, OSError):  # some systems allow less than they say
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def patient(patience: Patience) -> type[Connection]:
    """The class of a server's connections."""
    return type("PatientConnection", (Connection,), {"patience": patience})
