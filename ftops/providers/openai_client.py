"""The client of the OpenAI SDK: created on first use, its errors mapped to those of ftops.

The SDK neither reads the environment nor repeats a request: the command line and `http/retry.py` do
that. Connections to this machine never go through a proxy.
"""

from typing import Any, cast

import httpx2
import openai

from ftops.errors import ProviderError, Unreachable
from ftops.http.address import is_loopback
from ftops.http.api_client import ApiClient
from ftops.http.client import LoggingClient, make_timeout
from ftops.http.errors import HTTP_ERRORS, read_connection_error, read_error_response
from ftops.http.redaction import redact
from ftops.providers.address import OPENAI
from ftops.providers.endpoint import ClientOptions
from ftops.providers.model_catalog import find_last_date

_CLOSED = "training_not_available"
_NO_MODEL = "model_not_found"
_FREE_SPACE = (
    "`ftops prune` deletes the uploads of old runs, `ftops files delete` and `ftops models delete` "
    "single ones; then run the same command again."
)
_HINTS = {
    "file_limit_exceeded": _FREE_SPACE,
    "storage_limit_exceeded": _FREE_SPACE,
    "insufficient_quota": "Add credit at the provider, then run the same command again.",
    "daily_rate_limit_exceeded": "The provider's limit for one day is used up. Run the same command"
    " again tomorrow: it continues where it stopped.",
    _NO_MODEL: "`ftops models list` shows the models that this key can use.",
}
_OTHER_PROJECT = (
    "A fine-tuned model accepts only keys of the project in which it was made (`project` of the "
    "job file's provider, OPENAI_PROJECT_ID), and some only a few minutes after their job has "
    "ended. `ftops models list` shows the models that this key can use."
)


class OpenAIClient(ApiClient[openai.OpenAI]):
    """An `ApiClient` that sends through the OpenAI SDK."""

    # The first releases of 3.x raise transport errors unmapped when a stream breaks off.
    error_types = (openai.OpenAIError, *HTTP_ERRORS)

    def read_error(self, error: Exception, action: str) -> ProviderError:
        if isinstance(error, openai.APIStatusError):
            return read_error_response(
                error.response,
                action,
                now=self.clock.now(),
                secret=self.secret,
                get_hint=self.get_hint,
            )
        if isinstance(error, openai.APIConnectionError):
            return read_connection_error(
                error,
                error.request.url,
                action,
                secret=self.secret,
                is_timeout=isinstance(error, openai.APITimeoutError),
            )
        if isinstance(error, httpx2.RequestError):
            reason = str(error) or type(error).__name__
            return Unreachable(redact(f"{action}: the response was cut off: {reason}", self.secret))
        return super().read_error(error, action)

    @staticmethod
    def get_hint(code: str | None, host: str) -> str:
        if code == _NO_MODEL and OPENAI.is_own_host(host):
            return _OTHER_PROJECT
        if code != _CLOSED:
            return _HINTS.get(code or "", "")
        return (
            "OpenAI is closing fine-tuning: most organisations can create no jobs, no new job is"
            f" possible after {find_last_date('openai', 'no_jobs_from')}, and the trainable models"
            f" shut down on {find_last_date('openai', 'shutdown')}. The same job file runs with"
            " `provider: local`, or with the `base_url` of another server with this API."
        )


def make_client(options: ClientOptions) -> openai.OpenAI:
    """A client that sends each request once, configured only by `options`."""
    key = options.key or "none"  # the SDK refuses to send requests without one
    http_client = options.http_client
    trust_env = not is_loopback(options.base_url)
    if http_client is None and options.request_log is not None:
        http_client = LoggingClient(options.request_log, secret=options.key, trust_env=trust_env)
    elif http_client is None:
        http_client = openai.DefaultHttpxClient(trust_env=trust_env, follow_redirects=False)
    client = openai.OpenAI(
        api_key=key,
        # With None the client would read the environment; emptied again below.
        admin_api_key="",
        organization=options.organization or "",
        project=options.project or "",
        webhook_secret="",
        base_url=options.base_url,
        max_retries=0,
        timeout=make_timeout(),
        # Overrides an Authorization line in OPENAI_CUSTOM_HEADERS, which the client reads itself.
        default_headers={"Authorization": f"Bearer {key}"},
        http_client=cast(Any, http_client),
    )
    client.organization = options.organization  # an empty header would be sent otherwise
    client.project = options.project
    return client
