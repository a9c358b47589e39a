"""From what the OpenAI client raises to ftops' own errors: the only place that knows both.

The provider's words are kept (message, code, param, request id), the key never is.
"""

import json
import math
import re
import ssl
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
from ftops.http.address import is_loopback
from ftops.http.environment import find_proxy
from ftops.http.redaction import redact
from ftops.providers.address import is_official_host
from ftops.providers.model_catalog import get_last_date
from ftops.providers.wire import find_error, find_error_text, render_excerpt
from ftops.records import Json

# What the client raises when a call fails: its own errors; the plain ValueError with which it
# refuses an id that makes no path and reads a stream that is not JSON; RecursionError where JSON
# nests without end; and, in the first releases of 3.x, errors of the transport when a stream breaks
# off.
CLIENT_ERRORS = (openai.OpenAIError, httpx2.RequestError, ValueError, RecursionError)

# 429 answers that no pause of seconds mends.
_LASTING_LIMITS = frozenset({"insufficient_quota", "daily_rate_limit_exceeded"})
_CLOSED = "training_not_available"
_NO_MODEL = "model_not_found"
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
    _NO_MODEL: "`ftops models list` shows the models that can be asked.",
}
_OTHER_PROJECT = (
    "A fine-tuned model answers only to keys of the project in which it was made (`project` of the "
    "job file's provider, OPENAI_PROJECT_ID), and some only a few minutes after their job has "
    "ended. `ftops models list` shows what this key sees."
)
# The status that stands behind the words of an error (letters alone) that came without a number.
_WORDS = (
    ("ratelimit|toomanyrequests|throttl|exhausted|quota", 429),
    ("invalidapikey|authenticat|unauthori[sz]ed", 401),
    ("permission|forbidden", 403),
    ("notfound", 404),
    ("overloaded|unavailable|timeout|timedout|badgateway", 503),
    ("servererror|internal", 500),
)
# What OpenSSL says where the other side answers with something else than TLS.
_NO_TLS = frozenset(
    {
        "WRONG_VERSION_NUMBER",
        "HTTP_REQUEST",
        "UNKNOWN_PROTOCOL",
        "PACKET_LENGTH_TOO_LONG",
        "RECORD_LAYER_FAILURE",
    }
)
_WRONG_ADDRESS = "Check `base_url`: the answer does not look like the fine-tuning API's."


def read_failure(error: Exception, doing: str, *, now: datetime, secret: str) -> ProviderError:
    """The error that ftops raises for `error`; `doing` says what was asked of the provider.

    Some servers repeat the key that they refuse: wherever it stands, asterisks take its place.
    """
    if isinstance(error, openai.APIStatusError):
        return _read_status(error, doing, now=now, secret=secret)
    if isinstance(error, openai.APIConnectionError):
        return _read_no_answer(error, doing, secret=secret)
    if isinstance(error, httpx2.RequestError):
        reason = str(error) or type(error).__name__
        return Unreachable(redact(f"{doing}: the answer broke off: {reason}", secret))
    if isinstance(error, json.JSONDecodeError):
        shown = render_excerpt(error.doc.encode("utf-8", errors="replace"))
        return BadAnswer(redact(f"{doing}: the answer is not JSON: {shown}", secret))
    if isinstance(error, RecursionError):
        return BadAnswer(f"{doing}: the answer nests too deep to be read")
    return Rejected(redact(f"{doing}: {error}", secret))


def _read_status(
    error: openai.APIStatusError, doing: str, *, now: datetime, secret: str
) -> ProviderError:
    if error.response.has_redirect_location:
        return refuse_redirect(error.response, doing)
    body = error.body if isinstance(error.body, dict) else {}
    spoken = find_error_text(body)
    message = spoken or render_excerpt(error.response.content)
    # What only the provider's support asks for stands in `--json` and in the log of requests.
    notes = [f"HTTP {error.status_code}"]
    notes += [f"code {error.code}"] if error.code else []
    if error.status_code >= 500 and error.request_id:
        notes.append(f"request {error.request_id}")
    kind = _kind_of(error.status_code, error.request.method)
    hint = _find_hint(error.code, error.request.url.host)
    has_route = spoken is not None and (kind is not NotFound or "message" in body)
    if not hint and not has_route and kind in (NotFound, PermissionRefused, Rejected):
        hint = _WRONG_ADDRESS
    return kind(
        redact(f"{doing}: {message} ({', '.join(notes)})", secret),
        hint=hint,
        status=error.status_code,
        code=_scrub_name(error.code, secret),
        param=_scrub_name(error.param, secret),
        request_id=_scrub_name(error.request_id, secret),
        retry_after_s=find_retry_after_s(error.response.headers, now),
        final=error.code in _LASTING_LIMITS
        or error.response.headers.get("x-should-retry", "").lower() == "false",
        unrecognized=not _is_error_object(error.response.content),
    )


def refuse_redirect(response: httpx2.Response, doing: str) -> BadAnswer:
    """The error for a redirect, which is never followed: a key or data would go along.

    It names both hosts, but no path and no query, which may be secret.
    """
    here = httpx2.URL(str(response.request.url))
    try:
        target = show_server(here.join(response.headers.get("location", "")))
    except (httpx2.InvalidURL, ValueError):
        target = "an address that is none"
    return BadAnswer(
        f"{doing}: {show_server(here)} redirects to {target} (HTTP {response.status_code}),"
        " and no redirect is followed",
        hint="If the server has moved and you know the new host, name it in the job file.",
        status=response.status_code,
    )


