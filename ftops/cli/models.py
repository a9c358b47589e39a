"""`ftops models`: the fine-tuned models of a provider, and the end of them."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from ftops.cli import wiring
from ftops.cli.ask import confirm
from ftops.cli.command import command, make_app
from ftops.cli.named import find_named_model
from ftops.cli.options import ApiKeyEnv, BaseUrl, ProviderName, Yes
from ftops.cli.output import Output
from ftops.errors import NotFound

if TYPE_CHECKING:
    from ftops.cli.named import NamedModel
    from ftops.ledger.ledger import Ledger
    from ftops.providers.protocol import Provider
    from ftops.records import ProviderSettings

Names = Annotated[
    list[str], typer.Argument(metavar="NAME...", help="Model name, run id or job id.")
]
Bases = Annotated[bool, typer.Option("--all", help="Base models, too.")]


def add_to(app: typer.Typer) -> None:
    group = make_app("List and delete fine-tuned models.")
    command(group, "list", examples=["ftops models list", "ftops models list --provider openai"])(
        list_models
    )
    command(
        group,
        "delete",
        examples=[
            "ftops models delete ft:ada:local:news-topics:a1b2c3d4",
            "ftops models delete run-20261122-1407-k3f9 --yes",
        ],
    )(delete)
    app.add_typer(group, name="models")


def list_models(
    out: Output,
    provider: ProviderName = None,
    base_url: BaseUrl = None,
    api_key_env: ApiKeyEnv = None,
    every: Bases = False,
) -> None:
    """List the fine-tuned models of a provider."""
    from ftops.cli import tables
    from ftops.cli.documents import model_document

    settings = (
        wiring.find_chosen_provider(provider, base_url, api_key_env)
        or wiring.get_default_provider()
    )
    with wiring.open_ledger() as ledger, wiring.open_provider(settings) as source:
        found = [
            (model, ledger.find_model(model.id))
            for model in source.list_models()
            if every or model.fine_tuned
        ]
    found.sort(key=lambda pair: pair[0].created_at, reverse=True)
    out.finish(
        [model_document(model, tuned) for model, tuned in found],
        essential=[model.id for model, _ in found],
        human=lambda: [tables.render_models(found)],
    )


def delete(
    out: Output,
    names: Names,
    provider: ProviderName = None,
    base_url: BaseUrl = None,
    api_key_env: ApiKeyEnv = None,
    yes: Yes = False,
) -> None:
    """Delete fine-tuned models at their provider, and record it."""
    asked = wiring.find_chosen_provider(provider, base_url, api_key_env)
    with wiring.open_ledger() as ledger:
        chosen = _unique(find_named_model(ledger, name, asked) for name in names)
        for model in chosen:
            model.check_there()
        confirm(out, "Delete", [model.name for model in chosen], yes=yes)
        for model in chosen:
            _delete_one(ledger, model.name, model.provider)
    deleted = [model.name for model in chosen]
    out.finish(
        [{"id": name, "object": "model", "deleted": True} for name in deleted],
        essential=deleted,
        human=lambda: [f"Deleted: {name}" for name in deleted],
    )


def _delete_one(ledger: "Ledger", name: str, settings: "ProviderSettings") -> None:
    with wiring.open_provider(settings) as source:
        try:
            source.delete_model(name)
        except NotFound as error:
            if _is_there(source, name):
                error.hint = f"It still is there: `ftops models delete {name}` asks once more."
            else:
                ledger.mark_model_deleted(name)  # gone already; the ledger learns it now
            raise
    ledger.mark_model_deleted(name)


def _is_there(source: "Provider", name: str) -> bool:
    """Whether the provider still knows the model: some answer a first deletion with 404."""
    try:
        source.get_model(name)
    except NotFound:
        return False
    return True


def _unique(models: "Iterable[NamedModel]") -> "list[NamedModel]":
    """Each model once, in the order given."""
    return list({model.name: model for model in models}.values())
