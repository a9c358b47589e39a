"""The address of the engine: its port, its token, and `address.json` for clients."""

import contextlib
import errno
import ipaddress
import json
import logging
import os
import secrets
import socket
from dataclasses import asdict
from pathlib import Path

from ftops.engine.settings import EngineFolder, EngineSettings
from ftops.errors import EngineError, PortTaken
from ftops.files import PRIVATE_FILE, write_atomic
from ftops.records import EngineAddress

_ANY_PORT = 0
_LOCAL_NAMES = {"0.0.0.0": "127.0.0.1", "::": "::1"}
EXPOSED = (
    "other machines can reach the engine, over a connection that is not encrypted. Put a reverse "
    "proxy with TLS in front of it that keeps the Host header (Caddy, nginx, …)."
)
_log = logging.getLogger(__name__)


def load_token(path: Path) -> str:
    """Read the engine's token, or create it on the first start; only its user can read the file."""
    try:
        _make_private(path)
        token = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        token = ""
    except (OSError, UnicodeDecodeError) as error:
        raise EngineError(f"{path}: the token cannot be read: {error}") from error
    if not token:
        token = f"ftops-{secrets.token_hex(24)}"
        write_atomic(path, token.encode() + b"\n")
    return token


def is_loopback(host: str) -> bool:
    """Whether the host is a loopback address or name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def open_socket(settings: EngineSettings) -> socket.socket:
    """Listen on the configured port, else on the last one used, else on any free one.

    Raises PortTaken when the configured port is in use, and EngineError when the host or port
    cannot be used at all.
    """
    if settings.port is not None:
        return _bind(settings.host, settings.port)
    last = _read_port(settings.paths)
    if last is not None:
        with contextlib.suppress(PortTaken):
            return _bind(settings.host, last)
    return _bind(settings.host, _ANY_PORT)


def write_address(folder: EngineFolder, address: EngineAddress) -> None:
    """Write the address for clients; called once the engine listens."""
    port = address.base_url.rpartition(":")[2].removesuffix("/v1")
    write_atomic(folder.last_port, port.encode() + b"\n")
    write_atomic(folder.address, json.dumps(asdict(address), indent=2).encode() + b"\n")


def remove_address(folder: EngineFolder) -> None:
    folder.address.unlink(missing_ok=True)


def base_url(host: str, port: int) -> str:
    """The base URL for clients on this machine."""
    name = _LOCAL_NAMES.get(host, host)
    return f"http://{f'[{name}]' if ':' in name else name}:{port}/v1"


def _make_private(path: Path) -> None:
    """Make the file readable only by its owner; Windows has other permissions."""
    mode = path.stat().st_mode & 0o777
    if os.name == "posix" and mode & 0o077:
        path.chmod(PRIVATE_FILE)
        _log.warning("%s was readable by others (mode %o); it is private now", path, mode)


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With an explicit protocol the event loop sets TCP_NODELAY; without it, headers and body of a
    # response are 40 ms apart.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if hasattr(socket, "SO_REUSEPORT"):  # the option differs on Windows
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(128)  # fails for a port in use, at the latest
    except (OSError, OverflowError) as error:
        bound.close()
        reason = f"cannot listen on {host}:{port}: {getattr(error, 'strerror', error)}"
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            raise PortTaken(reason) from error
        raise EngineError(reason, hint="Choose another --host or --port.") from error
    return bound


def _read_port(folder: EngineFolder) -> int | None:
    try:
        port = int(folder.last_port.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return port if 0 < port < 65536 else None
