"""The one place where requests leave: errors are read, repeated or passed on, pages are turned."""

import contextlib
import itertools
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar, cast, runtime_checkable

import openai

from ftops import crashpoints
from ftops.clock import Clock
from ftops.errors import BadAnswer, NotFound, ProviderError, Rejected
from ftops.http.redaction import redact_bytes
from ftops.http.request_log import attempt_scope
from ftops.http.retry import RetryPolicy, call_with_retries
from ftops.providers.endpoint import Endpoint
from ftops.providers.failures import CLIENT_ERRORS, find_failure, read_failure
from ftops.providers.wire import Fields, read_object

T = TypeVar("T")

MOST_PAGES = 1000  # beyond this a list is taken for one that never ends


@runtime_checkable
class RawAnswer(Protocol):
    """What the SDK's `with_raw_response` gives: the SDK's own parsing lets too much through."""

    @property
    def content(self) -> bytes: ...

    @property
    def request_id(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class ClearedAnswer:
    """A `RawAnswer` out of which the key was taken."""

    content: bytes
    request_id: str | None


Send = Callable[[openai.OpenAI], T]


class Caller:
    """Sends requests to an endpoint; `doing` says in errors what was being done."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        clock: Clock,
        retries: RetryPolicy,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._endpoint = endpoint
        self.clock = clock
        self._retries = retries
        self._draw = draw

    def connect(self) -> None:
        """Make sure that there is somebody to call."""
        self._endpoint.get_client()

    def close(self) -> None:
        self._endpoint.close()

    def once(self, doing: str, send: Send[T]) -> T:
        """Send exactly one request, come what may."""
        client = self._endpoint.get_client()
        try:
            return self._send(client, doing, send)
        except ProviderError as failure:
            self._endpoint.is_renewed_after(client, failure)  # the next call may need another way
            raise

    def repeat(self, doing: str, send: Send[T]) -> T:
        """Send until there is an answer or no more hope (`retry.py`)."""

        attempts = itertools.count(1)

        def attempt() -> T:
            client = self._endpoint.get_client()
            try:
                with attempt_scope(next(attempts)):
                    return self._send(client, doing, send)
            except ProviderError as failure:
                if not self._endpoint.is_renewed_after(client, failure):
                    raise
            with attempt_scope(next(attempts)):
                return self.once(doing, send)

        return call_with_retries(attempt, policy=self._retries, clock=self.clock, draw=self._draw)

    def fetch(self, doing: str, send: Send[RawAnswer]) -> Fields:
        """The JSON object that a repeated request is answered with."""
        return read_answer(self.repeat(doing, send), doing)

    def delete(self, doing: str, send: Send[RawAnswer]) -> None:
        """Delete something; NotFound, unless an attempt whose answer was lost may have done it."""
        attempts = 0

        def counted(client: openai.OpenAI) -> RawAnswer:
            nonlocal attempts
            attempts += 1
            return send(client)

        try:
            raw = self.repeat(doing, counted)
        except NotFound:
            if attempts > 1:
                return
            raise
        # Some servers answer with nothing at all.
        if raw.content.strip() and read_answer(raw, doing).values.get("deleted") is False:
            raise Rejected(f"{doing}: the provider answers that it has not deleted it")

    def pieces(self, doing: str, stream: Iterable[T]) -> Iterator[T]:
        """The pieces of an answer that is under way; its errors are read, never repeated."""
        iterator = iter(stream)
        while True:
            try:
                piece = next(iterator)
            except StopIteration:
                return
            except CLIENT_ERRORS as error:
                raise self._read(error, doing) from error
            yield piece

    def _send(self, client: openai.OpenAI, doing: str, send: Send[T]) -> T:
        crashpoints.reach("remote.before_call")
        try:
            answer = self._clear_answer(send(client))
        except CLIENT_ERRORS as error:
            raise self._read(error, doing) from error
        crashpoints.reach("remote.after_call")
        if isinstance(answer, ClearedAnswer):
            with contextlib.suppress(BadAnswer):  # not every call wants JSON: its reader complains
                read_answer(answer, doing)  # here, so that an error in it is repeated like others
        return answer

    def clear(self, content: bytes) -> bytes:
        """The bytes with asterisks in place of the key.

        What a provider says goes into the ledger and into files, and the key must not.
        """
        return redact_bytes(content, self._endpoint.secret)

    def _clear_answer(self, answer: T) -> T:
        if isinstance(answer, bytes):
            return cast(T, self.clear(answer))
        if isinstance(answer, RawAnswer):
            raw: RawAnswer = answer
            request_id = raw.request_id and self.clear(raw.request_id.encode()).decode()
            return cast(T, ClearedAnswer(self.clear(raw.content), request_id))
        return answer

    def _read(self, error: Exception, doing: str) -> ProviderError:
        return read_failure(error, doing, now=self.clock.now(), secret=self._endpoint.secret)


def read_answer(raw: RawAnswer, doing: str) -> Fields:
    """The JSON object in an answer; raises the error that it is, whatever its status was."""
    fields = read_object(raw.content, doing, raw.request_id)
    failure = find_failure(fields.values, doing, request_id=raw.request_id)
    if failure is not None:
        raise failure
    return fields


def turn_pages(
    fetch: Callable[[str | None], Fields],
    *,
    is_last: Callable[[list[Fields]], bool] = lambda _items: True,
) -> Iterator[list[Fields]]:
    """The pages of a list, without what an earlier page had already.

    `fetch` gets the id after which the next page begins (None at first). Servers leave `has_more`
    out, say it of an empty page, or ignore the id and send the first page for ever: a page without
    anything new is the end. `is_last` sees every page: one that says it is the last is believed
    only when it agrees.
    """
    after: str | None = None
    seen: set[str] = set()
    for _ in range(MOST_PAGES):
        answer = fetch(after)
        items = answer.get_objects("data")
        fresh = [item for item in items if item.find_text("id") not in seen]
        seen.update(item.find_text("id") or "" for item in items)
        if fresh:
            yield fresh
        after = items[-1].find_text("id") if items else None
        may_end = is_last(items)  # which wants to see every page
        if not fresh or after is None or (may_end and answer.values.get("has_more") is False):
            return
    raise BadAnswer(f"{answer.doing}: the list does not end after {MOST_PAGES} pages")
