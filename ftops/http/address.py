"""Addresses of servers: scheme, host and port, and whether they are on this machine."""

import ipaddress
from urllib.parse import urlsplit

PORTS = {"http": 80, "https": 443}


def is_loopback(base_url: str) -> bool:
    """Whether the address is on this machine."""
    host = urlsplit(base_url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_origin(base_url: str) -> tuple[str, str, int]:
    """Scheme, host (lower case, without a trailing dot) and port of a valid address."""
    parts = urlsplit(base_url)
    host = (parts.hostname or "").removesuffix(".")
    return parts.scheme, host, parts.port or PORTS[parts.scheme]


def format_origin(origin: tuple[str, str, int]) -> str:
    """The origin as an address; the port is included unless it is the default of the scheme."""
    scheme, host, port = origin
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}" + ("" if PORTS[scheme] == port else f":{port}")
