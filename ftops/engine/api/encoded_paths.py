"""Keeps what clients put into a path in one piece.

Clients of the legacy protocol ask for things by whatever the user typed: `GET /v1/files/` and then
`sub%2Fdir%2Frows.jsonl`. Servers decode a path before they route it, which would make three
segments of that one. Here an encoded slash stays encoded, so that every segment is what the client
meant as one; no id contains a slash.
"""

from urllib.parse import unquote

from starlette.types import ASGIApp, Receive, Scope, Send


class EncodedPaths:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw = scope.get("raw_path") if scope["type"] == "http" else None
        if raw and b"%2f" in raw.lower():
            text = raw.partition(b"?")[0].decode("latin-1")
            kept = text.replace("%2f", "%252F").replace("%2F", "%252F")
            scope = {**scope, "path": unquote(kept)}
        await self._app(scope, receive, send)
