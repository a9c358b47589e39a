"""The base models of each provider, with the values that determine the cost of a training."""

from collections.abc import Iterator
from dataclasses import dataclass

from ftops.capabilities import BatchRule, EpochRule
from ftops.providers.model_catalog import ModelCatalog, get_vocabulary_name
from ftops.providers.registry import ENGINE_SIZES, PROVIDERS
from ftops.records import ENGINE_PROVIDER, RowFormat

_COMPLETION_MODELS = frozenset({"davinci-002", "babbage-002"})


@dataclass(frozen=True, slots=True)
class TrainableModel:
    """A base model that can be trained.

    `price_usd` is for a million training tokens, None if unknown; a `row_format` of None means any
    format; up to `row_limit` tokens of a row count.
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
    """The models with a known price, of one provider or of all."""
    for name in [provider] if provider else PROVIDERS:
        sizes = ENGINE_SIZES if name == ENGINE_PROVIDER else ()
        for model in (*sizes, *catalogue.list_trainable(name)):
            yield get_trainable_model(catalogue, name, model)


def get_trainable_model(catalogue: ModelCatalog, provider: str, model: str) -> TrainableModel:
    """The known values of one model, whether or not a provider offers it."""
    info = catalogue.get_model_info((provider,), model)
    capabilities = PROVIDERS[provider].capabilities
    row_format = RowFormat.COMPLETION if model in _COMPLETION_MODELS else RowFormat.CHAT
    return TrainableModel(
        provider=provider,
        model=model,
        price_usd=info.train_usd,
        row_format=None if capabilities.any_row_format else row_format,
        vocabulary=get_vocabulary_name(capabilities, model),
        row_limit=info.max_example_tokens,
        auto_epochs=capabilities.auto_epochs,
        auto_batch=capabilities.auto_batch,
    )
