"""The address of a provider: where it comes from, whose it is, and which key belongs to it."""

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
# Nothing else, so that all who read an address find the same host in it.
_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?|\[[0-9a-f:.]+\]")


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a provider's requests go, and the environment variable with the key that goes along.

    `key_variable` is None where no key is sent: at a server on this machine that names none.
    """

    base_url: str
    key_variable: str | None

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port."""
        return read_origin(self.base_url)


def find_destination(settings: ProviderSettings, environ: Mapping[str, str]) -> Destination | None:
    """Where the provider of `settings` is; None for the built-in engine.

    OPENAI_API_KEY is the key of the provider's own address, and of the one in OPENAI_BASE_URL,
    which the user has set beside it. Raises ProviderError for an address elsewhere without
    `api_key_env`, unless it is on this machine.
    """
    if settings.type != "openai":
        return None
    base_url = get_base_url(settings, environ)
    if settings.api_key_env or is_official(base_url) or is_from_environ(base_url, environ):
        return Destination(base_url, settings.api_key_env or KEY_VARIABLE)
    if is_loopback(base_url):
        return Destination(base_url, None)
    raise ProviderError(
        f"the key for {base_url} is not named: {KEY_VARIABLE} is for {OFFICIAL_BASE_URL} alone",
        hint="Name the environment variable that holds it: `api_key_env: VAR` beside `base_url`"
        " in the job file, or `--api-key-env VAR`.",
    )


def list_account_variables(
    settings: ProviderSettings, environ: Mapping[str, str]
) -> list[tuple[str, str]]:
    """Environment variables that are sent as headers to that provider, and as what."""
    if settings.type != "openai":
        return []
    named = {
        "OPENAI_ORG_ID": None if settings.organization else "the organization",
        "OPENAI_PROJECT_ID": None if settings.project else "the project",
        "OPENAI_CUSTOM_HEADERS": "the headers",
    }
    return [(name, sent) for name, sent in named.items() if sent and environ.get(name)]


def missing_key(base_url: str, variable: str) -> AuthFailed:
    """The error for a key that is not in the environment."""
    return AuthFailed(
        f"no key for {base_url}: the environment variable {variable} is not set",
        hint=f"export {variable}=…, or name another variable as `api_key_env`.",
    )


def get_base_url(settings: ProviderSettings, environ: Mapping[str, str]) -> str:
    """The address that the settings or the environment name, without a slash at its end."""
    return read_base_url(settings.base_url or environ.get("OPENAI_BASE_URL") or OFFICIAL_BASE_URL)


def read_base_url(base_url: str) -> str:
    """The address without a slash at its end, so that one account has one spelling.

    ProviderError for what is none, holds a user or a query, or could be read in two ways.
    """
    text = base_url.strip()
    if "@" in text or "?" in text or "#" in text:  # not shown: it may be a key
        raise ProviderError(
            "base_url may hold neither a user, a password nor a query",
            hint="A key belongs into the environment variable that `api_key_env` names.",
        )
    try:
        parts = urlsplit(text)
        host = parts.netloc.lower().rpartition(":")[0] if parts.port is not None else parts.netloc
        sound = (
            parts.scheme in PORTS
            and parts.port != 0
            and _HOST.fullmatch(host.lower()) is not None
            and not re.search(r"[\s\x00-\x1f\x7f]", text)  # which urlsplit leaves out
        )
        if host.startswith("["):
            ipaddress.IPv6Address(host[1:-1])
    except ValueError:
        sound = False
    if not sound:
        raise ProviderError(
            f"base_url {base_url!r} is not the address of a server",
            hint="It looks like https://api.openai.com/v1 and usually ends in /v1; a host name has"
            " ASCII letters alone.",
        )
    if address := find_api_address(text):
        raise ProviderError(
            f"base_url {base_url!r} is the address of one route, or has its version twice",
            hint=f"Write {address}",
        )
    return text.rstrip("/")


def is_from_environ(base_url: str, environ: Mapping[str, str]) -> bool:
    """Whether OPENAI_BASE_URL names that server."""
    named = environ.get("OPENAI_BASE_URL")
    return bool(named) and read_origin(read_base_url(named or "")) == read_origin(base_url)


def is_official(base_url: str) -> bool:
    """Whether OpenAI itself answers there."""
    scheme, host, port = read_origin(base_url)
    return is_official_host(host) and (scheme, port) == ("https", 443)


def is_official_host(host: str) -> bool:
    """Whether that host is one of OpenAI's."""
    return host == "api.openai.com" or host.endswith(".api.openai.com")


def list_catalog_tables(settings: ProviderSettings, environ: Mapping[str, str]) -> tuple[str, ...]:
    """The names under which a `models.toml` may speak of that provider, the narrowest first.

    A server is named by its host, with or without the port; OpenAI and the built-in engine by
    their types, which therefore mean nobody else at another address.
    """
    if settings.type != "openai":
        return (settings.type,)
    base_url = get_base_url(settings, environ)
    parts = urlsplit(base_url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    named = (f"{host}:{parts.port or PORTS[parts.scheme]}", host)
    return (*named, settings.type) if is_official(base_url) else named
