"""Where a request comes from: a program or a web page, this machine or another one."""

from starlette.datastructures import Headers
from starlette.types import Scope

from ftops.engine.address import is_loopback
from ftops.engine.api.failures import ApiError

_EVERY_ADDRESS = frozenset({"0.0.0.0", "::"})
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")  # by a proxy, for somebody elsewhere
_OWN_SITE = frozenset({"same-origin", "none"})  # none: typed by hand, not asked for by a page


class Origins:
    """What an engine that listens on `host` makes of where requests come from."""

    def __init__(self, host: str) -> None:
        # An engine on every address is reached by names that it cannot know.
        self._names = None if host in _EVERY_ADDRESS else _LOOPBACK | {host, f"[{host}]"}
        self._is_private = is_loopback(host)

    def check(self, headers: Headers) -> None:
        """ApiError 403 for a name that is not the engine's, and for what a web page asks.

        DNS can make any name point here, and a browser sends what any page wants, but it says so.
        """
        host = headers.get("host", "").lower()
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if self._names is not None and name not in self._names:
            message = f"The engine does not answer to the name {host!r}."
            raise ApiError(403, message, code="bad_host")
        origin = headers.get("origin")
        is_own = origin is None or origin.lower() in (f"http://{host}", f"https://{host}")
        if not is_own or headers.get("sec-fetch-site", "none").lower() not in _OWN_SITE:
            message = f"The engine does not answer to web pages (origin {origin or 'not told'!r})."
            raise ApiError(403, message, code="bad_origin")

    def is_here(self, scope: Scope, headers: Headers) -> bool:
        """Whether somebody on this machine asks, as far as can be known."""
        if any(name in headers for name in _FORWARDED):
            return False
        if self._is_private:
            return True
        client, server = scope.get("client"), scope.get("server")
        if client is None:
            return False
        # This machine's connection to one of its own addresses comes from that address.
        return is_loopback(client[0]) or (server is not None and client[0] == server[0])
