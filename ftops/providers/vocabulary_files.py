"""Fetches a vocabulary when the user asks for it: a public file, so no key goes along."""

import httpx2

from ftops.errors import ProviderError, Unreachable
from ftops.http.address import is_loopback
from ftops.http.client import LoggingClient, make_timeout
from ftops.http.request_log import RequestLog
from ftops.providers.failures import refuse_redirect

_MOST_BYTES = 32 << 20  # far more than any of them has


def fetch_file(url: str, request_log: RequestLog) -> bytes:
    """The content at `url`; Unreachable or ProviderError when it cannot be had whole."""
    with LoggingClient(request_log, secret="", trust_env=not is_loopback(url)) as client:
        try:
            with client.stream("GET", url, timeout=make_timeout()) as answer:
                if answer.has_redirect_location:
                    raise refuse_redirect(answer, "fetch a vocabulary")
                if answer.status_code != httpx2.codes.OK:
                    raise ProviderError(f"{url} cannot be fetched: status {answer.status_code}")
                content = bytearray()
                for piece in answer.iter_bytes():
                    content += piece
                    if len(content) > _MOST_BYTES:
                        raise ProviderError(f"{url} is larger than any vocabulary")
                return bytes(content)
        except httpx2.HTTPError as error:
            raise Unreachable(
                f"{url} cannot be fetched: {error or type(error).__name__}",
                hint="Tokens are estimated without it.",
            ) from error
