"""`ftops trust`: which keys may go to which addresses."""

from typing import Annotated

import typer

from ftops.cli.command import command
from ftops.cli.factory import open_trust
from ftops.cli.options import AllowHttp, ApiKeyEnv
from ftops.cli.output import Output
from ftops.providers.address import Destination, read_base_url
from ftops.providers.trust import Approval, is_plain_http, make_approval
from ftops.records import Json

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
