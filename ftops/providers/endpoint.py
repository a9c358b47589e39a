"""The address of a provider on the network with its key, and the client that sends requests there.

A client does not read the environment, repeats no request and follows no redirect. Connections to
this machine never go through a proxy.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, Protocol, TypeVar

import httpx2

from ftops.errors import AuthFailed, ProviderError
from ftops.http.address import is_loopback
from ftops.http.client import LoggingClient, make_timeout
from ftops.http.request_log import RequestLog
from ftops.providers.address import ServerAddress, missing_key
from ftops.providers.provider import ProviderContext
from ftops.providers.trust import Trust, TrustFile
from ftops.records import ProviderSettings


class Closable(Protocol):
    """A client with open connections."""

    def close(self) -> None: ...


C = TypeVar("C", bound=Closable)


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """Where a client sends requests; `key` is empty if the server needs none."""

    base_url: str
    key: str = field(repr=False)
    organization: str | None = None
    project: str | None = None
    http_client: object | None = None
    request_log: RequestLog | None = None


def make_http_client(options: ClientOptions) -> httpx2.Client:
    """A client without headers of its own: each request names its key."""
    if isinstance(options.http_client, httpx2.Client):
        return options.http_client
    trust_env = not is_loopback(options.base_url)
    if options.request_log is not None:
        return LoggingClient(options.request_log, secret=options.key, trust_env=trust_env)
    return httpx2.Client(trust_env=trust_env, follow_redirects=False, timeout=make_timeout())


class KeyedEndpoint(Generic[C]):
    """An address on the network with a key from the environment.

    `make_client` is called before the first request, after `check_trust`, which raises NotTrusted
    if the key must not be sent there. Without a `key_variable` no key is needed.
    """

    def __init__(
        self,
        options: ClientOptions,
        make_client: Callable[[ClientOptions], C],
        *,
        key_variable: str | None,
        check_trust: Callable[[], None],
    ) -> None:
        self._options = options
        self._make_client = make_client
        self._key_variable = key_variable
        self._check_trust = check_trust
        self._client: C | None = None
        self._lock = threading.Lock()

    @property
    def secret(self) -> str:
        return self._options.key

    def get_client(self) -> C:
        with self._lock:
            if self._client is None:
                self._check_trust()
                if self._key_variable is not None:
                    check_key(self.secret, self._options.base_url, self._key_variable)
                self._client = self._make_client(self._options)
            return self._client

    def is_renewed_after(self, _client: C, _failure: ProviderError) -> bool:
        return False

    def close(self) -> None:
        if self._client is not None and self._options.http_client is None:
            self._client.close()


def check_key(key: str, base_url: str, variable: str) -> None:
    """Raise AuthFailed for a key of an environment variable that is missing or is no key."""
    if not key:
        raise missing_key(base_url, variable)
    if not key.isascii() or not key.isprintable():
        raise AuthFailed(
            f"the key in the environment variable {variable} holds characters that no key has",
            hint=f"Set {variable} again; perhaps other text was pasted along.",
        )


def make_trust_check(
    address: ServerAddress, settings: ProviderSettings, context: ProviderContext
) -> Callable[[], None]:
    """A function that raises NotTrusted if the key may not be sent to the provider."""
    destination = address.get_destination(settings, context.environ)
    is_typed = context.typed is not None and context.typed.type == settings.type
    typed = (
        address.get_destination(context.typed, context.environ)
        if context.typed and is_typed
        else None
    )
    return partial(Trust(TrustFile(context.home), typed).check, destination)


def build_endpoint(
    address: ServerAddress,
    settings: ProviderSettings,
    context: ProviderContext,
    make_client: Callable[[ClientOptions], C],
    *,
    organization: str | None = None,
    project: str | None = None,
    base_url: str | None = None,
) -> KeyedEndpoint[C]:
    """The endpoint of the provider of `settings`; sends nothing.

    `base_url` is another address of the same provider, to which its key may be sent, too.
    """
    environ = context.environ
    destination = address.get_destination(settings, environ)
    variable = destination.key_variable
    options = ClientOptions(
        base_url=base_url or destination.base_url,
        key=environ.get(variable, "").strip() if variable else "",
        organization=organization,
        project=project,
        http_client=context.http_client,
        request_log=context.request_log,
    )
    return KeyedEndpoint(
        options,
        make_client,
        key_variable=variable,
        check_trust=make_trust_check(address, settings, context),
    )
