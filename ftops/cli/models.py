"""`ftops models`: the fine-tuned models of a provider, where each comes from, and its end."""

from collections.abc import Iterable
from datetime import date
from enum import StrEnum
from typing import Annotated

import typer

from ftops.cli.ask import confirm
from ftops.cli.command import command
from ftops.cli.environment import get_home, open_ledger, read_environ
from ftops.cli.factory import (
    find_chosen_provider,
    get_default_provider,
    get_model_info,
    open_provider,
)
from ftops.cli.model_card import ModelCard, render_card
from ftops.cli.model_list import ListedModel, render_models, sort_models
from ftops.cli.model_usage import make_usage
from ftops.cli.named import NamedModel, find_named_model
from ftops.cli.options import ApiKeyEnv, BaseUrl, ProviderName, Yes
from ftops.cli.output import Output
from ftops.clock import SystemClock
from ftops.errors import NotFound
from ftops.ledger.ledger import Ledger
from ftops.providers.provider import Provider
from ftops.records import Model, ProviderSettings, RowFormat
from ftops.reports.code_examples import Language, render_code
from ftops.runs import lineage

Names = Annotated[
    list[str], typer.Argument(metavar="NAME...", help="Model name, run id or job id.")
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Model name, run id or job id.")]
Bases = Annotated[bool, typer.Option("--all", help="Base models, too.")]
RunName = Annotated[
    str | None,
    typer.Option("--run-name", metavar="NAME", help="Only models of job files of that name."),
]


class Sort(StrEnum):
    """What a list begins with: the newest, or the best."""

    CREATED = "created"
    METRIC = "metric"


class Code(StrEnum):
    """What code is written in."""

    PYTHON = "python"
    CURL = "curl"
    NODE = "node"


SortBy = Annotated[Sort, typer.Option("--sort", help="The newest or the best first.")]
OneCode = Annotated[
    Code | None, typer.Option("--code", help="Print nothing but the program that asks it.")
]


@command(
    "models list",
    examples=["ftops models list", "ftops models list --provider openai --sort metric"],
)
def list_models(
    out: Output,
    provider: ProviderName = None,
    base_url: BaseUrl = None,
    api_key_env: ApiKeyEnv = None,
    every: Bases = False,
    run_name: RunName = None,
    sort: SortBy = Sort.CREATED,
) -> None:
    """List the fine-tuned models of a provider, with what is known of each.

    That is its base, the run and the data that made it, the headline metric with its 95 % interval,
    the cost of its training, and the day on which it ends.
    """
    typed = find_chosen_provider(provider, base_url, api_key_env)
    settings = typed or get_default_provider()
    with (
        open_ledger() as ledger,
        open_provider(settings, typed=typed) as source,
    ):
        listed = [
            _look_up(model, settings, ledger, source)
            for model in source.list_models()
            if every or model.fine_tuned
        ]
    kept = [one for one in listed if run_name is None or one.run_name == run_name]
    found = sort_models(kept, by_metric=sort is Sort.METRIC)
    out.finish(
        [one.to_json() for one in found],
        essential=[one.model.id for one in found],
        human=lambda: [render_models(found, width=out.console.width, today=_today())],
    )


def _look_up(
    model: Model, settings: ProviderSettings, ledger: Ledger, source: Provider
) -> ListedModel:
    tuned = ledger.find_model(model.id)
    figures = source.get_model_info(tuned.base if tuned else model.id)
    ends = lineage.find_shutdown_date(model.shutdown_date, figures)
    if tuned is None:
        return ListedModel(model, settings, ends=ends)
    made = lineage.load_model_version(ledger, tuned)
    evaluation = lineage.find_evaluation(made.run, get_home()) if made.run else None
    return ListedModel(
        model=model,
        provider=settings,
        made=made,
        headline=lineage.find_primary_metric(evaluation),
        cost=lineage.find_training_cost(made, figures),
        ends=ends,
    )


@command(
    "models show",
    examples=[
        "ftops models show ft:ada:local:news-topics:a1b2c3d4",
        "ftops models show news-topics --code python > ask.py",
    ],
)
def show(
    out: Output,
    name: Name,
    provider: ProviderName = None,
    base_url: BaseUrl = None,
    api_key_env: ApiKeyEnv = None,
    code: OneCode = None,
) -> None:
    """Show where a model comes from, and the code that asks it.

    The job file and the data that made it, its base and theirs, times, cost and figures; then a
    program in Python, for curl and for Node, with the right separator, stop sequence, system
    message and labels. No key is ever printed: the programs read an environment variable.
    """
    asked = find_chosen_provider(provider, base_url, api_key_env)
    with open_ledger() as ledger:
        card = _collect(ledger, find_named_model(ledger, name, asked), asked)
    if code is not None:
        text = render_code(card.usage, Language(code.value))
        out.finish_text({"id": card.name, "language": code.value, "code": text}, text)
        return
    out.finish(card.to_json(), essential=[card.name], human=lambda: render_card(card, _today()))


def _collect(ledger: Ledger, named: NamedModel, typed: ProviderSettings | None) -> ModelCard:
    """What is known of the model; its provider is asked only where the ledger never met it."""
    tuned, home = named.tuned, get_home()
    base, shutdown_date, row_format = tuned.base if tuned else None, None, RowFormat.COMPLETION
    if tuned is None:
        with open_provider(named.provider, typed=typed) as source:
            found = source.get_model(named.name)
            row_format = source.row_format(named.name)
        base, shutdown_date = found.base, found.shutdown_date
    figures = get_model_info(named.provider, base or named.name)
    generations = lineage.trace_lineage(ledger, tuned) if tuned else []
    evaluation = lineage.find_evaluation(named.run, home) if named.run else None
    is_whole = named.run is None or named.run.fine_tuned_model == named.name
    return ModelCard(
        name=named.name,
        provider=named.provider,
        base=base,
        lineage=generations,
        headline=lineage.find_primary_metric(evaluation, "" if is_whole else named.name),
        cost=lineage.find_training_cost(generations[-1], figures) if generations else None,
        ends=lineage.find_shutdown_date(shutdown_date, figures),
        checkpoints=lineage.list_checkpoints(generations[-1]) if generations else [],
        usage=make_usage(named, row_format, home=home, environ=read_environ()),
        home=home,
    )


def _today() -> date:
    return SystemClock().now().date()


@command(
    "models delete",
    examples=[
        "ftops models delete ft:ada:local:news-topics:a1b2c3d4",
        "ftops models delete run-20261122-1407-k3f9 --yes",
    ],
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
    asked = find_chosen_provider(provider, base_url, api_key_env)
    with open_ledger() as ledger:
        chosen = _unique(find_named_model(ledger, name, asked) for name in names)
        for model in chosen:
            model.check_there()
        confirm(out, "Delete", [model.name for model in chosen], yes=yes)
        for model in chosen:
            _delete_one(ledger, model.name, model.provider, asked)
    deleted = [model.name for model in chosen]
    out.finish(
        [{"id": name, "object": "model", "deleted": True} for name in deleted],
        essential=deleted,
        human=lambda: [f"Deleted: {name}" for name in deleted],
    )


def _delete_one(
    ledger: Ledger,
    name: str,
    settings: ProviderSettings,
    typed: ProviderSettings | None,
) -> None:
    with open_provider(settings, typed=typed) as source:
        try:
            source.delete_model(name)
        except NotFound as error:
            if _is_there(source, name):
                error.hint = f"It still is there: `ftops models delete {name}` asks once more."
            else:
                ledger.mark_model_deleted(name)  # gone already; the ledger learns it now
            raise
    ledger.mark_model_deleted(name)


def _is_there(source: Provider, name: str) -> bool:
    """Whether the provider still knows the model: some answer a first deletion with 404."""
    try:
        source.get_model(name)
    except NotFound:
        return False
    return True


def _unique(models: Iterable[NamedModel]) -> list[NamedModel]:
    """Each model once, in the order given."""
    return list({model.name: model for model in models}.values())
