"""From what the OpenAI client raises to ftops' own errors: the only place that knows both.

The provider's words are kept (message, code, param, request id), the key never is.
"""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx2  # the client's own transport, installed with it
import openai

from ftops.errors import (
    AuthFailed,
    BadAnswer,
    NotFound,
    PermissionRefused,
    ProviderError,
    RateLimited,
    Rejected,
    Unavailable,
    Unreachable,
)
from ftops.providers.catalogue import find_last_day
from ftops.providers.wire import render_excerpt

# What the client raises when a call fails: its own errors; the plain ValueError with which it
# refuses an id that makes no path and reads a stream that is not JSON; RecursionError where JSON
# nests without end; and, in the first releases of 3.x, errors of the transport when a stream breaks
# off.
CLIENT_ERRORS = (openai.OpenAIError, httpx2.RequestError, ValueError, RecursionError)

# 429 answers that no pause of seconds mends.
_LASTING_LIMITS = frozenset({"insufficient_quota", "daily_rate_limit_exceeded"})
_CLOSED = "training_not_available"
_NO_ROOM = (
    "`ftops prune` deletes the uploads of old runs, `ftops files delete` and `ftops models delete` "
    "single ones; then give the same command again."
)
_HINTS = {
    "file_limit_exceeded": _NO_ROOM,
    "storage_limit_exceeded": _NO_ROOM,
    "insufficient_quota": "Add credit at the provider, then give the same command again.",
    "daily_rate_limit_exceeded": "The provider's limit for one day is used up: "
    "the same command goes on from here once it is not.",
    "model_not_found": "A fine-tuned model answers only to keys of the project in which it was "
    "made (`project` of the job file's provider, OPENAI_PROJECT_ID), and some only a few minutes "
    "after their job has ended. `ftops models list` shows what this key sees.",
}
_WRONG_ADDRESS = "Check `base_url`: the answer does not look like the fine-tuning API's."


def read_failure(error: Exception, doing: str, *, now: datetime, secret: str) -> ProviderError:
    """The error that ftops raises for `error`; `doing` says what was asked of the provider.

    Some servers repeat the key that they refuse: wherever it stands, asterisks take its place.
    """
    if isinstance(error, openai.APIStatusError):
        return _read_status(error, doing, now=now, secret=secret)
    if isinstance(error, openai.APITimeoutError):
        return Unreachable(f"{doing}: no answer in time from {_address(error)}")
    if isinstance(error, openai.APIConnectionError):
        reason = str(error.__cause__ or error) or type(error.__cause__).__name__
        return Unreachable(_scrub(f"{doing}: {_address(error)}: {reason}", secret))
    if isinstance(error, httpx2.RequestError):
        return Unreachable(_scrub(f"{doing}: the answer broke off: {error}", secret))
    if isinstance(error, json.JSONDecodeError):
        shown = render_excerpt(error.doc.encode("utf-8", errors="replace"))
        return BadAnswer(_scrub(f"{doing}: the answer is not JSON: {shown}", secret))
    if isinstance(error, RecursionError):
        return BadAnswer(f"{doing}: the answer nests too deep to be read")
    if isinstance(error, openai.APIError):  # an error that arrived inside a stream
        kind = _kind_in_stream(error)
        return kind(
            _scrub(f"{doing}: {error.message}", secret),
            code=_scrub_name(error.code, secret),
            param=_scrub_name(error.param, secret),
        )
    return Rejected(_scrub(f"{doing}: {error}", secret))


def _read_status(
    error: openai.APIStatusError, doing: str, *, now: datetime, secret: str
) -> ProviderError:
    spoken = _find_message(error.body)
    message = spoken or render_excerpt(error.response.content)
    notes = [f"HTTP {error.status_code}"]
    notes += [f"code {error.code}"] if error.code else []
    notes += [f"param {error.param}"] if error.param else []
    notes += [f"request {error.request_id}"] if error.request_id else []
    kind = _kind_of(error.status_code, error.request.method)
    hint = _find_hint(error.code)
    if not hint and spoken is None and kind in (NotFound, PermissionRefused, Rejected):
        hint = _WRONG_ADDRESS
    return kind(
        _scrub(f"{doing}: {message} ({', '.join(notes)})", secret),
        hint=hint,
        status=error.status_code,
        code=_scrub_name(error.code, secret),
        param=_scrub_name(error.param, secret),
        request_id=_scrub_name(error.request_id, secret),
        retry_after_s=find_retry_after_s(error.response.headers, now),
        final=error.code in _LASTING_LIMITS
        or error.response.headers.get("x-should-retry", "").lower() == "false",
    )


def _find_hint(code: str | None) -> str:
    """What to do about an error of that code; "" where there is no advice."""
    if code != _CLOSED:
        return _HINTS.get(code or "", "")
    return (
        "OpenAI is winding fine-tuning down: most organisations can create no jobs any more,"
        f" nobody can after {find_last_day('openai', 'no_jobs_from')}, and the models that can be"
        f" tuned are shut down on {find_last_day('openai', 'shutdown')}. The same job file runs"
        " with `provider: local`, or with the `base_url` of any other server that speaks this API."
    )


def _kind_of(status: int, method: str) -> type[ProviderError]:
    # A question cannot be in conflict with anything: somebody is changing what it asks about.
    if status == 408 or status >= 500 or (status == 409 and method == "GET"):
        return Unavailable
    if status < 400:
        return BadAnswer
    named: Mapping[int, type[ProviderError]] = {
        401: AuthFailed,
        403: PermissionRefused,
        404: NotFound,
        429: RateLimited,
    }
    return named.get(status, Rejected)


def _kind_in_stream(error: openai.APIError) -> type[ProviderError]:
    words = f"{error.code} {error.type}"
    if "rate_limit" in words:
        return RateLimited
    return Unavailable if "server" in words or "overloaded" in words else Rejected


def _find_message(body: object) -> str | None:
    """The provider's own sentence, if the body is the protocol's error object."""
    if isinstance(body, dict):
        message = body.get("message")
        if isinstance(message, str) and message.strip():
            return message.strip()
    return None


def _address(error: openai.APIConnectionError) -> str:
    url = error.request.url
    return f"{url.scheme}://{url.netloc.decode('ascii', errors='replace')}"


def _scrub(text: str, secret: str) -> str:
    return text.replace(secret, "***") if secret else text


def _scrub_name(value: object, secret: str) -> str | None:
    return None if value is None else _scrub(str(value), secret)


def find_retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """The pause that the provider asks for, in seconds; None when it asks for none."""
    seconds = _find_number(headers.get("retry-after-ms"))
    if seconds is not None:
        return seconds / 1000
    text = headers.get("retry-after")
    seconds = _find_number(text)
    if seconds is not None or text is None:
        return seconds
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


def _find_number(text: str | None) -> float | None:
    try:
        number = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return max(0.0, number) if math.isfinite(number) else None
