"""`ftops models list` and `ftops models delete`: the fine-tuned models of a provider."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from ftops.cli.command import command
from ftops.cli.environment import get_home, open_ledger
from ftops.cli.factory import get_default_provider, open_provider
from ftops.cli.format import cell, make_table, render_time, to_timestamp
from ftops.cli.options import ProviderOptions, Yes
from ftops.cli.output import Output, confirm
from ftops.cli.run_view import render_live_deployments
from ftops.cli.target_model import ResolvedModel, resolve_model
from ftops.clock import SystemClock
from ftops.errors import NotFound
from ftops.evaluation.text import format_result
from ftops.ledger.ledger import Ledger
from ftops.providers.provider import Provider
from ftops.records import Json, Model, ProviderSettings
from ftops.runs import lineage
from ftops.runs.lineage import ModelVersion, PrimaryMetric, TrainingCost

Names = Annotated[
    list[str], typer.Argument(metavar="NAME...", help="Model name, run id or job id.")
]
IncludeBase = Annotated[bool, typer.Option("--all", help="Include base models.")]
RunName = Annotated[
    str | None,
    typer.Option("--run-name", metavar="NAME", help="Only models of job files with this name."),
]
NEAR = timedelta(days=90)  # before the shutdown, when the date is highlighted
SHOWN_HASH = 8
_WIDE = 140  # columns that one line per model requires


class Sort(StrEnum):
    """The order of the list."""

    CREATED = "created"
    METRIC = "metric"


SortBy = Annotated[Sort, typer.Option("--sort", help="Newest first, or best metric first.")]


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model of the provider; None and empty mean unknown."""

    model: Model
    provider: ProviderSettings
    made: ModelVersion | None = None
    headline: PrimaryMetric | None = None
    cost: TrainingCost | None = None
    ends: date | None = None

    @property
    def base(self) -> str | None:
        """The base model that was fine-tuned."""
        return self.made.tuned.base if self.made else self.model.base

    @property
    def run_name(self) -> str | None:
        """The name in its job file."""
        return self.made.run.name if self.made and self.made.run else None

    def to_json(self) -> dict[str, Json]:
        """One element of the document of `ftops models list --json`."""
        made = self.made
        return {
            "id": self.model.id,
            "base_model": self.base,
            "provider": self.provider.type,
            "base_url": self.provider.base_url,
            "owned_by": self.model.owned_by,
            "created_at": to_timestamp(self.model.created_at),
            "shutdown_date": self.model.shutdown_date,
            "ends_on": self.ends.isoformat() if self.ends else None,
            "run_id": made.tuned.run_id if made else None,
            "run_name": self.run_name,
            "job_id": made.tuned.job_id if made else None,
            "data_sha256": (made.data_sha256 or None) if made else None,
            "metric": self.headline.to_json() if self.headline else None,
            "cost": self.cost.to_json() if self.cost else None,
        }


@command(
    "models list",
    examples=["ftops models list", "ftops models list --provider openai --sort metric"],
)
def list_models(
    out: Output,
    *,
    provider: ProviderOptions,
    include_base: IncludeBase = False,
    run_name: RunName = None,
    sort: SortBy = Sort.CREATED,
) -> None:
    """List the fine-tuned models of a provider.

    Shows the base model, run and training data of each, its primary metric with the 95% confidence
    interval, the cost of its training, and its shutdown date.
    """
    typed = provider.find_settings()
    settings = typed or get_default_provider()
    with (
        open_ledger() as ledger,
        open_provider(settings, typed=typed) as source,
    ):
        listed = [
            _look_up(model, settings, ledger, source)
            for model in source.list_models()
            if include_base or model.fine_tuned
        ]
        deployed = [each for each in ledger.list_deployments() if each.account == source.account]
    kept = [item for item in listed if run_name is None or item.run_name == run_name]
    models = sort_models(kept, by_metric=sort is Sort.METRIC)
    now = SystemClock().now()
    out.finish(
        [item.to_json() for item in models],
        essential=[item.model.id for item in models],
        human=lambda: [
            render_models(models, width=out.console.width, today=now.date()),
            *render_live_deployments(deployed, now),
        ],
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
    "models delete",
    examples=[
        "ftops models delete ft:ada:local:news-topics:a1b2c3d4",
        "ftops models delete run-20261122-1407-k3f9 --yes",
    ],
)
def delete(out: Output, names: Names, *, provider: ProviderOptions, yes: Yes = False) -> None:
    """Delete fine-tuned models at their provider, and record it."""
    typed = provider.find_settings()
    with open_ledger() as ledger:
        chosen = _unique(resolve_model(ledger, name, typed) for name in names)
        for model in chosen:
            model.check_exists()
        confirm(out, "Delete", [model.name for model in chosen], yes=yes)
        for model in chosen:
            _delete_one(ledger, model.name, model.provider, typed)
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
            if _exists(source, name):
                error.hint = f"The model still exists: run `ftops models delete {name}` again."
            else:
                ledger.mark_model_deleted(name)  # it was deleted elsewhere
            raise
    ledger.mark_model_deleted(name)


