"""`ftops trust`: which keys may be sent to which addresses.

Commands that load a job file show what they send and where, and ask for approval before they send
anything.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from ftops.cli.command import command
from ftops.cli.environment import read_environ
from ftops.cli.factory import find_export_destination, open_trust
from ftops.cli.format import render_bytes, render_pairs
from ftops.cli.options import AllowHttp, ApiKeyEnv, ApprovalOptions
from ftops.cli.output import Mode, Output, ask_user
from ftops.errors import NotTrusted
from ftops.providers.address import Destination, missing_key, read_base_url
from ftops.providers.registry import find_address, find_destination, get_capabilities
from ftops.providers.trust import (
    Approval,
    Trust,
    format_trust_command,
    make_approval,
)
from ftops.records import Json, ProviderSettings
from ftops.spec.job_file import (
    LoadedJob,
    list_defaults,
    list_providers,
    list_unsent,
    list_variables,
)
from ftops.spec.notify import hide_path

Host = Annotated[
    str | None,
    typer.Argument(metavar="[HOST]", help="Host (with port, if needed) or URL."),
]
Remove = Annotated[bool, typer.Option("--remove", help="Remove the approval.")]


@command(
    "trust",
    examples=[
        "ftops trust",
        "ftops trust llm.example.com --api-key-env LLM_KEY",
        "ftops trust llm.example.com --remove",
    ],
)
def trust(
    out: Output,
    host: Host = None,
    api_key_env: ApiKeyEnv = None,
    allow_http: AllowHttp = False,
    remove: Remove = False,
) -> None:
    """Approve sending a key to an address, or list the approvals.

    A key that a job file names is sent to an address that it names only after approval; commands
    that load a job file also take --trust-host. An approval is for one scheme, host, port and key
    variable. The default address of a provider and this machine need none. --remove removes all
    approvals of the address, or only the one for --api-key-env.
    """
    file = open_trust().file
    if host is None:
        _finish(out, file.read())
        return
    address = host if "://" in host else f"https://{host}"
    destination = Destination(read_base_url(address), api_key_env)
    approval = make_approval(destination)
    if remove:
        removed = [
            known
            for known in file.read()
            if known.address == approval.address and api_key_env in (None, known.api_key_env)
        ]
        file.remove(removed)
        _finish(out, removed, verb="No longer approved")
        return
    if api_key_env is None:
        raise typer.BadParameter("name the variable of the key to approve: --api-key-env VAR")
    if destination.is_plain_http and not allow_http:
        raise typer.BadParameter(
            f"{approval.address} is not encrypted: others can read the key and the data;"
            " --allow-http approves it anyway"
        )
    file.add([approval])
    _finish(out, [approval], verb="Approved")


def _finish(out: Output, approvals: list[Approval], *, verb: str = "") -> None:
    lines = [f"{approval.address}  {approval.api_key_env}" for approval in approvals]
    out.finish(
        [_to_json(approval) for approval in approvals],
        essential=lines,
        human=lambda: (
            [f"{verb}: {line}" if verb else line for line in lines]
            or ["No addresses are approved, except the providers' own and this machine."]
        ),
    )


def _to_json(approval: Approval) -> dict[str, Json]:
    return {
        "scheme": approval.scheme,
        "host": approval.host,
        "port": approval.port,
        "api_key_env": approval.api_key_env,
    }


@dataclass(frozen=True, slots=True)
class Recipient:
    """A recipient of data, from `field` of the job file; `destination` is None for this machine."""

    field: str
    name: str
    destination: Destination | None
    has_key: bool
    is_trusted: bool

    def describe(self) -> str:
        if self.destination is None:
            return f"{self.name}, on this machine"
        key = self.destination.key_variable
        has_key = "" if self.has_key else " (not set)"
        with_key = f"with the key in {key}{has_key}" if key else "without a key"
        if self.destination.key_command:
            with_key = f"with a token from `{self.destination.key_command}`"
        trusted = (
            "" if self.is_trusted else f"; not approved: `{format_trust_command(self.destination)}`"
        )
        plain = ", not encrypted" if self.destination.is_plain_http else ""
        storage = self.destination.storage_url
        address = " and ".join(filter(None, (self.destination.base_url, storage)))
        return f"{self.name} at {address}{plain}, {with_key}{trusted}"

    def to_json(self) -> dict[str, Json]:
        destination = self.destination
        return {
            "field": self.field,
            "name": self.name,
            "address": destination.base_url if destination else None,
            "api_key_env": destination.key_variable if destination else None,
            "api_key_set": self.has_key,
            "approved": self.is_trusted,
        }


@dataclass(frozen=True, slots=True)
class OutgoingData:
    """What a job file sends: `files` are field, name and bytes; `variables` are name and field.

    `unsent` stays in the ledger; for `defaults` the provider uses its own values.
    """

    recipients: tuple[Recipient, ...]
    files: tuple[tuple[str, str, int], ...]
    webhook: str | None
    variables: tuple[tuple[str, str], ...]
    unsent: tuple[str, ...] = ()  # fields of the job file that the provider does not take
    defaults: tuple[tuple[str, str], ...] = ()  # of hyperparameters that are not sent

    @property
    def stays_here(self) -> bool:
        """Whether no data is sent to other machines."""
        return not self.webhook and all(
            recipient.destination is None for recipient in self.recipients
        )

    def list_pairs(self) -> Iterator[tuple[str, str | None]]:
        """Labels and texts."""
        for recipient in self.recipients:
            yield "sends to", recipient.describe()
        files = ", ".join(f"{name} ({render_bytes(size)})" for _, name, size in self.files)
        yield "files", files or None
        yield "webhook", self.webhook
        variables = ", ".join(f"{name} in {field}" for name, field in self.variables)
        yield "variables", variables or None
        yield "not sent", f"{', '.join(self.unsent)} (kept in the ledger)" if self.unsent else None
        defaults = ", ".join(f"{name} {value}" for name, value in self.defaults)
        yield "defaults", f"{defaults} (of the provider)" if defaults else None

    def describe(self) -> str:
        """The labels and texts on one line."""
        return "; ".join(f"{label} {text}" for label, text in self.list_pairs() if text)

    def to_json(self) -> dict[str, Json]:
        return {
            "to": [recipient.to_json() for recipient in self.recipients],
            "files": [
                {"field": field, "name": name, "bytes": size} for field, name, size in self.files
            ],
            "webhook": self.webhook,
            "variables": [{"name": name, "field": field} for name, field in self.variables],
            "not_sent": list(self.unsent),
            "provider_defaults": dict(self.defaults),
        }


def collect_outgoing_data(job: LoadedJob) -> OutgoingData:
    """The data that the job file sends; sends nothing itself."""
    environ, trust = read_environ(), open_trust()
    webhook = job.spec.notify.webhook_url
    variables, capabilities = list_variables(job), get_capabilities(job.spec.provider_settings())
    for _, settings in list_providers(job):
        if address := find_address(settings):
            variables += address.list_account_variables(settings, environ)
    return OutgoingData(
        recipients=tuple(_list_recipients(job, environ, trust)),
        files=tuple(_list_files(job)),
        webhook=hide_path(webhook) if webhook else None,
        variables=tuple(dict.fromkeys(variables)),
        unsent=tuple(list_unsent(job.spec, capabilities)),
        defaults=tuple(list_defaults(job.spec, capabilities).items()),
    )


def approve(
    out: Output, job: LoadedJob, options: ApprovalOptions, *, ask: bool = True
) -> OutgoingData:
    """The data that the job file sends; NotTrusted unless every address is approved.

    Permanently approves addresses that `--trust-host` names or the user confirms at a terminal.
    """
    outgoing, trust = collect_outgoing_data(job), open_trust()
    missing = [
        recipient.destination for recipient in outgoing.recipients if not recipient.is_trusted
    ]
    if not missing:
        return outgoing
    can_ask = ask and out.mode is Mode.HUMAN and sys.stdin.isatty()
    if can_ask:
        show_outgoing_data(out, outgoing)
    for destination in filter(None, missing):
        if destination.is_plain_http and not options.allow_http:
            trust.check(destination)
        if not any(_matches(host, destination) for host in options.trust_host or ()):
            if not can_ask:
                trust.check(destination)
            if not ask_user(
                f"Send the key in {destination.key_variable} and the data to"
                f" {destination.base_url}?"
            ):
                raise NotTrusted("nothing was sent")
        trust.file.add([make_approval(destination)])
    return collect_outgoing_data(job)


def check_keys(outgoing: OutgoingData) -> None:
    """Raise AuthFailed when the key of a provider is not in the environment."""
    for recipient in outgoing.recipients:
        destination = recipient.destination
        is_export = recipient.field.startswith("export")  # an export may need no key
        if destination and destination.key_variable and not recipient.has_key and not is_export:
            raise missing_key(destination.base_url, destination.key_variable)


def approve_typed_address(settings: ProviderSettings, options: ApprovalOptions) -> None:
    """Approve an address that the user gave as an option, also for later commands."""
    destination, trust = find_destination(settings, read_environ()), open_trust()
    if destination is not None and not trust.is_trusted(destination):
        if destination.is_plain_http and not options.allow_http:
            trust.check(destination)
        trust.file.add([make_approval(destination)])


def show_outgoing_data(out: Output, outgoing: OutgoingData) -> None:
    """Print what is sent, except in the quiet mode or when no data leaves this machine."""
    if out.mode is not Mode.QUIET and not (outgoing.stays_here and not outgoing.variables):
        out.show(render_pairs(outgoing.list_pairs()))
        out.show("")


def _matches(host: str, destination: Destination) -> bool:
    """Whether a host, with or without scheme and port, is that of the destination."""
    scheme, _, rest = host.rpartition("://")
    parts = urlsplit(f"//{rest}")
    own_scheme, own_host, own_port = destination.origin
    try:
        port = parts.port
    except ValueError:
        return False
    return (
        (parts.hostname or "").removesuffix(".") == own_host
        and scheme.lower() in ("", own_scheme)
        and port in (None, own_port)
    )


def _list_recipients(
    job: LoadedJob, environ: Mapping[str, str], trust: Trust
) -> Iterator[Recipient]:
    fields: dict[tuple[str, Destination | None], str] = {}
    for path, settings in list_providers(job):
        destination = find_destination(settings, environ)
        fields.setdefault((settings.type, destination), ".".join(map(str, path)))
    for number, item in enumerate(job.spec.export):
        for tool, tool_settings in item.items():
            if server := find_export_destination(tool_settings, environ):
                fields.setdefault((tool, server), f"export.{number}")
    for (name, destination), field in fields.items():
        key = destination.key_variable if destination else None
        yield Recipient(
            field=field,
            name=name,
            destination=destination,
            has_key=bool(key and environ.get(key, "").strip()),
            is_trusted=destination is None or trust.is_trusted(destination),
        )


def _list_files(job: LoadedJob) -> Iterator[tuple[str, str, int]]:
    spec = job.spec
    files = {
        "training_file": spec.training_file,
        "validation_file": spec.validation_file,
        **spec.evaluate.files,
    }
    for field, name in files.items():
        path = job.find_data(name) if name else None
        if name and path is not None:
            yield field, name, _get_size(path)


def _get_size(path: Path) -> int:
    """The size of a file, or of all files in a folder, in bytes."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
