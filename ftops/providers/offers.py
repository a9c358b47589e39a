"""Which base models can be trained by whom, with what a cost is made of: for comparing them."""

from collections.abc import Iterator
from dataclasses import dataclass

from ftops.providers.prices import find_train_price_usd
from ftops.providers.registry import PROVIDERS
from ftops.providers.tokens import find_row_limit, find_vocabulary_name
from ftops.records import BatchRule, EpochRule, RowFormat

_OPENAI = (
    "gpt-4.1-2025-04-14",
    "gpt-4.1-mini-2025-04-14",
    "gpt-4.1-nano-2025-04-14",
    "gpt-4o-2024-08-06",
    "gpt-4o-mini-2024-07-18",
    "gpt-3.5-turbo-0125",
    "davinci-002",
    "babbage-002",
)
_LOCAL = ("ada", "babbage", "curie", "davinci")
_COMPLETING = frozenset({"davinci-002", "babbage-002"})


@dataclass(frozen=True, slots=True)
class Offer:
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


def list_offers() -> Iterator[Offer]:
    """All of them, provider by provider."""
    for model in _LOCAL:
        yield _make_offer("local", model, 0.0, None)
    for model in _OPENAI:
        shape = RowFormat.COMPLETION if model in _COMPLETING else RowFormat.CHAT
        yield _make_offer("openai", model, find_train_price_usd(model), shape)


def _make_offer(
    provider: str, model: str, price_usd: float | None, row_format: RowFormat | None
) -> Offer:
    capabilities = PROVIDERS[provider].capabilities["current"]
    return Offer(
        provider=provider,
        model=model,
        price_usd=price_usd,
        row_format=row_format,
        vocabulary=find_vocabulary_name(provider, model),
        row_limit=find_row_limit(provider, model),
        auto_epochs=capabilities.auto_epochs,
        auto_batch=capabilities.auto_batch,
    )
