"""`ftops files`: lists and deletes the files at a provider."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import RenderableType

from ftops.cli.command import command
from ftops.cli.environment import open_ledger
from ftops.cli.factory import get_default_provider, open_provider
from ftops.cli.format import (
    cell,
    make_table,
    render_bytes,
    render_short_time,
    to_timestamp,
)
from ftops.cli.options import ProviderOptions, Yes
from ftops.cli.output import Output, confirm
from ftops.records import Json, RemoteFile

Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="File ids.")]


@command("files list", examples=["ftops files list", "ftops files list --json"])
def list_files(out: Output, *, provider: ProviderOptions) -> None:
    """List the uploaded files at a provider."""
    typed = provider.find_settings()
    settings = typed or get_default_provider()
    with open_provider(settings, typed=typed) as source:
        files = sorted(source.list_files(), key=lambda file: file.created_at, reverse=True)
    out.finish(
        [file_document(file) for file in files],
        essential=[file.id for file in files],
        human=lambda: [render_files(files)],
    )


@command("files delete", examples=["ftops files delete file-abc123 --yes"])
def delete(out: Output, ids: Ids, *, provider: ProviderOptions, yes: Yes = False) -> None:
    """Delete files at a provider. A later run uploads its data again."""
    typed = provider.find_settings()
    settings = typed or get_default_provider()
    chosen = list(dict.fromkeys(ids))
    confirm(out, "Delete", chosen, yes=yes)
    with open_ledger() as ledger, open_provider(settings, typed=typed) as source:
        for file_id in chosen:
            source.delete_file(file_id)
            ledger.forget_upload(file_id)
    out.finish(
        [{"id": file_id, "object": "file", "deleted": True} for file_id in chosen],
        essential=chosen,
        human=lambda: [f"Deleted: {file_id}" for file_id in chosen],
    )


def render_files(files: Sequence[RemoteFile]) -> RenderableType:
    """One line per file."""
    if not files:
        return "The provider has no files."
    table = make_table("file", "size", "created", "name", right=("size",), whole=("file",))
    for file in files:
        table.add_row(
            cell(file.id, "cyan"),
            cell(render_bytes(file.bytes)),
            cell(render_short_time(file.created_at)),
            cell(file.filename),
        )
    return table


def file_document(file: RemoteFile) -> dict[str, Json]:
    return {
        "id": file.id,
        "filename": file.filename,
        "bytes": file.bytes,
        "purpose": file.purpose,
        "status": file.status,
        "created_at": to_timestamp(file.created_at),
    }
