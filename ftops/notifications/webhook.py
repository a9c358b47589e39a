"""Sends a notification to a webhook: a signed POST that is retried like a request to a provider.

Signatures follow Standard Webhooks (standardwebhooks.com, symmetric, v1): the secret is `whsec_`
and 24 to 64 bytes in base64; the signature is the HMAC-SHA256 of id, time and body, joined by dots.
Only the status of a response is read.
"""

import base64
import binascii
import contextvars
import hashlib
import hmac
import itertools
import threading
from collections.abc import Callable

import httpx2

from ftops import __version__
from ftops.clock import Clock
from ftops.errors import (
    NotifyFailed,
    ProviderError,
    RateLimited,
    Rejected,
    Unavailable,
    Unreachable,
)
from ftops.http.address import is_loopback
from ftops.http.client import LoggingClient
from ftops.http.errors import find_retry_after_s, find_tls_error, format_server, refuse_redirect
from ftops.http.request_log import RequestLog, attempt_scope
from ftops.http.retry import RetryPolicy, call_with_retries
from ftops.notifications.notification import Notification, WebhookTarget

RETRIES = RetryPolicy(attempts=6, deadline_s=60.0, first_pause_s=1.0, longest_pause_s=15.0)
RESPONSE_TIMEOUT_S = 15.0
_SECRET_PREFIX = "whsec_"
_MIN_KEY_BYTES, _MAX_KEY_BYTES = 24, 64


def find_key(secret: str) -> bytes | None:
    """The signing key in a secret; None if the secret is not `whsec_` and a key in base64."""
    if not secret.startswith(_SECRET_PREFIX):
        return None
    text = secret.removeprefix(_SECRET_PREFIX).rstrip("=")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if _MIN_KEY_BYTES <= len(key) <= _MAX_KEY_BYTES else None


def check_secret(target: WebhookTarget, secret: str) -> str | None:
    """The reason why the target's secret is invalid; None if it is valid."""
    if find_key(secret) is not None:
        return None
    name = target.secret_env
    reason = "holds no valid secret" if secret else "is not set"
    return (
        f"notify.webhook_secret_env: the environment variable {name} {reason}; a secret is"
        f" {_SECRET_PREFIX} and {_MIN_KEY_BYTES} to {_MAX_KEY_BYTES} bytes in base64:"
        f" export {name}={_SECRET_PREFIX}$(openssl rand -base64 32)"
    )


def sign(key: bytes, notification_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """The headers that let a receiver verify the sender and the time of the body."""
    signed = b".".join((notification_id.encode(), str(timestamp_s).encode(), body))
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    return {
        "webhook-id": notification_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }


class WebhookSender:
    """Sends notifications to webhooks; `timeout_s` limits each attempt, including the response.

    `on_note` gets a line if the first attempt fails.
    """

    def __init__(
        self,
        clock: Clock,
        request_log: RequestLog,
        on_note: Callable[[str], None],
        timeout_s: float = RESPONSE_TIMEOUT_S,
    ) -> None:
        self._clock = clock
        self._request_log = request_log
        self._on_note = on_note
        self._timeout_s = timeout_s

    def send(self, notification: Notification, target: WebhookTarget, secret: str) -> None:
        """Send until the receiver accepts; NotifyFailed if it refuses or the retries end."""
        key = find_key(secret)
        if key is None:
            raise NotifyFailed(check_secret(target, secret) or "no secret")
        attempts = itertools.count(1)
        body = notification.render_body()

        def attempt() -> None:
            number = next(attempts)
            if number == 2:
                server = _format_server(target.url)
                self._on_note(f"{server} has not accepted the notification; retrying for a minute")
            with attempt_scope(number):
                # Sign each attempt again, because receivers reject old timestamps.
                headers = sign(key, notification.id, int(self._clock.now().timestamp()), body)
                _run_within(self._timeout_s, lambda: self._post(client, target.url, headers, body))

        try:
            trust_env = not is_loopback(target.url)  # connections to this machine use no proxy
        except ValueError as error:
            raise NotifyFailed(f"notify.webhook_url: invalid address: {error}") from error
        try:
            with LoggingClient(
                self._request_log, secret=secret, trust_env=trust_env, hide_paths=True
            ) as client:
                call_with_retries(attempt, policy=RETRIES, clock=self._clock)
        except ProviderError as error:
            raise NotifyFailed(f"notify.webhook_url: {error.message}", hint=error.hint) from error

    def _post(self, client: httpx2.Client, url: str, headers: dict[str, str], body: bytes) -> None:
        try:
            request = client.build_request(
                "POST",
                url,
                content=body,
                headers={
                    **headers,
                    "content-type": "application/json",
                    "user-agent": f"ftops/{__version__}",
                },
                timeout=httpx2.Timeout(RESPONSE_TIMEOUT_S),
            )
            response = client.send(request, stream=True)
        except httpx2.InvalidURL as error:
            raise Rejected(f"invalid address: {error}") from error
        except httpx2.RequestError as error:
            is_final = find_tls_error(error) is not None
            reason = error or type(error).__name__
            raise Unreachable(f"{_format_server(url)}: {reason}", final=is_final) from error
        response.close()
        if not response.is_success:
            raise self._read_refusal(response, url)

    def _read_refusal(self, response: httpx2.Response, url: str) -> ProviderError:
        status = response.status_code
        message = f"{_format_server(url)} responds with HTTP {status}"
        retry_after_s = find_retry_after_s(response.headers, self._clock.now())
        if status == 429:
            return RateLimited(message, status=status, retry_after_s=retry_after_s)
        if status == 408 or status >= 500:
            return Unavailable(message, status=status, retry_after_s=retry_after_s)
        if response.has_redirect_location:
            return refuse_redirect(response, "send the notification")
        if status == 410:
            message += ": it accepts no more notifications; remove it from the job file"
        return Rejected(message, status=status)


def _format_server(url: str) -> str:
    """The address without its path, which is a secret."""
    return format_server(httpx2.URL(url))


def _run_within(timeout_s: float, call: Callable[[], None]) -> None:
    """Run `call` in a thread, which is abandoned after the timeout."""
    results: list[Exception | None] = []
    context = contextvars.copy_context()

    def work() -> None:
        try:
            call()
        except Exception as error:
            results.append(error)
        else:
            results.append(None)

    thread = threading.Thread(target=context.run, args=(work,), daemon=True)
    thread.start()
    thread.join(timeout_s)
    if not results:
        raise Unreachable(f"no complete response within {timeout_s:g} s")
    if results[0] is not None:
        raise results[0]