def _exists(source: Provider, name: str) -> bool:
    """Whether the model exists: some providers answer a first deletion with 404."""
    try:
        source.get_model(name)
    except NotFound:
        return False
    return True


def _unique(models: Iterable[ResolvedModel]) -> list[ResolvedModel]:
    """Each model once, in the order given."""
    return list({model.name: model for model in models}.values())


def sort_models(models: Sequence[ListedModel], *, by_metric: bool) -> list[ListedModel]:
    """Newest first, or best metric first and models without it last."""
    newest = sorted(models, key=lambda item: item.model.created_at, reverse=True)
    if not by_metric:
        return newest
    return sorted(newest, key=lambda item: -item.headline.figure.value if item.headline else 1.0)


def render_models(models: Sequence[ListedModel], *, width: int, today: date) -> RenderableType:
    """One line per model if `width` allows it, else three, so that no name is broken."""
    if not models:
        return "The provider has no fine-tuned models."
    if width >= _WIDE:
        return _render_table(models, today)
    return Group(*(_render_block(item, today) for item in models))


def describe_headline(headline: PrimaryMetric | None) -> str:
    """The metric with its interval: accuracy 94.4% (90.0-97.2)."""
    if headline is None:
        return ""
    return f"{headline.metric} {format_result(headline.figure)}"


def describe_cost(cost: TrainingCost | None) -> str:
    """In dollars, and whether it is an estimate."""
    if cost is None:
        return ""
    digits = 2 if cost.usd == 0 or cost.usd >= 0.01 else 4
    return f"{'about ' if cost.is_estimated and cost.usd else ''}${cost.usd:,.{digits}f}"


def describe_end(ends: date | None, today: date) -> Text:
    """The shutdown date of a model, highlighted when it is near or past."""
    if ends is None:
        return Text()
    if ends <= today:
        return Text(f"ended {ends}", style="red")
    return Text(f"ends {ends}", style="yellow" if ends - today <= NEAR else "")


def _render_table(models: Sequence[ListedModel], today: date) -> RenderableType:
    whole = ("model", "base", "provider", "run", "data", "metric", "cost", "created", "until")
    table = make_table(*whole, right=("cost",), whole=whole)
    for item in models:
        table.add_row(
            cell(item.model.id, "green"),
            cell(item.base),
            cell(item.provider.type),
            cell(item.made.tuned.run_id if item.made else "", "cyan"),
            cell(item.made.data_sha256[:SHOWN_HASH] if item.made else ""),
            cell(describe_headline(item.headline)),
            cell(describe_cost(item.cost)),
            cell(render_time(item.model.created_at)),
            describe_end(item.ends, today),
        )
    return table


def _render_block(item: ListedModel, today: date) -> RenderableType:
    made = item.made
    sha256 = made.data_sha256[:SHOWN_HASH] if made else ""
    origin = [
        cell(f"{item.base or 'a base model'}, {item.provider.type}"),
        cell(made.tuned.run_id if made else "", "cyan"),
        cell(f"data {sha256}" if sha256 else ""),
    ]
    figures = [
        cell(describe_headline(item.headline)),
        cell(describe_cost(item.cost)),
        cell(render_time(item.model.created_at)),
        describe_end(item.ends, today),
    ]
    return Group(cell(item.model.id, "green"), _join(origin), _join(figures))


def _join(parts: Sequence[Text]) -> Text:
    line = Text("  ")
    line.append_text(Text("  ").join(part for part in parts if part.plain))
    return line
