"""The address of a provider: from the job file or the environment, and whose it is."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from ftops.errors import ProviderError
from ftops.records import ProviderSettings, find_api_address

OFFICIAL_BASE_URL = "https://api.openai.com/v1"
_PORTS = {"http": 80, "https": 443}


def find_base_url(settings: ProviderSettings, environ: Mapping[str, str]) -> str:
    """The address that the settings or the environment name, without a slash at its end."""
    return _check_base_url(settings.base_url or environ.get("OPENAI_BASE_URL") or OFFICIAL_BASE_URL)


def is_official(base_url: str) -> bool:
    """Whether OpenAI itself answers there."""
    return is_official_host(urlsplit(base_url).hostname or "")


def is_official_host(host: str) -> bool:
    """Whether that host is one of OpenAI's."""
    return host == "api.openai.com" or host.endswith(".api.openai.com")


def list_tables(settings: ProviderSettings, environ: Mapping[str, str]) -> tuple[str, ...]:
    """The names under which a `models.toml` may speak of that provider, the narrowest first.

    A server is named by its host, with or without the port; OpenAI and the built-in engine by
    their types, which therefore mean nobody else at another address.
    """
    if settings.type != "openai":
        return (settings.type,)
    base_url = find_base_url(settings, environ)
    parts = urlsplit(base_url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    named = (f"{host}:{parts.port or _PORTS[parts.scheme]}", host)
    return (*named, settings.type) if is_official(base_url) else named


def _check_base_url(base_url: str) -> str:
    """The address without a slash at its end, so that one account has one spelling."""
    try:
        parts = urlsplit(base_url.strip())
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound:
        raise ProviderError(
            f"base_url {base_url!r} is not the address of a server",
            hint="It looks like https://api.openai.com/v1 and usually ends in /v1.",
        )
    if parts.username is not None or parts.query or parts.fragment:
        raise ProviderError(
            "base_url may hold neither a user, a password nor a query",
            hint="A key belongs into the environment variable that `api_key_env` names.",
        )
    if address := find_api_address(base_url.strip()):
        raise ProviderError(
            f"base_url {base_url!r} is the address of one route, or has its version twice",
            hint=f"Write {address}",
        )
    return base_url.strip().rstrip("/")
