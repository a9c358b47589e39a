"""Small requests outside the OpenAI client: what a server's clock says, asked for without a key."""

import email.utils
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime

from ftops.http.address import is_loopback

_TIMEOUT_S = 5.0


class NoRedirectHandler(urllib.request.HTTPRedirectHandler):
    """Makes an error of each redirect: urllib would send the headers along, a token included."""

    def redirect_request(self, *_request: object) -> None:
        return None


def find_clock_skew_s(base_url: str, now: Callable[[], datetime]) -> float | None:
    """By how many seconds this machine is ahead of the server; None when the server tells no time.

    Any answer will do, a refusal too: each carries a date, exact to the second.
    """
    handlers = [urllib.request.ProxyHandler({})] if is_loopback(base_url) else []
    opener = urllib.request.build_opener(NoRedirectHandler(), *handlers)
    request = urllib.request.Request(base_url, method="HEAD")
    try:
        with opener.open(request, timeout=_TIMEOUT_S) as answer:
            date = answer.headers.get("date")
    except urllib.error.HTTPError as refusal:
        date = refusal.headers.get("date")
        refusal.close()
    except (OSError, ValueError, http.client.HTTPException):
        return None
    try:
        there = email.utils.parsedate_to_datetime(date or "")
    except ValueError:
        return None
    return (now() - there.replace(tzinfo=there.tzinfo or UTC)).total_seconds()
