"""`ftops files`: what was uploaded to a provider, and the end of it."""

from typing import Annotated

import typer

from ftops.cli import wiring
from ftops.cli.ask import confirm
from ftops.cli.command import command, make_app
from ftops.cli.options import ApiKeyEnv, BaseUrl, ProviderName, Yes
from ftops.cli.output import Output

Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="File ids.")]


def add_to(app: typer.Typer) -> None:
    group = make_app("List and delete uploaded files.")
    command(group, "list", examples=["ftops files list", "ftops files list --json"])(list_files)
    command(group, "delete", examples=["ftops files delete file-abc123 --yes"])(delete)
    app.add_typer(group, name="files")


def list_files(
    out: Output,
    provider: ProviderName = None,
    base_url: BaseUrl = None,
    api_key_env: ApiKeyEnv = None,
) -> None:
    """List the files at a provider."""
    from ftops.cli import tables
    from ftops.cli.documents import file_document

    typed = wiring.find_chosen_provider(provider, base_url, api_key_env)
    settings = typed or wiring.get_default_provider()
    with wiring.open_provider(settings, typed=typed) as source:
        found = sorted(source.list_files(), key=lambda file: file.created_at, reverse=True)
    out.finish(
        [file_document(file) for file in found],
        essential=[file.id for file in found],
        human=lambda: [tables.render_files(found)],
    )


def delete(
    out: Output,
    ids: Ids,
    provider: ProviderName = None,
    base_url: BaseUrl = None,
    api_key_env: ApiKeyEnv = None,
    yes: Yes = False,
) -> None:
    """Delete files at a provider; a later run uploads its data again."""
    typed = wiring.find_chosen_provider(provider, base_url, api_key_env)
    settings = typed or wiring.get_default_provider()
    chosen = list(dict.fromkeys(ids))
    confirm(out, "Delete", chosen, yes=yes)
    with wiring.open_ledger() as ledger, wiring.open_provider(settings, typed=typed) as source:
        for file_id in chosen:
            source.delete_file(file_id)
            ledger.forget_upload(file_id)
    out.finish(
        [{"id": file_id, "object": "file", "deleted": True} for file_id in chosen],
        essential=chosen,
        human=lambda: [f"Deleted: {file_id}" for file_id in chosen],
    )
