"""`ftops trust`: which keys may be sent to which addresses.

Every command that loads a job file shows here what it sends where, and asks for approval before
anything is sent.
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
from ftops.cli.output import Mode, Output, clean
from ftops.errors import NotTrusted
from ftops.providers.address import (
    Destination,
    find_destination,
    list_account_variables,
    missing_key,
    read_base_url,
)
from ftops.providers.trust import (
    Approval,
    Trust,
    format_trust_command,
    is_plain_http,
    make_approval,
)
from ftops.records import Json, ProviderSettings
from ftops.spec.job_file import LoadedJob, list_providers, list_variables, resolve_data
from ftops.spec.notify import hide_path

Host = Annotated[
    str | None,
    typer.Argument(metavar="[HOST]", help="A host, with a port where needed, or an address."),
]
Remove = Annotated[bool, typer.Option("--remove", help="Take the approval back.")]


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
    """Approve that a key goes to an address, or list what is approved.

    The key that a job file names goes to the address that it names only when that is approved; what
    loads a job file takes --trust-host, too. An approval holds for one scheme, host, port and key
    variable. A provider's own address and this machine need none. With --remove, all approvals of
    the address are taken back, or only that of --api-key-env.
    """
    file = open_trust().file
    if host is None:
        _finish(out, file.read())
        return
    address = host if "://" in host else f"https://{host}"
    where = Destination(read_base_url(address), api_key_env)
    approval = make_approval(where)
    if remove:
        taken = [
            one
            for one in file.read()
            if one.address == approval.address and api_key_env in (None, one.api_key_env)
        ]
        file.remove(taken)
        _finish(out, taken, verb="No longer approved")
        return
    if api_key_env is None:
        raise typer.BadParameter("name the variable whose key may go there: --api-key-env VAR")
    if is_plain_http(where) and not allow_http:
        raise typer.BadParameter(
            f"{approval.address} is not encrypted: key and data can be read on the way;"
            " --allow-http approves it nevertheless"
        )
    file.add([approval])
    _finish(out, [approval], verb="Approved")


def _finish(out: Output, approvals: list[Approval], *, verb: str = "") -> None:
    lines = [f"{one.address}  {one.api_key_env}" for one in approvals]
    out.finish(
        [_to_json(one) for one in approvals],
        essential=lines,
        human=lambda: (
            [f"{verb}: {line}" if verb else line for line in lines]
            or ["No address is approved beside the providers' own and this machine."]
        ),
    )


def _to_json(one: Approval) -> dict[str, Json]:
    return {
        "scheme": one.scheme,
        "host": one.host,
        "port": one.port,
        "api_key_env": one.api_key_env,
    }


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who gets something: named at `field` of the job file; no `destination` is this machine."""

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
        trusted = (
            "" if self.is_trusted else f"; not approved: `{format_trust_command(self.destination)}`"
        )
        plain = ", not encrypted" if is_plain_http(self.destination) else ""
        return f"{self.name} at {self.destination.base_url}{plain}, {with_key}{trusted}"

    def to_json(self) -> dict[str, Json]:
        where = self.destination
        return {
            "field": self.field,
            "name": self.name,
            "address": where.base_url if where else None,
            "api_key_env": where.key_variable if where else None,
            "api_key_set": self.has_key,
            "approved": self.is_trusted,
        }


@dataclass(frozen=True, slots=True)
class OutgoingData:
    """What leaves: `files` by field and name with their bytes, `variables` by name and field."""

    recipients: tuple[Recipient, ...]
    files: tuple[tuple[str, str, int], ...]
    webhook: str | None
    variables: tuple[tuple[str, str], ...]

    @property
    def stays_here(self) -> bool:
        """Whether nothing leaves for another address than the built-in engine's."""
        return not self.webhook and all(one.destination is None for one in self.recipients)

    def list_pairs(self) -> Iterator[tuple[str, str | None]]:
        """For people, each with its label."""
        for one in self.recipients:
            yield "sends to", one.describe()
        files = ", ".join(f"{name} ({render_bytes(size)})" for _, name, size in self.files)
        yield "files", files or None
        yield "webhook", self.webhook
        variables = ", ".join(f"{name} in {field}" for name, field in self.variables)
        yield "variables", variables or None

    def describe(self) -> str:
        """The same on one line."""
        return "; ".join(f"{label} {text}" for label, text in self.list_pairs() if text)

    def to_json(self) -> dict[str, Json]:
        return {
            "to": [one.to_json() for one in self.recipients],
            "files": [
                {"field": field, "name": name, "bytes": size} for field, name, size in self.files
            ],
            "webhook": self.webhook,
            "variables": [{"name": name, "field": field} for name, field in self.variables],
        }