def show_server(url: httpx2.URL) -> str:
    """The address without user, path and query."""
    return f"{url.scheme}://{url.netloc.decode('ascii', errors='replace')}"


def find_failure(
    values: Mapping[str, Json], doing: str, *, request_id: str | None = None
) -> ProviderError | None:
    """The error that a body says although its status is one of success; None where it says none.

    Its code or its words stand for the status that it should have had, and decide like that one.
    """
    error = find_error(values)
    if error is None:
        return None
    code, kind, param = (_find_word(error.get(name)) for name in ("code", "type", "param"))
    excerpt = render_excerpt(json.dumps(error, ensure_ascii=False).encode("utf-8", "replace"))
    shown = find_error_text(error) or excerpt
    status = _find_status(error, f"{code} {kind}" if code or kind else shown)
    notes = ["HTTP 200 with an error", *([f"code {code}"] if code else [])]
    return _kind_of(status or 400, "POST")(
        f"{doing}: {shown} ({', '.join(notes)})",
        hint=_find_hint(code),
        status=status,
        code=code,
        param=param,
        request_id=request_id,
        final=not _LASTING_LIMITS.isdisjoint((code, kind)),
        unrecognized=True,  # the status says the opposite: what was asked for may have been done
    )


def _find_word(value: object) -> str | None:
    return str(value) if isinstance(value, str | int) and value and value is not True else None


def _find_status(error: Mapping[str, Json], words: str) -> int | None:
    """The status that the error names, as a number or in words; None where it names none."""
    for name in ("status", "status_code", "code"):
        number = _find_word(error.get(name)) or ""
        if re.fullmatch(r"[45]\d\d", number):
            return int(number)
    plain = re.sub(r"[^a-z]", "", words.lower())
    return next((status for pattern, status in _WORDS if re.search(pattern, plain)), None)


def _find_hint(code: str | None, host: str = "") -> str:
    """What to do about an error of that code; "" where there is no advice."""
    if code == _NO_MODEL and is_official_host(host):
        return _OTHER_PROJECT
    if code != _CLOSED:
        return _HINTS.get(code or "", "")
    return (
        "OpenAI is winding fine-tuning down: most organisations can create no jobs any more,"
        f" nobody can after {get_last_date('openai', 'no_jobs_from')}, and the models that can be"
        f" tuned are shut down on {get_last_date('openai', 'shutdown')}. The same job file runs"
        " with `provider: local`, or with the `base_url` of any other server that speaks this API."
    )


def _kind_of(status: int, method: str) -> type[ProviderError]:
    # A question cannot be in conflict with anything: somebody is changing what it asks about.
    if status == 501 and method == "GET":  # a route that the server does not have
        return Rejected
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


def _is_error_object(content: bytes) -> bool:
    """Whether a body is the protocol's `{"error": {"message": …}}`."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return False
    error = body.get("error") if isinstance(body, dict) else None
    return isinstance(error, dict) and isinstance(error.get("message"), str)


def _read_no_answer(error: openai.APIConnectionError, doing: str, *, secret: str) -> Unreachable:
    url = error.request.url
    address = show_server(url)
    if isinstance(error, openai.APITimeoutError):
        reason = f"{doing}: no answer in time from {address}"
    else:
        cause = str(error.__cause__ or error) or type(error.__cause__).__name__
        reason = f"{doing}: {address}: {cause}"
    refusal = find_tls_error(error)
    if refusal is not None:  # the same handshake fails again
        said = re.sub(r"^\[[^]]*\] | \(_ssl\.c:\d+\)$", "", str(refusal))
        return Unreachable(
            f"{doing}: no TLS connection to {address}: {said}",
            hint=_find_tls_hint(refusal, url),
            final=True,
        )
    proxy = None if is_loopback(str(url)) else find_proxy(str(url))
    if proxy is None:
        return Unreachable(redact(reason, secret))
    return Unreachable(
        redact(f"{reason} (through the proxy of {proxy})", secret),
        hint=f"Check the network and {proxy.split()[0]}, which names a proxy; the same command goes"
        " on from here.",
    )


def find_tls_error(error: BaseException) -> ssl.SSLError | None:
    """The error of a TLS handshake that ended a connection before a request was sent."""
    is_handshake = False
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:  # contexts may form a circle
        seen.append(cause)
        is_handshake = is_handshake or isinstance(cause, httpx2.ConnectError)
        broken = ssl.SSLEOFError | ssl.SSLZeroReturnError  # the connection was lost: may pass
        if is_handshake and isinstance(cause, ssl.SSLError) and not isinstance(cause, broken):
            return cause
        cause = cause.__cause__ or cause.__context__
    return None


def _find_tls_hint(error: ssl.SSLError, url: httpx2.URL) -> str:
    if getattr(error, "reason", None) in _NO_TLS:
        plain = url.copy_with(scheme="http").netloc.decode("ascii", errors="replace")
        return f"The server there does not speak TLS; if that is meant, write http://{plain}."
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            "Check the address and this machine's clock. Where a company signs certificates itself,"
            " name the file with its own in SSL_CERT_FILE."
        )
    return "Check the address: server and client agree on no way to encrypt the connection."


def _scrub_name(value: object, secret: str) -> str | None:
    return None if value is None else redact(str(value), secret)


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
    except (ValueError, OverflowError):
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
