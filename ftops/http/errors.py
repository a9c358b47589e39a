"""Maps HTTP statuses and transport errors to the errors of ftops.

The server's message, code, param and request id are kept; a key in them is redacted.
"""

import json
import math
import re
import ssl
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx2

from ftops.errors import (
    AuthFailed,
    InvalidResponse,
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
from ftops.http.response import find_error, find_error_text, render_excerpt
from ftops.records import Json

# An id that is not a valid path, or a stream that is not JSON, raises ValueError; JSON that is too
# deeply nested raises RecursionError.
HTTP_ERRORS = (httpx2.HTTPStatusError, httpx2.RequestError, ValueError, RecursionError)

GetHint = Callable[[str | None, str], str]  # the next step for an error code of a host, or ""

# 429 responses that a short pause does not resolve.
_LASTING_LIMITS = frozenset({"insufficient_quota", "daily_rate_limit_exceeded"})
# The status for an error without a number, by its words (only letters).
_STATUS_WORDS = (
    ("ratelimit|toomanyrequests|throttl|exhausted|quota", 429),
    ("invalidapikey|authenticat|unauthori[sz]ed", 401),
    ("permission|forbidden", 403),
    ("notfound", 404),
    ("overloaded|unavailable|timeout|timedout|badgateway", 503),
    ("servererror|internal", 500),
)
# OpenSSL's reasons when the server does not speak TLS.
_NOT_TLS = frozenset(
    {
        "WRONG_VERSION_NUMBER",
        "HTTP_REQUEST",
        "UNKNOWN_PROTOCOL",
        "PACKET_LENGTH_TOO_LONG",
        "RECORD_LAYER_FAILURE",
    }
)
_ERROR_HEADER = "x-error-message"  # of the Hugging Face Hub, whose `error` is a text
_WRONG_ADDRESS = "Check `base_url`: the response does not look like the fine-tuning API's."


def no_hint(_code: str | None, _host: str) -> str:
    """No hint for any error code."""
    return ""


def read_error(
    error: Exception, action: str, *, now: datetime, secret: str, get_hint: GetHint = no_hint
) -> ProviderError:
    """The error of ftops for an error of `httpx2`; `action` describes the request."""
    if isinstance(error, httpx2.HTTPStatusError):
        return read_error_response(
            error.response, action, now=now, secret=secret, get_hint=get_hint
        )
    if isinstance(error, httpx2.RequestError):
        return read_connection_error(
            error,
            error.request.url,
            action,
            secret=secret,
            is_timeout=isinstance(error, httpx2.TimeoutException),
        )
    if isinstance(error, json.JSONDecodeError):
        excerpt = render_excerpt(error.doc.encode("utf-8", errors="replace"))
        return InvalidResponse(
            redact(f"{action}: malformed response: it is not JSON: {excerpt}", secret)
        )
    if isinstance(error, RecursionError):
        return InvalidResponse(f"{action}: malformed response: the JSON is nested too deeply")
    return Rejected(redact(f"{action}: {error}", secret))


def read_error_response(
    response: httpx2.Response,
    action: str,
    *,
    now: datetime,
    secret: str,
    get_hint: GetHint = no_hint,
) -> ProviderError:
    """The error for a response with an error status."""
    if response.has_redirect_location:
        return refuse_redirect(response, action)
    status, request = response.status_code, response.request
    body = _parse_error(response.content)
    server_text = find_error_text(body)
    message = server_text or render_excerpt(response.content)
    code, param = _get_code(body), body.get("param")
    request_id = response.headers.get("x-request-id")
    # The request id of other errors is in `--json` and in the request log.
    notes = [f"HTTP {status}"]
    notes += [f"code {code}"] if code else []
    if status >= 500 and request_id:
        notes.append(f"request {request_id}")
    error_type = get_error_type(status, request.method)
    hint = get_hint(None if code is None else str(code), request.url.host)
    has_route = server_text is not None and (error_type is not NotFound or "message" in body)
    if not hint and not has_route and error_type in (NotFound, PermissionRefused, Rejected):
        hint = _WRONG_ADDRESS
    return error_type(
        redact(f"{action}: {message} ({', '.join(notes)})", secret),
        hint=hint,
        status=status,
        code=_redact_name(code, secret),
        param=_redact_name(param, secret),
        request_id=_redact_name(request_id, secret),
        retry_after_s=find_retry_after_s(response.headers, now),
        final=code in _LASTING_LIMITS
        or response.headers.get("x-should-retry", "").lower() == "false",
        unrecognized=not (_is_error_object(response.content) or _ERROR_HEADER in response.headers),
    )


def find_body_error(
    values: Mapping[str, Json],
    action: str,
    *,
    request_id: str | None = None,
    get_hint: GetHint = no_hint,
) -> ProviderError | None:
    """The error in the body of a response with a success status; None for a normal body.

    Its code or its words determine the status that the response should have had.
    """
    error = find_error(values)
    if error is None:
        return None
    code, kind, param = (_find_name(error.get(name)) for name in ("code", "type", "param"))
    excerpt = render_excerpt(json.dumps(error, ensure_ascii=False).encode("utf-8", "replace"))
    message = find_error_text(error) or excerpt
    status = _find_status(error, f"{code} {kind}" if code or kind else message)
    notes = ["HTTP 200 with an error", *([f"code {code}"] if code else [])]
    return get_error_type(status or 400, "POST")(
        f"{action}: {message} ({', '.join(notes)})",
        hint=get_hint(code, ""),
        status=status,
        code=code,
        param=param,
        request_id=request_id,
        final=not _LASTING_LIMITS.isdisjoint((code, kind)),
        unrecognized=True,  # the status says the opposite: the request may have had its effect
    )


def read_connection_error(
    error: Exception, url: httpx2.URL, action: str, *, secret: str, is_timeout: bool
) -> Unreachable:
    """The error for a request without a response."""
    server = format_server(url)
    if is_timeout:
        message = f"{action}: no response in time from {server}"
    else:
        cause = error.__cause__ or error
        message = f"{action}: {server}: {str(cause) or type(cause).__name__}"
    tls_error = find_tls_error(error)
    if tls_error is not None:  # a retry would fail in the same way
        reason = re.sub(r"^\[[^]]*\] | \(_ssl\.c:\d+\)$", "", str(tls_error))
        return Unreachable(
            f"{action}: no TLS connection to {server}: {reason}",
            hint=_get_tls_hint(tls_error, url),
            final=True,
        )
    proxy = None if is_loopback(str(url)) else find_proxy(str(url))
    if proxy is None:
        return Unreachable(redact(message, secret))
    return Unreachable(
        redact(f"{message} (through the proxy of {proxy})", secret),
        hint=f"Check the network and the proxy in {proxy.split()[0]}, then run the same command"
        " again: it continues where it stopped.",
    )


def refuse_redirect(response: httpx2.Response, action: str) -> InvalidResponse:
    """The error for a redirect; none is followed, because it would forward the key or data.

    It names both hosts, but no path and no query, which may be secret.
    """
    source = httpx2.URL(str(response.request.url))
    try:
        target = format_server(source.join(response.headers.get("location", "")))
    except (httpx2.InvalidURL, ValueError):
        target = "an invalid address"
    return InvalidResponse(
        f"{action}: {format_server(source)} redirects to {target} (HTTP {response.status_code});"
        " redirects are not followed",
        hint="If the server has moved and you know the new host, name it in the job file.",
        status=response.status_code,
    )


def format_server(url: httpx2.URL) -> str:
    """The address without user, path and query."""
    return f"{url.scheme}://{url.netloc.decode('ascii', errors='replace')}"


def get_error_type(status: int, method: str) -> type[ProviderError]:
    """The error class for a status, by the method of the request."""
    if status == 501 and method == "GET":  # the server does not have the route
        return Rejected
    # A read cannot conflict with anything: a 409 means that the resource is being changed.
    if status == 408 or status >= 500 or (status == 409 and method == "GET"):
        return Unavailable
    if status < 400:
        return InvalidResponse
    by_status: Mapping[int, type[ProviderError]] = {
        401: AuthFailed,
        402: PermissionRefused,
        403: PermissionRefused,
        404: NotFound,
        429: RateLimited,
    }
    return by_status.get(status, Rejected)


def find_tls_error(error: BaseException) -> ssl.SSLError | None:
    """The error of a TLS handshake that ended a connection before a request was sent."""
    is_handshake = False
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:  # contexts may form a cycle
        seen.append(cause)
        is_handshake = is_handshake or isinstance(cause, httpx2.ConnectError)
        lost = ssl.SSLEOFError | ssl.SSLZeroReturnError  # lost connection: may pass
        if is_handshake and isinstance(cause, ssl.SSLError) and not isinstance(cause, lost):
            return cause
        cause = cause.__cause__ or cause.__context__
    return None


def find_retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """The pause that the server requests, in seconds; None when it requests none."""
    seconds = _find_number(headers.get("retry-after-ms"))
    if seconds is not None:
        return seconds / 1000
    text = headers.get("retry-after")
    seconds = _find_number(text)
    if seconds is not None or text is None:
        return seconds
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - now).total_seconds())