def collect_outgoing_data(job: LoadedJob) -> OutgoingData:
    """What the job file sends; nothing is asked and nothing is sent for it."""
    environ, trust = read_environ(), open_trust()
    webhook = job.spec.notify.webhook_url
    variables = list_variables(job)
    for _, settings in list_providers(job):
        variables += list_account_variables(settings, environ)
    return OutgoingData(
        recipients=tuple(_list_recipients(job, environ, trust)),
        files=tuple(_list_files(job)),
        webhook=hide_path(webhook) if webhook else None,
        variables=tuple(dict.fromkeys(variables)),
    )


def approve(
    out: Output, job: LoadedJob, options: ApprovalOptions, *, ask: bool = True
) -> OutgoingData:
    """What the job file sends, once every key may go there; NotTrusted otherwise.

    What `--trust-host` names, or the user agrees to at a terminal, is approved and kept.
    """
    outgoing, trust = collect_outgoing_data(job), open_trust()
    missing = [one.destination for one in outgoing.recipients if not one.is_trusted]
    if not missing:
        return outgoing
    can_ask = ask and out.mode is Mode.HUMAN and sys.stdin.isatty()
    if can_ask:
        show_outgoing_data(out, outgoing)
    for where in filter(None, missing):
        if is_plain_http(where) and not options.allow_http:
            trust.check(where)
        if not any(_names(host, where) for host in options.trust_host or ()):
            if not can_ask:
                trust.check(where)
            if not _agrees(where):
                raise NotTrusted("nothing was sent")
        trust.file.add([make_approval(where)])
    return collect_outgoing_data(job)


def check_keys(outgoing: OutgoingData) -> None:
    """AuthFailed when the key of a provider is not in the environment; nothing is sent."""
    for one in outgoing.recipients:
        where = one.destination
        is_export = one.field.startswith("export")  # which may need no key
        if where and where.key_variable and not one.has_key and not is_export:
            raise missing_key(where.base_url, where.key_variable)


def approve_typed_address(settings: ProviderSettings, options: ApprovalOptions) -> None:
    """Keep the approval of an address that the user has typed, for the commands that follow."""
    where, trust = find_destination(settings, read_environ()), open_trust()
    if where is not None and not trust.is_trusted(where):
        if is_plain_http(where) and not options.allow_http:
            trust.check(where)
        trust.file.add([make_approval(where)])


def show_outgoing_data(out: Output, outgoing: OutgoingData) -> None:
    """Show it to people; nothing where all stays on this machine, or in the quiet mode."""
    if out.mode is not Mode.QUIET and not (outgoing.stays_here and not outgoing.variables):
        out.show(render_pairs(outgoing.list_pairs()))
        out.show("")


def _agrees(where: Destination) -> bool:
    address = where.base_url
    question = f"May the key in {where.key_variable} and the data go to {address}?"
    try:
        return typer.confirm(clean(question), err=True)
    except typer.Abort:  # Ctrl-C, or the end of the input
        return False


def _names(host: str, where: Destination) -> bool:
    """Whether a host, with or without scheme and port, names that server."""
    scheme, _, rest = host.rpartition("://")
    parts = urlsplit(f"//{rest}")
    its_scheme, its_host, its_port = where.origin
    try:
        port = parts.port
    except ValueError:
        return False
    return (
        (parts.hostname or "").removesuffix(".") == its_host
        and scheme.lower() in ("", its_scheme)
        and port in (None, its_port)
    )


def _list_recipients(
    job: LoadedJob, environ: Mapping[str, str], trust: Trust
) -> Iterator[Recipient]:
    found: dict[tuple[str, Destination | None], str] = {}
    for place, settings in list_providers(job):
        where = find_destination(settings, environ)
        found.setdefault((settings.type, where), ".".join(map(str, place)))
    for number, item in enumerate(job.spec.export):
        for tool, chosen in item.items():
            if where := find_export_destination(chosen, environ):
                found.setdefault((tool, where), f"export.{number}")
    for (name, where), field in found.items():
        key = where.key_variable if where else None
        yield Recipient(
            field=field,
            name=name,
            destination=where,
            has_key=bool(key and environ.get(key, "").strip()),
            is_trusted=where is None or trust.is_trusted(where),
        )


def _list_files(job: LoadedJob) -> Iterator[tuple[str, str, int]]:
    spec = job.spec
    named = {
        "training_file": spec.training_file,
        "validation_file": spec.validation_file,
        "evaluate.file": spec.evaluate.file,
    }
    for field, name in named.items():
        path = resolve_data(job.path, name) if name else None
        if name and path is not None:
            yield field, name, _measure(path)


def _measure(path: Path) -> int:
    """The bytes of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(one.stat().st_size for one in files if one.is_file())
