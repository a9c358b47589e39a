"""Sends a notice to a web address: a signed POST, repeated while that may help.

Retries are those of `providers/retry.py`, requests are taken down like those to a provider. Nothing
is read of an answer but its status.
"""

import contextvars
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
from ftops.http.request_log import RequestLog, attempt_scope
from ftops.http.retry import RetryPolicy, call_with_retries
from ftops.notifications.notice import Notice, Say, WebhookTarget
from ftops.notifications.signature import sign
from ftops.providers.failures import (
    find_retry_after_s,
    find_tls_error,
    refuse_redirect,
    show_server,
)

RETRIES = RetryPolicy(attempts=6, deadline_s=60.0, first_pause_s=1.0, longest_pause_s=15.0)
ANSWER_LIMIT_S = 15.0


def post_webhook(
    notice: Notice,
    target: WebhookTarget,
    key: bytes,
    *,
    secret: str,
    clock: Clock,
    request_log: RequestLog,
    say: Say,
    retries: RetryPolicy = RETRIES,
    limit_s: float = ANSWER_LIMIT_S,
) -> None:
    """Send the notice until it is taken; NotifyFailed when it is refused or time is up.

    `limit_s` bounds each attempt, however slowly an answer comes.
    """
    attempts = itertools.count(1)
    body = notice.render_body()

    def attempt() -> None:
        number = next(attempts)
        if number == 2:
            say(f"{_name(target.url)} has not taken the notice yet; trying again for a minute")
        with attempt_scope(number):
            # Signed anew each time: a receiver refuses what was signed long ago.
            headers = sign(key, notice.id, int(clock.now().timestamp()), body)
            _bounded(lambda: _post(client, target.url, headers, body, clock), limit_s)

    try:
        trust_env = not is_loopback(target.url)  # connections to this machine use no proxy
    except ValueError as error:
        raise NotifyFailed(f"notify.webhook_url: no address of a server: {error}") from error
    try:
        with LoggingClient(
            request_log, secret=secret, trust_env=trust_env, hide_paths=True
        ) as client:
            call_with_retries(attempt, policy=retries, clock=clock)
    except ProviderError as error:
        raise NotifyFailed(f"notify.webhook_url: {error.message}", hint=error.hint) from error


def _post(
    client: httpx2.Client, url: str, headers: dict[str, str], body: bytes, clock: Clock
) -> None:
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
            timeout=httpx2.Timeout(ANSWER_LIMIT_S),
        )
        response = client.send(request, stream=True)
    except httpx2.InvalidURL as error:
        raise Rejected(f"no address of a server: {error}") from error
    except httpx2.RequestError as error:
        is_final = find_tls_error(error) is not None
        reason = error or type(error).__name__
        raise Unreachable(f"{_name(url)}: {reason}", final=is_final) from error
    response.close()
    if not response.is_success:
        raise _read_refusal(response, url, clock)


def _read_refusal(response: httpx2.Response, url: str, clock: Clock) -> ProviderError:
    status = response.status_code
    said = f"{_name(url)} answers HTTP {status}"
    retry_after_s = find_retry_after_s(response.headers, clock.now())
    if status == 429:
        return RateLimited(said, status=status, retry_after_s=retry_after_s)
    if status == 408 or status >= 500:
        return Unavailable(said, status=status, retry_after_s=retry_after_s)
    if response.has_redirect_location:
        return refuse_redirect(response, "send the notice")
    if status == 410:
        said += ": it wants no more notices; take it out of the job file"
    return Rejected(said, status=status)


def _name(url: str) -> str:
    """The address without its path, which is a secret."""
    return show_server(httpx2.URL(url))


def _bounded(call: Callable[[], None], limit_s: float) -> None:
    """Do it in a thread that is left behind when its time is up."""
    ended: list[Exception | None] = []
    context = contextvars.copy_context()

    def work() -> None:
        try:
            call()
        except Exception as error:
            ended.append(error)
        else:
            ended.append(None)

    thread = threading.Thread(target=context.run, args=(work,), daemon=True)
    thread.start()
    thread.join(limit_s)
    if not ended:
        raise Unreachable(f"no whole answer within {limit_s:g} s")
    if ended[0] is not None:
        raise ended[0]
