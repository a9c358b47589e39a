"""Which base models can be trained by whom, with what a cost is made of: for comparing them."""

from collections.abc import Iterator
from dataclasses import dataclass

from ftops.capabilities import BatchRule, EpochRule
from ftops.providers.model_catalog import ModelCatalog, get_vocabulary_name
from ftops.providers.registry import PROVIDERS
from ftops.records import (
    RowFormat,
)

_LOCAL = ("ada", "babbage", "curie", "davinci")
_COMPLETING = frozenset({"davinci-002", "babbage-002"})


@dataclass(frozen=True, slots=True)
class TrainableModel:
    """A base model that can be trained.

    `price_usd` is for a million trained tokens, None where it is not known; `row_format` None takes
    rows of any shape; a row counts up to `row_limit` tokens.
    """

    provider: str
    model: str
    price_usd: float | None
    row_format: RowFormat | None
    vocabulary: str
    row_limit: int | None
    auto_epochs: EpochRule | None
    auto_batch: BatchRule | None = None


def list_trainable_models(catalogue: ModelCatalog, provider: str = "") -> Iterator[TrainableModel]:
    """All whose price is known, of that provider or of each."""
    models = {"local": _LOCAL, "openai": catalogue.list_trainable("openai")}
    for name in [provider] if provider else models:
        for model in models.get(name, ()):
            yield get_trainable_model(catalogue, name, model)


def get_trainable_model(catalogue: ModelCatalog, provider: str, model: str) -> TrainableModel:
    """What is known of one model; it need not be one that anybody offers."""
    figures = catalogue.get_model_info((provider,), model)
    capabilities = PROVIDERS[provider].capabilities
    shape = RowFormat.COMPLETION if model in _COMPLETING else RowFormat.CHAT
    return TrainableModel(
        provider=provider,
        model=model,
        price_usd=figures.train_usd,
        row_format=None if provider == "local" else shape,
        vocabulary=get_vocabulary_name(capabilities, model),
        row_limit=figures.max_example_tokens,
        auto_epochs=capabilities.auto_epochs,
        auto_batch=capabilities.auto_batch,
    )
