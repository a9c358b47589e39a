"""The address of a provider, and the key that belongs to it."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from ftops.errors import AuthFailed, ProviderError
from ftops.http.address import PORTS, is_loopback, read_origin
from ftops.records import ProviderSettings, find_api_address

OFFICIAL_BASE_URL = "https://api.openai.com/v1"
KEY_VARIABLE = "OPENAI_API_KEY"
# No other characters, so that every parser finds the same host in an address.
_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?|\[[0-9a-f:.]+\]")


@dataclass(frozen=True, slots=True)
class Destination:
    """Where requests go, and the environment variable with the key.

    `key_variable` is None if no key is sent: to a server on this machine without `api_key_env`.
    """

    base_url: str
    key_variable: str | None

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port."""
        return read_origin(self.base_url)


def find_destination(settings: ProviderSettings, environ: Mapping[str, str]) -> Destination | None:
    """Where requests to the provider go; None for the built-in engine.

    OPENAI_API_KEY is the key for OpenAI's own address and the address in OPENAI_BASE_URL. Raises
    ProviderError for any other address without `api_key_env`, unless it is on this machine.
    """
    if settings.type != "openai":
        return None
    base_url = get_base_url(settings, environ)
    if settings.api_key_env or is_official(base_url) or is_from_environ(base_url, environ):
        return Destination(base_url, settings.api_key_env or KEY_VARIABLE)
    if is_loopback(base_url):
        return Destination(base_url, None)
    raise ProviderError(
        f"no key is named for {base_url}: {KEY_VARIABLE} is for {OFFICIAL_BASE_URL} alone",
        hint="Name the environment variable that holds it: `api_key_env: VAR` beside `base_url`"
        " in the job file, or `--api-key-env VAR`.",
    )


def list_account_variables(
    settings: ProviderSettings, environ: Mapping[str, str]
) -> list[tuple[str, str]]:
    """The environment variables that are sent to the provider as headers, with their meaning."""
    if settings.type != "openai":
        return []
    named = {
        "OPENAI_ORG_ID": None if settings.organization else "the organization",
        "OPENAI_PROJECT_ID": None if settings.project else "the project",
        "OPENAI_CUSTOM_HEADERS": "the headers",
    }
    return [(name, sent) for name, sent in named.items() if sent and environ.get(name)]


def missing_key(base_url: str, variable: str) -> AuthFailed:
    """The error for a key that is missing in the environment."""
    return AuthFailed(
        f"no key for {base_url}: the environment variable {variable} is not set",
        hint=f"export {variable}=…, or name another variable as `api_key_env`.",
    )


def get_base_url(settings: ProviderSettings, environ: Mapping[str, str]) -> str:
    """The address in the settings or the environment, without a trailing slash."""
    return read_base_url(settings.base_url or environ.get("OPENAI_BASE_URL") or OFFICIAL_BASE_URL)


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


def is_from_environ(base_url: str, environ: Mapping[str, str]) -> bool:
    """Whether OPENAI_BASE_URL names the server."""
    named = environ.get("OPENAI_BASE_URL")
    return bool(named) and read_origin(read_base_url(named or "")) == read_origin(base_url)


def is_official(base_url: str) -> bool:
    """Whether the address is OpenAI's own."""
    scheme, host, port = read_origin(base_url)
    return is_official_host(host) and (scheme, port) == ("https", 443)


def is_official_host(host: str) -> bool:
    """Whether the host is one of OpenAI's."""
    return host == "api.openai.com" or host.endswith(".api.openai.com")


def list_catalog_tables(settings: ProviderSettings, environ: Mapping[str, str]) -> tuple[str, ...]:
    """The tables of a `models.toml` that apply to the provider, narrowest first.

    A server is named by its host, with or without the port; OpenAI and the built-in engine by
    their types.
    """
    if settings.type != "openai":
        return (settings.type,)
    base_url = get_base_url(settings, environ)
    parts = urlsplit(base_url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    named = (f"{host}:{parts.port or PORTS[parts.scheme]}", host)
    return (*named, settings.type) if is_official(base_url) else named
