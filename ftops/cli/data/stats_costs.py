"""What training on a data set would cost, model by model."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ftops.data.statistics import DataStatistics
from ftops.data.tokens.counter import TOKENS_A_CHAT, TOKENS_A_MESSAGE
from ftops.providers.model_catalog import ENGINE_VOCABULARY, EngineEstimate
from ftops.providers.trainable_model import TrainableModel
from ftops.records import RowFormat

# A prompt and its completion become a chat of two messages.
_MORE_AS_CHAT = 2 * TOKENS_A_MESSAGE + TOKENS_A_CHAT


@dataclass(frozen=True, slots=True)
class JobCost:
    """Tokens of one epoch, what "auto" becomes, and US dollars; None for what is not known."""

    provider: str
    model: str
    tokens: int
    epochs: int | None
    batch_size: int | None
    usd: float | None
    is_exact: bool

    @property
    def trained_tokens(self) -> int | None:
        return None if self.epochs is None else self.tokens * self.epochs


def estimate_costs(
    figures: DataStatistics,
    offers: Iterable[TrainableModel],
    exact: frozenset[str],
    estimate_with_engine: Callable[[str], EngineEstimate | None],
) -> Iterator[JobCost]:
    """A line for each model that takes such rows; `exact` names vocabularies that are at hand."""
    forecast: EngineEstimate | None = None
    for offer in offers:
        if offer.vocabulary == ENGINE_VOCABULARY:
            forecast = forecast or estimate_with_engine(offer.model)
            if forecast is not None:
                chosen = forecast.n_epochs, forecast.batch_size
                yield _cost(offer, forecast.tokens, *chosen, is_exact=True)
                continue
        tokens = count_for(figures, offer)
        if tokens is not None:
            rows = figures.result.rows
            epochs, batch = (
                rule.estimate(rows) if rule else None
                for rule in (offer.auto_epochs, offer.auto_batch)
            )
            yield _cost(offer, tokens, epochs, batch, is_exact=offer.vocabulary in exact)


def count_for(figures: DataStatistics, offer: TrainableModel) -> int | None:
    """The tokens that the model would read in an epoch; None when it takes no such rows."""
    found = figures.result.format
    counted = figures.tally.tokens.get(offer.vocabulary)
    if found is None or counted is None:
        return None
    more = 0
    if offer.row_format is not None and found is not offer.row_format:
        if offer.row_format is RowFormat.COMPLETION:
            return None
        more = _MORE_AS_CHAT if found is RowFormat.COMPLETION else 0
    if offer.row_limit is None:
        return counted.tokens + more * len(counted.lengths)
    return sum(min(length + more, offer.row_limit) for length in counted.lengths)


def _cost(
    offer: TrainableModel,
    tokens: int,
    epochs: int | None,
    batch_size: int | None,
    *,
    is_exact: bool,
) -> JobCost:
    usd = offer.price_usd
    if usd:
        usd = None if epochs is None else usd * tokens * epochs / 1e6
    return JobCost(offer.provider, offer.model, tokens, epochs, batch_size, usd, is_exact)
