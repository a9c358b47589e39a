"""Routes with bounded JSON bodies, and the middleware for encoded slashes in paths."""

from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import unquote

from anyio import CapacityLimiter, to_thread
from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from ftops.engine.api.errors import ApiError
from ftops.engine.api.inference import MAX_PROMPT_BYTES
from ftops.engine.bounded_json import SMALL_BYTES, TooManyValues, read_bounded
from ftops.engine.security import too_large

_LARGE_BODIES = CapacityLimiter(1)  # several would compete with the event loop
_MAX_BYTES = 2 * MAX_PROMPT_BYTES  # with escapes; a longer body is refused unread


class JsonRoute(APIRoute):
    """The route class of routers with JSON bodies; large ones are parsed in a thread."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_bounded(request: Request) -> Response:
            return await handle(_JsonRequest(request.scope, request.receive))

        return handle_bounded


class _JsonRequest(Request):
    async def json(self) -> Any:
        body = await self.body()
        if len(body) > _MAX_BYTES:
            raise _too_long(self.url.path)
        if len(body) <= SMALL_BYTES:
            return await super().json()  # accepts values that the validation then refuses by name
        try:
            return await to_thread.run_sync(read_bounded, body, limiter=_LARGE_BODIES)
        except TooManyValues as error:
            raise ApiError(400, f"The body has {error}.", code="invalid_value") from None


def _too_long(path: str) -> ApiError:
    """The error for a body that is too long; it names the prompts if the body has any."""
    if not path.endswith("/completions"):
        return too_large(_MAX_BYTES)
    message = (
        f"The request is longer than {_MAX_BYTES:,} bytes; the maximum for all prompts together is "
        f"{MAX_PROMPT_BYTES:,}, and each has to fit into the model's context."
    )
    param = "messages" if "/chat/" in path else "prompt"
    return ApiError(400, message, param=param, code="context_length_exceeded")


class EncodedPathMiddleware:
    """ASGI middleware that keeps encoded slashes (`%2F`) of a path encoded.

    Legacy clients request files by the path that a user typed, as in
    `GET /v1/files/sub%2Fdir%2Frows.jsonl`. Servers decode a path before routing, which would split
    that segment in three; no id has a slash.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw = scope.get("raw_path") if scope["type"] == "http" else None
        if raw and b"%2f" in raw.lower():
            text = raw.partition(b"?")[0].decode("latin-1")
            encoded = text.replace("%2f", "%252F").replace("%2F", "%252F")
            scope = {**scope, "path": unquote(encoded)}
        await self._app(scope, receive, send)
