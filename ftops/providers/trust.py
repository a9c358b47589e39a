"""Which addresses a key may be sent to: `trust.toml` in the home folder, and the exceptions.

A job file can name any address and any environment variable. A key is therefore sent to an address
from a job file only when the user has approved that scheme, host, port and variable. No approval is
needed for a provider's own address and this machine, for the provider's key also at the address in
its environment variable (OPENAI_BASE_URL), and for the address in an option of the same command.
"""

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from ftops.errors import NotTrusted, StorageError
from ftops.files import PRIVATE_FILE, make_private_dir, read_if_there, storage_error, write_atomic
from ftops.http.address import format_origin, is_loopback
from ftops.providers.address import Destination

FILENAME = "trust.toml"
_HEAD = "# Where keys may be sent; `ftops trust` lists, adds and removes entries.\n"
_LOCK_WAIT_S = 10.0
_PATTERNS = {"scheme": r"https?", "host": r"[a-z0-9._:-]+", "api_key_env": r"[A-Z_][A-Z0-9_]*"}


@dataclass(frozen=True, slots=True, order=True)
class Approval:
    """Permission to send the key in an environment variable to a server."""

    scheme: str
    host: str
    port: int
    api_key_env: str

    @property
    def address(self) -> str:
        return format_origin((self.scheme, self.host, self.port))


class TrustFile:
    """The approvals in the file `trust.toml` of a home folder."""

    def __init__(self, home: Path) -> None:
        self.path = home / FILENAME

    def read(self) -> list[Approval]:
        """All approvals, sorted; StorageError when the file is invalid."""
        content = read_if_there(self.path)
        try:
            document = tomllib.loads((content or b"").decode())
            return sorted(_read_entry(entry) for entry in document.get("approved", []))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StorageError(
                f"{self.path} cannot be read, so no key is sent to an address that needs approval:"
                f" {error}",
                hint="Fix the file, or delete it and approve the addresses again with"
                " `ftops trust`.",
            ) from error

    def add(self, approvals: Iterable[Approval]) -> None:
        """Add approvals."""
        self._change(lambda entries: entries | set(approvals))

    def remove(self, approvals: Iterable[Approval]) -> None:
        self._change(lambda entries: entries - set(approvals))

    def _change(self, change: Callable[[set[Approval]], set[Approval]]) -> None:
        make_private_dir(self.path.parent)
        lock = FileLock(self.path.with_suffix(".lock"), timeout=_LOCK_WAIT_S, mode=PRIVATE_FILE)
        try:
            with lock:
                entries = sorted(change(set(self.read())))
                text = "".join(map(_render_entry, entries))
                write_atomic(self.path, (_HEAD + text).encode())
        except OSError as error:  # also for a lock that another process keeps
            raise storage_error(error, self.path) from error


@dataclass(frozen=True, slots=True)
class Trust:
    """Decides whether a key may be sent to an address.

    `typed` is the address in the options of this command, if they name a provider.
    """

    file: TrustFile
    typed: Destination | None = None

    def check(self, destination: Destination) -> None:
        """Raise NotTrusted if the key may not be sent there."""
        if self.is_trusted(destination):
            return
        address = format_origin(destination.origin)
        plain = ""
        if destination.is_plain_http:
            plain = "; http is not encrypted, so key and data can be read in transit"
        raise NotTrusted(
            f"nothing was sent to {address}: it is not approved for the key in"
            f" {destination.key_variable}{plain}",
            hint=f"If you trust that server: `{format_trust_command(destination)}`.",
        )

    def is_trusted(self, destination: Destination) -> bool:
        """Whether the key may be sent there without another approval."""
        if destination.is_approved or is_loopback(destination.base_url):
            return True
        approval = make_approval(destination)
        is_typed = self.typed is not None and approval == make_approval(self.typed)
        return is_typed or approval in self.file.read()


def format_trust_command(destination: Destination) -> str:
    """The command that approves the address."""
    address = format_origin(destination.origin)
    command = f"ftops trust {address} --api-key-env {destination.key_variable}"
    return f"{command} --allow-http" if destination.is_plain_http else command


def make_approval(destination: Destination) -> Approval:
    """The approval for an address and key."""
    return Approval(*destination.origin, destination.key_variable or "")


def _read_entry(entry: Mapping[str, object]) -> Approval:
    texts = {name: str(entry[name]) for name in _PATTERNS}
    for name, pattern in _PATTERNS.items():
        if not re.fullmatch(pattern, texts[name]):
            raise ValueError(f"{name} = {texts[name]!r}")
    port = entry["port"]
    if not isinstance(port, int) or not 0 < port < 65_536:
        raise ValueError(f"port = {port!r}")
    return Approval(texts["scheme"], texts["host"], port, texts["api_key_env"])


def _render_entry(approval: Approval) -> str:
    return (
        f'\n[[approved]]\nscheme = "{approval.scheme}"\nhost = "{approval.host}"\n'
        f"port = {approval.port}\n"
        f'api_key_env = "{approval.api_key_env}"\n'
    )
