"""Small requests without a key or an SDK: the clock of a server."""

import email.utils
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime

from ftops.http.address import is_loopback

_TIMEOUT_S = 5.0


class NoRedirectHandler(urllib.request.HTTPRedirectHandler):
    """Turns each redirect into an error: urllib would send the headers along, with the token."""

    def redirect_request(self, *_request: object) -> None:
        return None


def find_clock_skew_s(base_url: str, now: Callable[[], datetime]) -> float | None:
    """How far this machine's clock is ahead of the server's, in seconds; None without a date.

    Any response works, also an error: each has a date, exact to the second.
    """
    handlers = [urllib.request.ProxyHandler({})] if is_loopback(base_url) else []
    opener = urllib.request.build_opener(NoRedirectHandler(), *handlers)
    request = urllib.request.Request(base_url, method="HEAD")
    try:
        with opener.open(request, timeout=_TIMEOUT_S) as answer:
            date = answer.headers.get("date")
    except urllib.error.HTTPError as error:
        date = error.headers.get("date")
        error.close()
    except (OSError, ValueError, http.client.HTTPException):
        return None
    try:
        server_time = email.utils.parsedate_to_datetime(date or "")
    except ValueError:
        return None
    return (now() - server_time.replace(tzinfo=server_time.tzinfo or UTC)).total_seconds()
