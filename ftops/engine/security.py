"""Access to the engine: the origin of requests, their keys, and the size and time of their bodies.

Every response has `x-request-id`, the processing time, the owner of the key and the API's version.
Requests from web pages, and those without a valid key, are refused. The size of a body is checked
while it arrives, so that it fits into memory, and its transfer is timed, so that a slow client
cannot hold a request open.
"""

import re
import secrets
import threading
from dataclasses import dataclass

from anyio import fail_after, to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ftops.clock import Clock
from ftops.engine.address import is_loopback
from ftops.engine.api.errors import REQUEST_ID, ApiError, error_response
from ftops.engine.keys import OWNER, KeyAuthenticator, KeyHolder

_EVERY_ADDRESS = frozenset({"0.0.0.0", "::"})
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")  # set by proxies
_OWN_SITE = frozenset({"same-origin", "none"})  # none: no page sent the request


class OriginPolicy:
    """Checks where requests to an engine on `host` come from."""

    def __init__(self, host: str) -> None:
        # The names of an engine that listens on all addresses are unknown.
        self._names = None if host in _EVERY_ADDRESS else _LOOPBACK | {host, f"[{host}]"}
        self._is_private = is_loopback(host)

    def check(self, headers: Headers) -> None:
        """ApiError 403 for an unknown host name, and for a request of a web page.

        DNS can resolve any name to this machine, and a browser sends the requests of any page, but
        it adds these headers.
        """
        host = headers.get("host", "").lower()
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if self._names is not None and name not in self._names:
            message = f"Invalid Host header: {host!r}."
            raise ApiError(403, message, code="bad_host")
        origin = headers.get("origin")
        is_own = origin is None or origin.lower() in (f"http://{host}", f"https://{host}")
        if not is_own or headers.get("sec-fetch-site", "none").lower() not in _OWN_SITE:
            message = f"Requests of web pages are not allowed (origin {origin or 'unknown'!r})."
            raise ApiError(403, message, code="bad_origin")

    def is_local(self, scope: Scope, headers: Headers) -> bool:
        """Whether a request comes from this machine, as far as can be determined."""
        if any(name in headers for name in _FORWARDED):
            return False
        if self._is_private:
            return True
        client, server = scope.get("client"), scope.get("server")
        if client is None:
            return False
        # A connection of this machine to one of its own addresses comes from that address.
        return is_loopback(client[0]) or (server is not None and client[0] == server[0])


_OPEN_PATHS = frozenset({"/openapi.json"})  # public
_UPLOAD_PATHS = frozenset({"/v1/files"})
_VERSION = "2020-10-01"
_PART_PATH = re.compile(r"/v1/uploads/[^/]+/parts")
_UPLOAD_SLACK_BYTES = 1 << 16  # for form fields and boundaries around the file
_LEAST_BYTES_PER_S = 1024  # the minimum average rate of a body
_RETRY_FULL_S = 5
OVERLOADED = "ftops.full"  # in the state of a scope: there are too many connections
_CALLER = "ftops.caller"


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """The maximum bytes of a body, by path, and the seconds to wait for its next chunk."""

    upload_bytes: int
    part_bytes: int
    body_bytes: int
    body_timeout_s: float

    def of(self, path: str) -> int:
        """The limit of a body for `path`, in bytes."""
        if path in _UPLOAD_PATHS:
            return self.upload_bytes + _UPLOAD_SLACK_BYTES
        if _PART_PATH.fullmatch(path):
            return self.part_bytes + _UPLOAD_SLACK_BYTES
        return self.body_bytes


class Activity:
    """The time since the last request; health checks do not count."""

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
        """Seconds since the last request ended; 0 while one is active."""
        with self._lock:
            return 0.0 if self._open else self.clock.monotonic_s() - self._last_s


class SecurityMiddleware:
    """ASGI middleware around the app."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        keys: KeyAuthenticator,
        host: str,
        limits: BodyLimits,
        activity: Activity,
    ) -> None:
        self._app = app
        self._keys = keys
        self._origin_policy = OriginPolicy(host)
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
            await self._record_use(scope)
        finally:
            if counts:
                self._activity.ended()

    async def _record_use(self, scope: Scope) -> None:
        """Called after the response, so that no client waits for it."""
        caller: KeyHolder | None = scope.get(_CALLER)
        if caller is not None and self._keys.is_record_due(caller):
            await to_thread.run_sync(self._keys.record_use, caller)

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
            if scope.get("state", {}).get(OVERLOADED):
                raise _overloaded()
            self._origin_policy.check(headers)
            if scope["path"] not in _OPEN_PATHS:
                scope[_CALLER] = caller = self._get_caller(scope, headers)
                scope[OWNER] = caller.owner
            length = headers.get("content-length", "")
            if length.isdecimal() and int(length) > limit:
                raise too_large(limit)
        except ApiError as error:
            await error_response(error)(scope, receive, send)
            return
        body = _Body(receive, limit, self._limits.body_timeout_s, self._activity.clock)
        await self._app(scope, body.receive, send)

    def _get_caller(self, scope: Scope, headers: Headers) -> KeyHolder:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            message = "No API key was sent. Send the header 'Authorization: Bearer KEY'."
            raise ApiError(401, message, headers={"www-authenticate": "Bearer"})
        is_local = self._origin_policy.is_local(scope, headers)
        caller = self._keys.find_holder(token.strip(), is_local=is_local)
        if caller is None:
            message = (
                "Incorrect API key. On this machine, use the one in the file 'token' of the "
                "engine's folder; `ftops engine keys create NAME` creates others."
            )
            headers_out = {"www-authenticate": "Bearer"}
            raise ApiError(401, message, code="invalid_api_key", headers=headers_out)
        return caller


def too_large(limit: int) -> ApiError:
    """413, with the limit.

    The connection stays open, and the server drops the rest of the body: closing it with unread
    bytes would reset it, and the client would lose the response.
    """
    message = f"The body is larger than {limit:,} bytes."
    return ApiError(413, message, code="request_too_large")


def _overloaded() -> ApiError:
    message = "Too many connections. Try again in a moment."
    headers = {"connection": "close", "retry-after": str(_RETRY_FULL_S)}
    return ApiError(503, message, code="engine_overloaded", headers=headers)


def _too_slow(taken: int) -> ApiError:
    message = f"Timeout in the body of the request, after {taken:,} bytes."
    headers = {"connection": "close"}
    return ApiError(408, message, code="request_timeout", headers=headers)


class _Body:
    """A body being received: ApiError 413 when it is too large, 408 after a timeout.

    Only the time spent waiting for the client counts.
    """

    def __init__(self, receive: Receive, limit: int, wait_s: float, clock: Clock) -> None:
        self._receive = receive
        self._limit = limit
        self._wait_s = wait_s
        self._clock = clock
        self._taken = 0
        self._waited_s = 0.0
        self._is_complete = False

    async def receive(self) -> Message:
        if self._is_complete:  # the next message is the disconnect
            return await self._receive()
        left_s = self._wait_s + self._taken / _LEAST_BYTES_PER_S - self._waited_s
        began_s = self._clock.monotonic_s()
        try:
            with fail_after(min(self._wait_s, left_s)):
                message = await self._receive()
        except TimeoutError:
            self._is_complete = True
            raise _too_slow(self._taken) from None
        self._waited_s += self._clock.monotonic_s() - began_s
        self._taken += len(message.get("body", b""))
        if self._taken > self._limit:
            raise too_large(self._limit)
        self._is_complete = not message.get("more_body", False)
        return message
