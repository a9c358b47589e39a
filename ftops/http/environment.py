"""The environment variables of connections: proxies and certificates.

The HTTP client reads them itself, but its errors do not name them, so they are checked before a
client is created.
"""

import os
import re
import ssl
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import proxy_bypass

import httpx2

from ftops.errors import ProviderError

_PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")
_SOCKS = "pip install 'ftops[socks]'"


def check_environment(environ: Mapping[str, str] = os.environ) -> None:
    """Raise ProviderError for a proxy or certificate variable that prevents connections."""
    for scheme in ("http", "https", "all"):
        name = _find_proxy_name(scheme, environ)
        if name is not None:
            _check_proxy(name, environ[name])
    if path := environ.get("SSL_CERT_FILE"):
        _check_certificates("SSL_CERT_FILE", path)
    if (path := environ.get("SSL_CERT_DIR")) and not Path(path).is_dir():
        raise _wrong("SSL_CERT_DIR", path, "is not a folder")


def find_proxy(url: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """The variable with the proxy for the address, and its value."""
    parts = urlsplit(url)
    if proxy_bypass(parts.hostname or ""):
        return None
    names = (_find_proxy_name(scheme, environ) for scheme in (parts.scheme, "all"))
    name = next((name for name in names if name is not None), None)
    return None if name is None else f"{name} ({_hide_password(environ[name])})"


def _find_proxy_name(scheme: str, environ: Mapping[str, str]) -> str | None:
    """The name of the variable in use, in lower or upper case."""
    for name in (f"{scheme}_proxy", f"{scheme.upper()}_PROXY"):
        if environ.get(name):
            return name
    return None


def _check_proxy(name: str, value: str) -> None:
    url = value if "://" in value else f"http://{value}"
    try:
        parts = urlsplit(url)
        reason = ""
        if parts.scheme not in _PROXY_SCHEMES:
            reason = f"its scheme is not one of {', '.join(_PROXY_SCHEMES)}"
        elif not parts.hostname or re.search(r"\s", parts.netloc):
            reason = "it names no host"
        elif parts.port != 0:  # raises ValueError for an invalid port
            httpx2.Proxy(url)
        else:
            reason = "0 is not a port"
    except (ValueError, httpx2.InvalidURL) as error:
        reason = str(error)
    if reason:
        raise _wrong(name, _hide_password(value), f"is not a valid proxy address: {reason}")
    if parts.scheme.startswith("socks"):
        try:
            import_module("socksio")
        except ImportError:
            raise ProviderError(
                f"{name} names a SOCKS proxy ({_hide_password(value)}), and the package for SOCKS"
                " is not installed",
                hint=f"Install it with `{_SOCKS}`; or unset {name}, or name an http:// proxy.",
            ) from None


def _check_certificates(name: str, path: str) -> None:
    try:
        ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        raise _wrong(name, path, "has no certificates in PEM format") from None
    except OSError as error:
        raise _wrong(name, path, f"cannot be read: {error.strerror or error}") from None


def _wrong(name: str, value: str, reason: str) -> ProviderError:
    return ProviderError(
        f"the environment variable {name} is invalid: {value!r} {reason}",
        hint=f"Fix it, or unset {name}; nothing was sent.",
    )


def _hide_password(url: str) -> str:
    return re.sub(r"[^/@]*@", "***@", url)
