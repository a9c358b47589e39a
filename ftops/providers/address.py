"""The address of a provider, and the key that belongs to it."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ftops.errors import AuthFailed, ProviderError
from ftops.http.address import PORTS, is_loopback, read_origin
from ftops.records import ProviderSettings, find_api_address

# No other characters, so that every parser finds the same host in an address.
_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?|\[[0-9a-f:.]+\]")


@dataclass(frozen=True, slots=True)
class Destination:
    """Where requests go, and the environment variable with the key.

    `key_variable` is None if no key is sent: to a server on this machine without `api_key_env`; or
    if the program `key_command` prints the key. `is_approved` if the key may be sent there without
    the user's approval. Files and the key also go to `storage_url`.
    """

    base_url: str
    key_variable: str | None
    is_approved: bool = False
    key_command: str | None = None
    storage_url: str | None = None

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port."""
        return read_origin(self.base_url)

    @property
    def is_plain_http(self) -> bool:
        """Whether requests leave this machine without encryption."""
        return is_plain_http(self.base_url)


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """The address of a provider, and the environment variables that belong to it.

    `base_url` is empty if each customer has an address like `example`. `base_url_variable` may hold
    another address for the same key. `account_variables` are sent, too: each has its meaning, and
    the field of `ProviderSettings` that replaces it, if any.
    """

    base_url: str
    key_variable: str
    base_url_variable: str = ""
    account_variables: Mapping[str, tuple[str, str | None]] = field(default_factory=dict)
    example: str = ""

    def get_destination(
        self, settings: ProviderSettings, environ: Mapping[str, str]
    ) -> Destination:
        """Where requests to the provider go.

        `key_variable` is the key for the provider's own address and the one in the environment.
        Raises ProviderError for any other address without `api_key_env`, unless it is on this
        machine.
        """
        base_url = self.get_base_url(settings, environ)
        own, named = self.is_own(base_url), self._is_from_environ(base_url, environ)
        is_usual = own or named or not self.base_url
        variable = settings.api_key_env or (self.key_variable if is_usual else None)
        if variable is None and not is_loopback(base_url):
            raise ProviderError(
                f"no key is named for {base_url}: {self.key_variable} is for {self.base_url} alone",
                hint="Name the environment variable that holds it: `api_key_env: VAR` beside"
                " `base_url` in the job file, or `--api-key-env VAR`.",
            )
        is_its_key = variable == self.key_variable and not is_plain_http(base_url)
        return Destination(base_url, variable, is_approved=own or (named and is_its_key))

    def list_account_variables(
        self, settings: ProviderSettings, environ: Mapping[str, str]
    ) -> list[tuple[str, str]]:
        """The variables besides the key that are sent to the provider, with their meaning."""
        return [
            (name, meaning)
            for name, (meaning, setting) in self.account_variables.items()
            if environ.get(name) and not (setting and getattr(settings, setting))
        ]

    def get_base_url(self, settings: ProviderSettings, environ: Mapping[str, str]) -> str:
        """The address in the settings or the environment, without a trailing slash.

        Raises ProviderError if there is none.
        """
        base_url = settings.base_url or environ.get(self.base_url_variable) or self.base_url
        if not base_url:
            raise ProviderError(
                f"the provider {settings.type!r} has another address for each customer, and none"
                " is named",
                hint=f"Write `provider: {{type: {settings.type}, base_url: {self.example}}}`, or"
                f" export {self.base_url_variable}={self.example}.",
            )
        return read_base_url(base_url)

    def is_own(self, base_url: str) -> bool:
        """Whether the address is the provider's own, and not that of a customer."""
        if not self.base_url:
            return False
        scheme, host, port = read_origin(base_url)
        own_scheme, _, own_port = read_origin(self.base_url)
        return self.is_own_host(host) and (scheme, port) == (own_scheme, own_port)

    def is_own_host(self, host: str) -> bool:
        """Whether the host is one of the provider's."""
        own_host = read_origin(self.base_url)[1] if self.base_url else None
        return host == own_host or host.endswith(f".{own_host}")

    def list_catalog_tables(
        self, settings: ProviderSettings, environ: Mapping[str, str]
    ) -> tuple[str, ...]:
        """The tables of a `models.toml` that apply to the provider, narrowest first.

        A server is named by its host, with or without the port; a provider also by its type.
        """
        base_url = self.get_base_url(settings, environ)
        parts = urlsplit(base_url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
        named = (f"{host}:{parts.port or PORTS[parts.scheme]}", host)
        is_usual = self.is_own(base_url) or not self.base_url
        return (*named, settings.type) if is_usual else named

    def _is_from_environ(self, base_url: str, environ: Mapping[str, str]) -> bool:
        named = environ.get(self.base_url_variable)
        return bool(named) and read_origin(read_base_url(named or "")) == read_origin(base_url)


OPENAI = ServerAddress(
    "https://api.openai.com/v1",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    {
        "OPENAI_ORG_ID": ("the organization", "organization"),
        "OPENAI_PROJECT_ID": ("the project", "project"),
        "OPENAI_CUSTOM_HEADERS": ("the headers", None),
    },
)
NEBIUS = ServerAddress(
    "https://api.tokenfactory.nebius.com/v1", "NEBIUS_API_KEY", "NEBIUS_BASE_URL"
)
CRUSOE = ServerAddress(
    "https://api.intelligence.crusoecloud.com/v1", "CRUSOE_API_KEY", "CRUSOE_BASE_URL"
)
# Every customer has a subdomain of openai.azure.com: none of them is trusted with another's key.
AZURE = ServerAddress(
    "",
    "AZURE_OPENAI_API_KEY",
    "AZURE_OPENAI_BASE_URL",
    example="https://RESOURCE.openai.azure.com/openai/v1",
)
VOLITION = ServerAddress(
    "", "VOLITION_API_KEY", "VOLITION_BASE_URL", example="https://GATEWAY.example/v1"
)

TOGETHER = ServerAddress("https://api.together.ai/v1", "TOGETHER_API_KEY", "TOGETHER_BASE_URL")
HUGGING_FACE = ServerAddress("https://huggingface.co", "HF_TOKEN", "HF_ENDPOINT")


def is_plain_http(base_url: str) -> bool:
    """Whether requests to the address leave this machine without encryption."""
    return read_origin(base_url)[0] == "http" and not is_loopback(base_url)


def missing_key(base_url: str, variable: str) -> AuthFailed:
    """The error for a key that is missing in the environment."""
    return AuthFailed(
        f"no key for {base_url}: the environment variable {variable} is not set",
        hint=f"export {variable}=…, or name another variable as `api_key_env`.",
    )


def read_base_url(base_url: str) -> str:
    """The address without a trailing slash, so that an account has one spelling.

    ProviderError for an invalid address, one with a user or a query, or an ambiguous one.
    """
    text = base_url.strip()
    if "@" in text or "?" in text or "#" in text:  # the message omits it: it may contain a key
        raise ProviderError(
            "base_url must not contain a user, a password or a query",
            hint="Put a key into the environment variable that `api_key_env` names.",
        )
    try:
        parts = urlsplit(text)
        host = parts.netloc.lower().rpartition(":")[0] if parts.port is not None else parts.netloc
        is_valid = (
            parts.scheme in PORTS
            and parts.port != 0
            and _HOST.fullmatch(host.lower()) is not None
            and not re.search(r"[\s\x00-\x1f\x7f]", text)  # urlsplit drops these
        )
        if host.startswith("["):
            ipaddress.IPv6Address(host[1:-1])
    except ValueError:
        is_valid = False
    if not is_valid:
        raise ProviderError(
            f"base_url {base_url!r} is not a valid server address",
            hint="Write an address such as https://api.openai.com/v1, with an ASCII host name.",
        )
    if address := find_api_address(text):
        raise ProviderError(
            f"base_url {base_url!r} is the address of one route, or has its version twice",
            hint=f"Write {address}",
        )
    return text.rstrip("/")
