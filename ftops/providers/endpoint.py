"""Where requests go: a client of the OpenAI SDK, made when it is first needed.

The SDK never reads the environment by itself and never repeats a request: both have one owner in
ftops, the command line and `retry.py`. Connections to this machine never go through a proxy.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import openai

from ftops.errors import AuthFailed, ProviderError
from ftops.http.address import is_loopback
from ftops.http.client import LoggingClient, make_timeout
from ftops.http.request_log import RequestLog
from ftops.providers.address import missing_key


class Endpoint(Protocol):
    """Somebody who can be called."""

    @property
    def secret(self) -> str:
        """The key in use, so that it can be kept out of every text; empty before the first call."""

    def get_client(self) -> openai.OpenAI:
        """A client that is ready for a call; raises an FtopsError when none can be had."""

    def is_renewed_after(self, client: openai.OpenAI, failure: ProviderError, /) -> bool:
        """Told of every failure; True when the next `get_client()` reaches somebody else."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Access:
    """What a client needs to know; `key` is empty where the server needs none."""

    base_url: str
    key: str = field(repr=False)
    organization: str | None = None
    project: str | None = None
    http_client: object | None = None
    request_log: RequestLog | None = None


def make_client(access: Access) -> openai.OpenAI:
    """A client that sends each request once and knows only what `access` says."""
    key = access.key or "none"  # the SDK refuses to send requests without one
    http_client = access.http_client
    trust_env = not is_loopback(access.base_url)
    if http_client is None and access.request_log is not None:
        http_client = LoggingClient(access.request_log, secret=access.key, trust_env=trust_env)
    elif http_client is None:
        http_client = openai.DefaultHttpxClient(trust_env=trust_env, follow_redirects=False)
    client = openai.OpenAI(
        api_key=key,
        # None would make the client look into the environment; emptied again below.
        admin_api_key="",
        organization=access.organization or "",
        project=access.project or "",
        webhook_secret="",
        base_url=access.base_url,
        max_retries=0,
        timeout=make_timeout(),
        # Beats an Authorization line in OPENAI_CUSTOM_HEADERS, which the client reads unasked.
        default_headers={"Authorization": f"Bearer {key}"},
        http_client=cast(Any, http_client),
    )
    client.organization = access.organization  # an empty header would be sent otherwise
    client.project = access.project
    return client


class KeyedEndpoint:
    """An address on the network with a key from the environment.

    `check_trust` raises NotTrusted where the key may not go there; nothing is sent before. Without
    a `key_variable` no key is needed.
    """

    def __init__(
        self, access: Access, *, key_variable: str | None, check_trust: Callable[[], None]
    ) -> None:
        self._access = access
        self._key_variable = key_variable
        self._check_trust = check_trust
        self._client: openai.OpenAI | None = None
        self._lock = threading.Lock()

    @property
    def secret(self) -> str:
        return self._access.key

    def get_client(self) -> openai.OpenAI:
        with self._lock:
            if self._client is None:
                self._check_trust()
                self._check_key()
                self._client = make_client(self._access)
            return self._client

    def is_renewed_after(self, _client: openai.OpenAI, _failure: ProviderError) -> bool:
        return False

    def close(self) -> None:
        if self._client is not None and self._access.http_client is None:
            self._client.close()

    def _check_key(self) -> None:
        if self._key_variable is None:
            return
        if not self._access.key:
            raise missing_key(self._access.base_url, self._key_variable)
        if not self._access.key.isascii() or not self._access.key.isprintable():
            raise AuthFailed(
                f"the key in the environment variable {self._key_variable} holds characters "
                "that no key has",
                hint=f"Set {self._key_variable} again; perhaps something was pasted along with it.",
            )
