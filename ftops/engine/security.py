"""The door: who may come in, and how much they may bring.

Every answer carries `x-request-id`, how long it took, whose key it was, and the API's version. No
web page comes in (`origin.py`), nobody without a key (`keys.py`), and bodies are counted while they
arrive, so that nothing too large is ever held in memory.
"""

import re
import secrets
import threading
from dataclasses import dataclass

from anyio import to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ftops.clock import Clock
from ftops.engine.api.failures import REQUEST_ID, ApiError, error_response
from ftops.engine.keys import OWNER, Caller, KeyRing
from ftops.engine.origin import Origins

_OPEN_PATHS = frozenset({"/openapi.json"})  # the same public text for everybody
_UPLOAD_PATHS = frozenset({"/v1/files"})
_VERSION = "2020-10-01"
_PART_PATH = re.compile(r"/v1/uploads/[^/]+/parts")
_UPLOAD_SLACK_BYTES = 1 << 16  # form fields and boundaries around the file
_CALLER = "ftops.caller"


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a body may be, in bytes: of an upload, of a part of one, of anything else."""

    upload_bytes: int
    part_bytes: int
    body_bytes: int

    def of(self, path: str) -> int:
        """The limit for a body that is sent to `path`."""
        if path in _UPLOAD_PATHS:
            return self.upload_bytes + _UPLOAD_SLACK_BYTES
        if _PART_PATH.fullmatch(path):
            return self.part_bytes + _UPLOAD_SLACK_BYTES
        return self.body_bytes


class Activity:
    """Whether anybody wants something from the engine; health checks do not count."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._lock = threading.Lock()
        self._open = 0
        self._last_s = clock.monotonic_s()

    def began(self) -> None:
        with self._lock:
            self._open += 1

    def ended(self) -> None:
        with self._lock:
            self._open -= 1
            self._last_s = self.clock.monotonic_s()

    @property
    def idle_s(self) -> float:
        """Seconds since the last request ended; 0 while one is under way."""
        with self._lock:
            return 0.0 if self._open else self.clock.monotonic_s() - self._last_s


class Door:
    """ASGI middleware around the whole app."""

    def __init__(
        self, app: ASGIApp, *, keys: KeyRing, host: str, limits: Limits, activity: Activity
    ) -> None:
        self._app = app
        self._keys = keys
        self._origins = Origins(host)
        self._limits = limits
        self._activity = activity

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        counts = scope["path"] != "/healthz"
        if counts:
            self._activity.began()
        try:
            scope[REQUEST_ID] = f"req_{secrets.token_hex(16)}"
            await self._admit(scope, receive, self._with_headers(scope, send))
            await self._note_use(scope)
        finally:
            if counts:
                self._activity.ended()

    async def _note_use(self, scope: Scope) -> None:
        """After the answer: nobody waits for it."""
        caller: Caller | None = scope.get(_CALLER)
        if caller is not None and self._keys.is_note_due(caller):
            await to_thread.run_sync(self._keys.note_use, caller)

    def _with_headers(self, scope: Scope, send: Send) -> Send:
        clock = self._activity.clock
        began_s = clock.monotonic_s()

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = scope[REQUEST_ID]
                headers["openai-processing-ms"] = str(round(1000 * (clock.monotonic_s() - began_s)))
                headers["openai-version"] = _VERSION
                if OWNER in scope:
                    headers["openai-organization"] = scope[OWNER]
            await send(message)

        return send_with_headers

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        limit = self._limits.of(scope["path"])
        try:
            self._origins.check(headers)
            if scope["path"] not in _OPEN_PATHS:
                scope[_CALLER] = caller = self._get_caller(scope, headers)
                scope[OWNER] = caller.owner
            length = headers.get("content-length", "")
            if length.isdecimal() and int(length) > limit:
                raise too_large(limit)
        except ApiError as error:
            await error_response(error)(scope, receive, send)
            return
        await self._app(scope, _counted(receive, limit), send)

    def _get_caller(self, scope: Scope, headers: Headers) -> Caller:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            message = "No API key was sent: it goes into the header 'Authorization: Bearer KEY'."
            raise ApiError(401, message, headers={"www-authenticate": "Bearer"})
        is_here = self._origins.is_here(scope, headers)
        caller = self._keys.find_caller(token.strip(), from_here=is_here)
        if caller is None:
            message = (
                "Wrong API key: on this machine the engine's own stands in the file 'token' of "
                "its folder; `ftops engine keys create NAME` makes others."
            )
            headers_out = {"www-authenticate": "Bearer"}
            raise ApiError(401, message, code="invalid_api_key", headers=headers_out)
        return caller


def too_large(limit: int) -> ApiError:
    """413, with the limit."""
    message = f"The body is larger than {limit:,} bytes."
    return ApiError(413, message, code="request_too_large", headers={"connection": "close"})


def _counted(receive: Receive, limit: int) -> Receive:
    taken = 0

    async def counted() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > limit:
            raise too_large(limit)
        return message

    return counted
