"""Sends requests to the Hugging Face Hub: its API directly, files through `huggingface_hub`.

The library has one HTTP client for the whole process. Here it forwards to the client of the
endpoint, so that its requests have the same log, proxies and limits. Its second transport for
files, Xet, has connections of its own, and is switched off.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import httpx2

from ftops.clock import Clock
from ftops.errors import InvalidResponse, ProviderError
from ftops.files import storage_error
from ftops.http.address import read_origin
from ftops.http.api_client import ApiClient, Endpoint
from ftops.http.client import make_timeout
from ftops.http.errors import HTTP_ERRORS, read_error_response
from ftops.http.redaction import redact
from ftops.http.response import MAX_PAGES, JsonObject, parse_objects
from ftops.http.retry import RetryPolicy

if TYPE_CHECKING:
    from huggingface_hub import HfApi

T = TypeVar("T")

INSTALL = "pip install 'ftops[huggingface]'"
_CREATE_TIMEOUT_S = 120.0
_FILE_TIMEOUT_S = 300.0
_QUIET_S = 5.0  # a log that sends nothing for so long has sent all its lines
_MAX_LOG_BYTES = 64 << 20
_NO_CREDIT = (
    "Jobs need prepaid credit: add some at https://huggingface.co/settings/billing, then run the"
    " same command again."
)
_library_lock = threading.Lock()  # its HTTP client belongs to the whole process


@dataclass(frozen=True, slots=True)
class _Page:
    content: bytes
    next_url: str | None


class _Forward(httpx2.BaseTransport):
    """Sends the requests of the library with another client, which it does not close."""

    def __init__(self, client: httpx2.Client) -> None:
        self._client = client

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return self._client.send(request, stream=True, follow_redirects=False)


class HubClient(ApiClient[httpx2.Client]):
    """An `ApiClient` for paths such as `/api/jobs/hardware`; every request names its key.

    `root` is the address of the Hub. `namespace` is the user or the organization that owns jobs and
    repositories; None for the user of the key.
    """

    def __init__(
        self,
        endpoint: Endpoint[httpx2.Client],
        *,
        root: str,
        namespace: str | None,
        clock: Clock,
        retries: RetryPolicy,
    ) -> None:
        super().__init__(endpoint, clock=clock, retries=retries)
        from huggingface_hub.errors import HfHubHTTPError

        self.error_types = (*HTTP_ERRORS, HfHubHTTPError)
        self.root = root
        self._namespace = namespace

    @property
    def namespace(self) -> str:
        """The organization in the settings, or the user of the key."""
        if self._namespace is None:
            self._namespace = self.get("look up the user of the key", "/api/whoami-v2").get_text(
                "name"
            )
        return self._namespace

    def read_error(self, error: Exception, action: str) -> ProviderError:
        response = getattr(error, "response", None)
        if isinstance(response, httpx2.Response) and not isinstance(error, httpx2.HTTPStatusError):
            read = read_error_response(response, action, now=self.clock.now(), secret=self.secret)
        else:
            read = super().read_error(error, action)
        no_credit = read.status == httpx2.codes.PAYMENT_REQUIRED
        return read.reworded(read.message, _NO_CREDIT) if no_credit else read

    def prepare(
        self, method: str, path: str, **options: Any
    ) -> Callable[[httpx2.Client], httpx2.Response]:
        """A request, as `send` and `send_once` take it."""
        return lambda client: client.request(
            method, self.root + path, headers=self._get_headers(), **options
        )

    def get(self, action: str, path: str) -> JsonObject:
        """The JSON object at a path."""
        return self.fetch(action, self.prepare("GET", path))

    def post(self, action: str, path: str, body: object = None) -> bytes:
        """The body of the response to a request that is safe to repeat."""
        return self.send(action, self.prepare("POST", path, json=body)).content

    def post_once(self, action: str, path: str, body: object) -> JsonObject:
        """The response to a request that is sent exactly once."""
        timeout = make_timeout(_CREATE_TIMEOUT_S)
        send = self.prepare("POST", path, json=body, timeout=timeout)
        return self.parse(self.send_once(action, send), action)

    def list_entries(self, action: str, path: str, **params: str) -> Iterator[JsonObject]:
        """The objects of a list, page by page; the header `Link` names the next page."""
        url = str(httpx2.URL(self.root + path, params=params))
        for _ in range(MAX_PAGES):
            page = self.send(action, partial(self._fetch_page, url))
            yield from parse_objects(self.redact(page.content), action)
            if page.next_url is None:
                return
            url = page.next_url
            if read_origin(url) != read_origin(self.root):
                raise InvalidResponse(f"{action}: the next page is at another address")
        raise InvalidResponse(f"{action}: the list does not end after {MAX_PAGES} pages")

    def read_lines(self, action: str, path: str) -> list[str]:
        """The lines of an event stream; one that stays open ends after some seconds of silence."""
        return self.send(action, lambda client: self._read_lines(client, path)).splitlines()

    def read_file(self, action: str, path: str) -> bytes:
        """The content of a file, which may be at the storage that the Hub redirects to."""
        timeout = make_timeout(_FILE_TIMEOUT_S)
        # Another address gets no key: httpx2 removes the header.
        send = self.prepare("GET", path, follow_redirects=True, timeout=timeout)
        return self.send(action, send).content

    def use_library(self, action: str, use: Callable[["HfApi"], T]) -> T:
        """Call methods of `huggingface_hub`, which repeats what it sends where that is safe."""
        import huggingface_hub

        def send(client: httpx2.Client) -> T:
            with _borrow_library(client):
                hub = huggingface_hub.HfApi(endpoint=self.root, token=self.secret or False)
                try:
                    return use(hub)
                except (RuntimeError, OSError) as error:
                    raise self._get_cause(error, action) from error

        return self.send(action, send)

    def _get_cause(self, error: Exception, action: str) -> Exception:
        """The error of a request that the library has wrapped, or one of ftops."""
        for cause in (error, error.__cause__):
            if isinstance(cause, self.error_types):
                return cause
        if isinstance(error, OSError) and error.errno is not None:
            return storage_error(error, Path(str(error.filename or "the file")))
        return InvalidResponse(redact(f"{action}: {error}", self.secret))

    def _get_headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.secret}"} if self.secret else {}

    def _fetch_page(self, url: str, client: httpx2.Client) -> _Page:
        response = client.get(url, headers=self._get_headers())
        _raise_for_status(response)
        return _Page(response.content, response.links.get("next", {}).get("url"))

    def _read_lines(self, client: httpx2.Client, path: str) -> str:
        content = bytearray()
        url, timeout = self.root + path, make_timeout(_QUIET_S)
        with client.stream("GET", url, headers=self._get_headers(), timeout=timeout) as response:
            if not response.is_success:
                response.read()
            _raise_for_status(response)
            try:
                for piece in response.iter_bytes():
                    content += piece
                    if len(content) > _MAX_LOG_BYTES:
                        break
            except httpx2.ReadTimeout:  # the job still runs
                pass
        return self.redact(bytes(content)).decode("utf-8", errors="replace")


@contextmanager
def _borrow_library(client: httpx2.Client) -> Iterator[None]:
    """The library sends with the client during the block; it shows no progress of its own."""
    from huggingface_hub import constants, set_client_factory
    from huggingface_hub.utils._http import default_client_factory
    from huggingface_hub.utils.tqdm import disable_progress_bars

    def make_client() -> httpx2.Client:
        timeout = make_timeout(_FILE_TIMEOUT_S)
        return httpx2.Client(transport=_Forward(client), follow_redirects=True, timeout=timeout)

    with _library_lock:
        is_xet_off = constants.HF_HUB_DISABLE_XET
        constants.HF_HUB_DISABLE_XET = True
        disable_progress_bars()
        set_client_factory(make_client)
        try:
            yield
        finally:
            set_client_factory(default_client_factory)
            constants.HF_HUB_DISABLE_XET = is_xet_off


def _raise_for_status(response: httpx2.Response) -> None:
    if not response.is_success:
        raise httpx2.HTTPStatusError(
            f"HTTP {response.status_code}", request=response.request, response=response
        )


def quote_path(text: str) -> str:
    """The text as segments of a path."""
    return quote(text, safe="/")
