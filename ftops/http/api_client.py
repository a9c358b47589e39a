"""Sends requests through any client: maps errors, repeats requests, redacts keys.

`ApiClient` is generic in the client that sends: `httpx2.Client`, or the client of an SDK.
"""

import contextlib
import itertools
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, cast, runtime_checkable

import httpx2

from ftops import crashpoints
from ftops.clock import Clock
from ftops.errors import InvalidResponse, NotFound, ProviderError, Rejected
from ftops.http.errors import HTTP_ERRORS, find_body_error, no_hint, read_error
from ftops.http.redaction import redact_bytes
from ftops.http.request_log import attempt_scope
from ftops.http.response import JsonObject, parse_object
from ftops.http.retry import RetryPolicy, call_with_retries

T = TypeVar("T")
C = TypeVar("C")


class Endpoint(Protocol[C]):
    """An address with a key, and the client that sends requests there."""

    @property
    def secret(self) -> str:
        """The key in use, which is redacted in every text; empty before the first call."""

    def get_client(self) -> C:
        """A client that is ready for a request; raises an FtopsError when there is none."""

    def is_renewed_after(self, client: C, failure: ProviderError, /) -> bool:
        """Called after every failure; True when `get_client()` now reaches another server."""

    def close(self) -> None: ...


class FixedEndpoint(Generic[C]):
    """An `Endpoint` with one client, which the caller closes."""

    def __init__(self, client: C, secret: str) -> None:
        self.secret = secret
        self._client = client

    def get_client(self) -> C:
        return self._client

    def is_renewed_after(self, _client: C, _failure: ProviderError) -> bool:
        return False

    def close(self) -> None: ...


@runtime_checkable
class RawResponse(Protocol):
    """The body of a response before it is parsed."""

    @property
    def content(self) -> bytes: ...

    @property
    def request_id(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class RedactedResponse:
    """A `RawResponse` without the key."""

    content: bytes
    request_id: str | None


class ApiClient(Generic[C]):
    """Sends requests to an endpoint; `action` describes the request in errors."""

    error_types: tuple[type[Exception], ...] = HTTP_ERRORS

    def __init__(
        self,
        endpoint: Endpoint[C],
        *,
        clock: Clock,
        retries: RetryPolicy,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.clock = clock
        self._endpoint = endpoint
        self._retries = retries
        self._draw = draw

    def connect(self) -> None:
        """Make sure that a server runs."""
        self._endpoint.get_client()

    def close(self) -> None:
        self._endpoint.close()

    def read_error(self, error: Exception, action: str) -> ProviderError:
        """The error of ftops for one of `error_types`; a client of an SDK overrides it."""
        return read_error(
            error, action, now=self.clock.now(), secret=self.secret, get_hint=self.get_hint
        )

    get_hint = staticmethod(no_hint)

    @property
    def secret(self) -> str:
        return self._endpoint.secret

    def send_once(self, action: str, send: Callable[[C], T]) -> T:
        """Send exactly one request, without retries."""
        client = self._endpoint.get_client()
        try:
            return self._send(client, action, send)
        except ProviderError as failure:
            self._endpoint.is_renewed_after(client, failure)  # the next may need another one
            raise

    def send(self, action: str, send: Callable[[C], T]) -> T:
        """Send a request, with the retries of `retry.py`."""
        attempts = itertools.count(1)

        def attempt() -> T:
            client = self._endpoint.get_client()
            try:
                with attempt_scope(next(attempts)):
                    return self._send(client, action, send)
            except ProviderError as failure:
                if not self._endpoint.is_renewed_after(client, failure):
                    raise
            with attempt_scope(next(attempts)):
                return self.send_once(action, send)

        return call_with_retries(attempt, policy=self._retries, clock=self.clock, draw=self._draw)

    def fetch(self, action: str, send: Callable[[C], RawResponse | httpx2.Response]) -> JsonObject:
        """The JSON object in the response to a request; retried like `send`."""
        return self.parse(self.send(action, send), action)

    def delete(self, action: str, send: Callable[[C], RawResponse | httpx2.Response]) -> None:
        """Delete something; NotFound, unless an attempt without a response may have deleted it."""
        attempts = 0

        def count_and_send(client: C) -> RawResponse | httpx2.Response:
            nonlocal attempts
            attempts += 1
            return send(client)

        try:
            response = self.send(action, count_and_send)
        except NotFound:
            if attempts > 1:
                return
            raise
        # Some servers send an empty body.
        if response.content.strip() and (
            self.parse(response, action).values.get("deleted") is False
        ):
            raise Rejected(f"{action}: the provider reports that it has not deleted it")

    def read_stream(self, action: str, stream: Iterable[T]) -> Iterator[T]:
        """The pieces of a response as they arrive; maps errors, retries nothing."""
        iterator = iter(stream)
        while True:
            try:
                piece = next(iterator)
            except StopIteration:
                return
            except self.error_types as error:
                raise self.read_error(error, action) from error
            yield piece

    def parse(self, response: RawResponse | httpx2.Response, action: str) -> JsonObject:
        """The JSON object in a response; raises the error in it, whatever its status."""
        request_id = response.request_id if isinstance(response, RawResponse) else None
        return self.parse_body(response.content, action, request_id)

    def parse_body(self, content: bytes, action: str, request_id: str | None = None) -> JsonObject:
        """The JSON object in a body; raises the error in it."""
        fields = parse_object(content, action, request_id)
        error = find_body_error(
            fields.values, action, request_id=request_id, get_hint=self.get_hint
        )
        if error is not None:
            raise error
        return fields

    def redact(self, content: bytes) -> bytes:
        """The bytes with asterisks in place of the key.

        Responses are written to the ledger and to files; the key must not be.
        """
        return redact_bytes(content, self.secret)

    def _send(self, client: C, action: str, send: Callable[[C], T]) -> T:
        crashpoints.reach("remote.before_call")
        try:
            response = self._redact_response(send(client))
        except self.error_types as error:
            raise self.read_error(error, action) from error
        crashpoints.reach("remote.after_call")
        if isinstance(response, RedactedResponse):
            with contextlib.suppress(InvalidResponse):  # not every response must be JSON
                self.parse(response, action)  # raised here, so that it is retried like other errors
        return response

    def _redact_response(self, response: T) -> T:
        if isinstance(response, bytes):
            return cast(T, self.redact(response))
        request_id: str | None
        content: bytes
        if isinstance(response, httpx2.Response):
            if not response.is_success:
                raise httpx2.HTTPStatusError(
                    f"HTTP {response.status_code}", request=response.request, response=response
                )
            content, request_id = response.content, response.headers.get("x-request-id")
        elif isinstance(response, RawResponse):
            content, request_id = response.content, response.request_id
        else:
            return response
        request_id = request_id and self.redact(request_id.encode()).decode()
        return cast(T, RedactedResponse(self.redact(content), request_id))
