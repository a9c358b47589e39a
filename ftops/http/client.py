"""An HTTP client that logs every request and follows no redirects."""

from collections.abc import Iterator
from typing import Any

import httpx2

from ftops.errors import ProviderError, Unreachable
from ftops.http.address import is_loopback
from ftops.http.environment import check_environment
from ftops.http.errors import refuse_redirect
from ftops.http.redaction import redact
from ftops.http.request_log import RequestLog, RequestLogEntry, find_run_id, get_attempt
from ftops.records import HIDDEN_PATH

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 60.0  # between two pieces of a response
_LIMITS = httpx2.Limits(max_connections=1000, max_keepalive_connections=100)
_BEGAN = "ftops.began_s"


def make_timeout(read_s: float = READ_TIMEOUT_S) -> httpx2.Timeout:
    """Timeouts of one request; `read_s` bounds each wait for the next piece of the response."""
    return httpx2.Timeout(read_s, connect=min(read_s, CONNECT_TIMEOUT_S))


class LoggingClient(httpx2.Client):
    """An `httpx2.Client` with a line in `log` for each request, and without redirects.

    `secret` is redacted, even if a server puts it into an address or a request id. With
    `hide_paths` the log has no path: the path of a webhook is a secret.
    """

    def __init__(
        self, log: RequestLog, *, secret: str, trust_env: bool, hide_paths: bool = False
    ) -> None:
        """ProviderError when the environment names an unusable proxy or certificate."""
        if trust_env:
            check_environment()
        super().__init__(
            trust_env=trust_env, follow_redirects=False, timeout=make_timeout(), limits=_LIMITS
        )
        self._log = log
        self._secret = secret
        self._hide_paths = hide_paths

    def send(
        self, request: httpx2.Request, *, stream: bool = False, **options: Any
    ) -> httpx2.Response:
        request.extensions = {**request.extensions, _BEGAN: self._log.clock.monotonic_s()}
        try:
            response = super().send(request, stream=True, **options)
        except BaseException as error:
            self._record(request, error=error)
            raise
        response.stream = _LoggedBody(self, response)
        if not stream:
            try:
                response.read()
            finally:
                response.close()
        return response

    def _record(
        self,
        request: httpx2.Request,
        response: httpx2.Response | None = None,
        *,
        error: BaseException | None = None,
    ) -> None:
        clock = self._log.clock
        request_id = response.headers.get("x-request-id") if response is not None else None
        length = request.headers.get("content-length", "")
        self._log.record(
            RequestLogEntry(
                at=clock.now(),
                method=request.method,
                host=redact(request.url.netloc.decode("ascii", errors="replace"), self._secret),
                path=HIDDEN_PATH if self._hide_paths else redact(request.url.path, self._secret),
                status=response.status_code if response is not None else None,
                request_id=None if request_id is None else redact(request_id, self._secret),
                seconds=round(clock.monotonic_s() - request.extensions[_BEGAN], 4),
                attempt=get_attempt(),
                bytes_sent=int(length) if response is not None and length.isdecimal() else None,
                bytes_received=response.num_bytes_downloaded if response is not None else None,
                error=None if error is None else type(error).__name__,
                run_id=find_run_id(),
            )
        )


class _LoggedBody(httpx2.SyncByteStream):
    """The body of a response; logs the request when the body ends, with or without an error."""

    def __init__(self, client: LoggingClient, response: httpx2.Response) -> None:
        assert isinstance(response.stream, httpx2.SyncByteStream)  # the client is not async
        self._client = client
        self._response = response
        self._body = response.stream
        self._error: BaseException | None = None
        self._is_recorded = False

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._body
        except (Exception, KeyboardInterrupt) as error:
            self._error = error
            raise

    def close(self) -> None:
        self._body.close()
        if not self._is_recorded:
            self._is_recorded = True
            self._client._record(self._response.request, self._response, error=self._error)


def download(url: str, request_log: RequestLog, *, max_bytes: int) -> bytes:
    """Download a public file, without a key.

    Raises Unreachable or ProviderError when that fails, or the file is larger than `max_bytes`.
    """
    with LoggingClient(request_log, secret="", trust_env=not is_loopback(url)) as client:
        try:
            with client.stream("GET", url) as response:
                if response.has_redirect_location:
                    raise refuse_redirect(response, f"download {url}")
                if response.status_code != httpx2.codes.OK:
                    raise ProviderError(f"{url} cannot be fetched: HTTP {response.status_code}")
                content = bytearray()
                for piece in response.iter_bytes():
                    content += piece
                    if len(content) > max_bytes:
                        raise ProviderError(f"{url} is larger than {max_bytes:,} bytes")
                return bytes(content)
        except httpx2.HTTPError as error:
            raise Unreachable(
                f"{url} cannot be fetched: {error or type(error).__name__}"
            ) from error