def _parse_error(content: bytes) -> Mapping[str, Json]:
    """The error object of a body, or the body itself if it has none; empty without JSON."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    error = body.get("error", body) if isinstance(body, dict) else None
    if isinstance(error, str) and error:  # as the Hugging Face Hub sends it
        return {"message": error}
    return error if isinstance(error, dict) else {}


def _get_code(error: Mapping[str, Json]) -> Json:
    """The code of an error; Google's is its `status`, and `code` repeats the HTTP status."""
    code, status = error.get("code"), error.get("status")
    return status if isinstance(code, int) and isinstance(status, str) else code


def _is_error_object(content: bytes) -> bool:
    """Whether a body is `{"error": {"message": …}}`, or FastAPI's `{"detail": [{"loc": …}]}`."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return False
    error = body.get("error") if isinstance(body, dict) else None
    if isinstance(error, dict) and isinstance(error.get("message"), str):
        return True
    problems = body.get("detail") if isinstance(body, dict) else None
    return isinstance(problems, list) and any(
        isinstance(problem, dict) and {"loc", "msg"} <= problem.keys() for problem in problems
    )


def _find_name(value: object) -> str | None:
    return str(value) if isinstance(value, str | int) and value and value is not True else None


def _redact_name(value: object, secret: str) -> str | None:
    return None if value is None else redact(str(value), secret)


def _find_status(error: Mapping[str, Json], words: str) -> int | None:
    """The status that the error names, as a number or in words."""
    for name in ("status", "status_code", "code"):
        number = _find_name(error.get(name)) or ""
        if re.fullmatch(r"[45]\d\d", number):
            return int(number)
    plain = re.sub(r"[^a-z]", "", words.lower())
    return next((status for pattern, status in _STATUS_WORDS if re.search(pattern, plain)), None)


def _get_tls_hint(error: ssl.SSLError, url: httpx2.URL) -> str:
    if getattr(error, "reason", None) in _NOT_TLS:
        plain = url.copy_with(scheme="http").netloc.decode("ascii", errors="replace")
        return f"The server does not speak TLS; if that is intended, write http://{plain}."
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            "Check the address and this machine's clock. Where a company signs certificates itself,"
            " name the file with its own in SSL_CERT_FILE."
        )
    return "Check the address: server and client have no encryption method in common."


def _find_number(text: str | None) -> float | None:
    try:
        number = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return max(0.0, number) if math.isfinite(number) else None
